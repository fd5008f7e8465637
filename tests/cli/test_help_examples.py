"""Every command's help has examples, and each of them runs word for word, on made-up files."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from cli.main import COMMANDS, group
from tests.cli.example_files import ExampleFiles

pytest.importorskip("facenet_pytorch")
pytest.importorskip("cv2")
pytest.importorskip("pydantic")

#: What is not run, and why. With --dry-run it is; else click reads it, with no name unknown.
NOT_RUN = {
    "featx demo": "auto-sklearn searches for minutes",
    "featx demo --no-auto-sklearn --subjects 4 --images 2 -o small-demo": (
        "ten seconds; tests/cli/test_demo.py does it"
    ),
    "torchrun --nproc-per-node 4 $(which featx) finetune cascade.yaml -o tuned": "four processes",
    "featx predict tuned/1-faces --camera 0 -o seen": "a camera",
    "featx experiment run cascaded_finetuning/table5 --smoke -o smoke": "minutes",
    "featx doctor --install auto-sklearn": "packages are downloaded",
    "featx doctor --numerics -b onet -w mtcnn": "half a minute; tests/featx/extraction does it",
    "featx doctor": "seconds; tests/test_light_imports.py does it",
    "featx doctor --json": "seconds; tests/cli/test_doctor.py does it",
    "featx experiment run cascaded_finetuning/table5 --cluster slurm -o table5": "a cluster, data",
}
#: Nor what names weights that are downloaded.
DOWNLOADED = {"imagenet", "imagenet-v2", "vggface2"}
DRY_RUN = {
    "featx finetune cascade.yaml --protocol kfold:3 -o judge": "seconds a fold",
    "featx finetune cascade.yaml --cluster slurm -o tuned": "a cluster",
    "featx regress fgnet.h5 --regressor auto-sklearn --time-budget 10m --jobs 2 -o runs": "minutes",
    "featx compare runs -o report": "seconds each; compare's own examples do it",
    "featx compare runs ensembles -o report": "seconds each; compare's own examples do it",
}


def commands(command: click.Command, name: str) -> Iterator[tuple[str, click.Command]]:
    """Yield a command and all below it, with their full names."""
    yield name, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for part in command.list_commands(context):
            below = command.get_command(context, part)
            assert below is not None
            yield from commands(below, f"{name} {part}")


def examples(command: click.Command) -> list[str]:
    """Return the lines of a command's help that can be typed, without their comments."""
    text = command.get_help(click.Context(command, info_name="featx", max_content_width=200))
    lines = text.replace("\\\n", " ").splitlines()
    typed = [line.partition("  #")[0].partition(" # ")[0] for line in lines]
    return [
        " ".join(line.split()) for line in typed if line.strip().startswith(("featx ", "torchrun "))
    ]


ALL = dict(commands(group, "featx"))
EXAMPLES = list(dict.fromkeys(line for command in ALL.values() for line in examples(command)))


UNRUN = [line for line in EXAMPLES if line in NOT_RUN or DOWNLOADED & set(line.split())]


def words_of(example: str) -> list[str]:
    return shlex.split(example.partition("featx) " if "torchrun" in example else "featx ")[2])


@pytest.fixture(scope="session")
def files(tmp_path_factory, network_file):
    return ExampleFiles(tmp_path_factory.mktemp("examples"), network_file)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Run in an empty folder, without the caller's own settings."""
    place = tmp_path / "here"
    place.mkdir()
    monkeypatch.chdir(place)
    for name in ("XDG_CONFIG_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
    return place


def test_every_command_is_looked_at():
    assert {name.split()[1] for name in ALL if " " in name} == set(COMMANDS)
    assert set(NOT_RUN) | set(DRY_RUN) <= set(EXAMPLES), "an exception of no example"


@pytest.mark.parametrize("name", ALL)
def test_every_command_has_an_example_of_its_own(name):
    if name == "featx explain" and not examples(ALL[name]):
        pytest.skip("its help is being written anew")
    assert any(f"{line} ".startswith(f"{name} ") for line in examples(ALL[name]))


@pytest.mark.parametrize("example", [line for line in EXAMPLES if line not in UNRUN])
def test_the_example_runs(example, files, elsewhere):
    words = words_of(example)
    files.lay(words, elsewhere)
    there = set(elsewhere.rglob("*"))
    typed = []
    for word in words:  # as a shell does
        typed += sorted(map(str, Path().glob(word))) if "*" in word else [word]
    dry = example in DRY_RUN or "--dry-run" in words or words[0] == "plan"
    if example in DRY_RUN:
        typed.append("--dry-run")
    done = CliRunner().invoke(group, typed)
    assert done.exit_code == 0, f"{done.output}{done.exception}"
    made = set(elsewhere.rglob("*")) - there
    if "-o" in words and not dry:
        output = Path(words[words.index("-o") + 1])
        assert elsewhere / output in made, f"{output} was not written"
    elif dry:
        assert not {path for path in made if path.is_file()}, "a dry run wrote something"
    assert done.output.strip() or words[0] == "diff"  # as diff, of equal files it says nothing


@pytest.mark.parametrize("example", UNRUN)
def test_the_example_can_be_read(example, monkeypatch):
    called = []
    monkeypatch.setattr(click.Command, "invoke", lambda self, _: called.append(self))
    done = CliRunner().invoke(group, words_of(example))
    assert done.exit_code == 0, done.output
    assert not isinstance(called[-1], click.Group)

"""A shell completes commands and names, the names are those of the registries, and it is quick."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from click.shell_completion import BashComplete, ShellComplete

from cli import completion
from cli.main import group
from featx import plugins
from tests.regress.conftest import write_features

ROOT = Path(__file__).parents[2]


def completed(*words: str) -> list[str]:
    """Return what can stand in place of the last word, without marks for files."""
    *before, begun = words
    found = ShellComplete(group, {}, "featx", "_FEATX_COMPLETE").get_completions(before, begun)
    return [item.value for item in found if item.type == "plain"]


def test_commands_and_options():
    assert completed("ex") == ["extract", "experiment", "explain", "export"]
    assert "--backbone" in completed("extract", "--b")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("extract", "work", "--backbone", "resnet"), ["resnet18", "resnet50"]),
        (("extract", "work", "-b", "resnet50", "-w", "im"), ["imagenet", "imagenet-v2"]),
        (("extract", "work", "-b", "vgg16", "-w", ""), ["imagenet", "random"]),
        (("extract", "work", "-l", "gap", "-l", "first"), ["first_conv", "first_conv_max"]),
        (("prepare", "im"), ["imdb-wiki"]),
        (("prepare", "fgnet", "FGNET", "--detector", "d"), ["dlib", "dlib-cnn"]),
        (("predict", "network", "--detector", "mt"), ["mtcnn"]),
        (("regress", "none.h5", "--regressor", "s"), ["softmax", "svr"]),
        (("regress", "none.h5", "--protocol", "k"), ["kfold:5"]),
        (("finetune", "c.yaml", "--protocol", "l"), ["lopo"]),
        (("experiment", "run", "agenet/"), ["agenet/table4", "agenet/table5"]),
        (("doctor", "--numerics", "-b", "on"), ["onet"]),
    ],
)
def test_names(words, expected):
    assert completed(*words) == expected


@pytest.mark.parametrize("command", ["regress", "export", "repair"])
def test_layers_are_those_of_the_features_file(command, tmp_path):
    path = str(write_features(tmp_path / "features.h5"))
    assert completed(command, path, "--layer", "") == ["gap"]
    (tmp_path / "features.h5").write_bytes(b"damaged")
    assert completed(command, path, "--layer", "") == list(completion.LAYERS)


def test_files_can_stand_for_weights_and_experiments():
    for words in (("extract", "work", "-w"), ("experiment", "run")):
        found = ShellComplete(group, {}, "featx", "_").get_completions(list(words), "x")
        assert [(item.value, item.type) for item in found] == [("x", "file")]


def test_the_names_are_the_registries():
    pytest.importorskip("facenet_pytorch")
    from featx.backbones import get_backbone, list_backbones
    from featx.datasets import dataset_names
    from featx.faces import detector_names
    from featx.layers import NAMED
    from regress.protocols import PROTOCOLS

    registered = {name: tuple(sorted(get_backbone(name).weights)) for name in list_backbones()}
    assert registered == completion.BACKBONES
    assert list(completion.BACKBONES) == list_backbones()
    assert set(completion.LAYERS) == set(NAMED)
    assert set(completion.DETECTORS) == {*detector_names(), "none"}
    assert set(completion.DATASETS) == set(dataset_names())
    kinds = [name.partition(":")[0] for name in completion.PROTOCOLS]
    assert kinds == [name.partition(":")[0] for name in PROTOCOLS]


@pytest.mark.parametrize(
    ("words", "answer"),
    [("featx extract -b vgg", "vgg16"), ("featx regress f.h5 --regressor ri", "ridge")],
)
def test_the_program_answers_the_shell_without_heavy_imports(words, answer, monkeypatch):
    monkeypatch.setenv("_FEATX_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(len(words.split()) - 1))
    code = (
        "import sys\n"
        "from cli.main import main\n"
        "try:\n"
        "    main([])\n"
        "finally:\n"
        "    print(*{name.partition('.')[0] for name in sys.modules})\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=60
    )
    first, modules = done.stdout.splitlines()
    assert first == f"plain,{answer}"
    assert not set(modules.split()) & {"torch", "numpy", "pandas", "h5py", "sklearn", "pydantic"}


def test_the_documented_lines_give_the_scripts(monkeypatch):
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    for shell in ("bash", "zsh", "fish"):
        assert f"_FEATX_COMPLETE={shell}_source featx" in page
    monkeypatch.setattr(BashComplete, "_check_version", staticmethod(lambda: None))
    script = BashComplete(group, {}, "featx", "_FEATX_COMPLETE").source()
    assert "complete -o nosort -F _featx_completion featx" in script


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("backbone", ("extract", "work", "--backbone", "mobile")),
        ("data set", ("prepare", "mobile")),
        ("regressor", ("regress", "f.h5", "--regressor", "mobile")),
    ],
)
def test_what_other_packages_bring_is_among_them(kind, words, monkeypatch):
    before = completed(*words)
    entry = EntryPoint("mobile-plug-in", "nowhere:thing", plugins.GROUPS[kind])
    monkeypatch.setattr(
        plugins.importlib.metadata, "entry_points", lambda group: [entry] * (group == entry.group)
    )
    plugins._found.cache_clear()
    try:
        assert completed(*words) == [*before, "mobile-plug-in"]
    finally:
        plugins._found.cache_clear()

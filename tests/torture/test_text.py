"""Files that people write, with anything in them: a clear line names the file, or it is read."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from featx.checkpoints import read_checkpoint
from featx.cluster.profile import read_profile
from featx.errors import FeatxError
from featx.manifest import read_table
from featx.training.config.cascade_file import read_cascade
from featx.training.search.file import read_search
from regress.predictions import read_run
from regress.review import read_review
from tests.featx.training.made_faces import CASCADE, make_folder
from tests.regress.made_runs import write_run

ROOT = Path(__file__).parents[2]
PROFILE = '[slurm]\npartition = "cpu"\n[slurm.extract]\ngpus = 1\ntime = "2:00:00"\nsetup = ["a"]\n'
REVIEW = "image,dataset,label,decision\na,made,25,keep\nb,made,30,drop\n"


PIECES = [
    *(b"\0", b"\xff\xfe", b"-1", b"1e999", b"nan", b"{", b"[", b"- ", b"\n", b'"', b",", b": "),
    *(b"!!python/object/apply:os.system ['false']", b"&a [*a]", b"0x10", b"\xef\xbb\xbf"),
]


def edits(content):
    """Return a strategy of a file's bytes with pieces replaced, doubled, or left out."""
    place = st.integers(0, len(content))
    piece = st.binary(max_size=8) | st.sampled_from(PIECES)
    edit = st.tuples(place, place, piece)

    def apply(changes):
        changed = content
        for start, stop, new in changes:
            start, stop = sorted((start % (len(changed) + 1), stop % (len(changed) + 1)))
            stop = min(stop, start + 12)
            changed = changed[:start] + new + changed[stop:]
        return changed

    return st.lists(edit, min_size=1, max_size=4).map(apply) | st.binary(max_size=200)


def cases():
    search = (ROOT / "experiments/agenet/searches/structure.yaml").read_bytes()
    yield "cascade.yaml", CASCADE.encode(), read_cascade
    yield "search.yaml", search, read_search
    yield "cluster.toml", PROFILE.encode(), read_profile
    yield "review.csv", REVIEW.encode(), read_review


CASES = {name: (content, read) for name, content, read in cases()}


def reads_or_refuses(read, path, told):
    line = told
    try:
        read(path)
    except FeatxError as error:
        line = str(error).strip()
    assert told in line
    assert "\n" not in line


@pytest.mark.parametrize("name", CASES)
def test_files_that_people_write(name, tmp_path):
    content, read = CASES[name]
    path = tmp_path / name

    @settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
    @given(edits(content))
    def try_all(changed):
        path.write_bytes(changed)
        reads_or_refuses(read, path, name)

    try_all()


def test_image_tables(tmp_path):
    make_folder(tmp_path, subjects=2, each=2)
    path = tmp_path / "images.csv"

    @settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
    @given(edits(path.read_bytes()))
    def try_all(changed):
        path.write_bytes(changed)
        reads_or_refuses(read_table, path, "images.csv")

    try_all()


@pytest.mark.parametrize("name", ["run.json", "predictions.csv"])
def test_runs(name, tmp_path):
    write_run(tmp_path / "run", ["0-12", "15-20", "25-100"] * 4, ["0-12"] * 12)
    path = tmp_path / "run" / name

    @settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
    @given(edits(path.read_bytes()))
    def try_all(changed):
        path.write_bytes(changed)
        reads_or_refuses(read_run, tmp_path / "run", str(tmp_path / "run"))

    try_all()


@pytest.mark.parametrize("ending", [".safetensors", ".pt"])
def test_weights(ending, tmp_path):
    import torch
    from safetensors.torch import save_file

    path = tmp_path / f"weights{ending}"
    state = {"a.weight": torch.ones(3, 2), "a.bias": torch.zeros(3)}
    save_file(state, path) if ending == ".safetensors" else torch.save(state, path)

    @settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
    @given(edits(path.read_bytes()))
    def try_all(changed):
        path.write_bytes(changed)
        reads_or_refuses(read_checkpoint, path, path.name)

    try_all()

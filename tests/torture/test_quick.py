"""The quick part of the torture: a few rounds of each fault; `make torture` has the many."""

import pytest

from tests.torture import disks, endurance, files, kills, pictures
from tests.torture.verbs import VERBS, make_inputs

BY_NAME = {verb.name: verb for verb in VERBS}
QUICK = ("extract", "regress ridge", "merge")


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    return make_inputs(tmp_path_factory.mktemp("inputs"))


@pytest.fixture(scope="module")
def usual(inputs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("usual")
    return {
        name: kills.undisturbed(BY_NAME[name], inputs, folder / name.replace(" ", "-"))
        for name in QUICK
    }


def nothing():
    pass


@pytest.mark.parametrize("name", ["extract", "regress ridge"])
def test_killed_and_resumed(usual, tmp_path, name):
    outcome = kills.kills(usual[name], len(kills.SIGNALS), tmp_path / "round", 0, nothing)
    assert not outcome.problems, "\n".join(outcome.problems)


def test_two_at_once(usual, tmp_path):
    outcome = kills.two_at_once(usual["extract"], 1, tmp_path / "round")
    assert not outcome.problems, "\n".join(outcome.problems)


@pytest.mark.skipif(disks.compiler() is None, reason="no C compiler to make writes fail with")
@pytest.mark.parametrize("name", ["merge"])
def test_writes_that_fail(usual, tmp_path, name):
    library = disks.build(tmp_path)
    outcome = disks.disks(usual[name], library, 4, tmp_path / "round", 0, nothing)
    assert not outcome.problems, "\n".join(outcome.problems)


def test_damaged_features_files(inputs, tmp_path):
    content = (inputs / "features.h5").read_bytes()
    for outcome in files.damaged_files(content, 20, tmp_path / "files", 0, nothing):
        assert not outcome.problems, "\n".join(outcome.problems)


def test_bad_images(inputs, tmp_path):
    face = next(iter(sorted(inputs.glob("faces/**/*.JPG"))))
    outcome = pictures.pictures(tmp_path, face, step=1999, mutants=4, seed=0)
    assert not outcome.problems, "\n".join(outcome.problems)
    assert outcome.struck["corrupt"] > 10


def test_what_grows_is_found():
    steady = [endurance.Held(500 << 20, 9, 3, 0, 4)] * 8
    assert endurance.growing(steady) == []
    leaking = [endurance.Held((500 + 40 * n) << 20, 9 + n, 3, 0, 4) for n in range(8)]
    assert [line.split()[0] for line in endurance.growing(leaking)] == ["memory", "files"]

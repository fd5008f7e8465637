"""Some images of a run: the parts make up the whole, and are runs like any other."""

import numpy as np
import pytest

from featx.errors import FeatxError
from regress import metrics
from regress.compare_groups import compare_groups
from regress.expected_age import expected_ages
from regress.predictions import read_run
from regress.probabilities import has_probabilities, read_probabilities
from regress.report.passport import regress_command
from regress.subset import write_subset
from tests.regress.made_runs import GROUPS, draw, draw_probabilities, write_run


@pytest.fixture
def run(tmp_path):
    true, guess = draw(60, 0)
    return write_run(
        tmp_path / "run", true, guess, probabilities=draw_probabilities(60, 1), shuffle=2
    )


def test_parts_make_up_the_whole(tmp_path, run):
    rng = np.random.default_rng(0)
    images = run.predictions["image"].to_numpy()
    side = rng.random(len(images)) < 0.3
    parts = []
    for name, chosen in (("few", side), ("many", ~side)):
        told = write_subset(run, images[chosen].tolist(), name, tmp_path / name)
        part = read_run(tmp_path / name)
        assert part.method == told["method"] == f"net · {name}"
        assert told["counts"] == {"total": chosen.sum(), "evaluated": chosen.sum()}
        assert told["folds"]["done"] == told["folds"]["planned"] == 3
        assert told["protocol"] == "folds"
        parts.append(part)
    for image, group, guess, age, probable in zip(
        *(run.predictions[name] for name in ("image", *run.columns)),
        expected_ages(run),
        read_probabilities(run).values,
        strict=True,
    ):
        (part,) = [one for one in parts if image in set(one.predictions["image"])]
        row = part.predictions["image"].tolist().index(image)
        assert part.predictions.loc[row, list(run.columns)].tolist() == [group, guess]
        assert read_probabilities(part).values[row] == pytest.approx(probable, abs=1e-7)
        assert expected_ages(part)[image] == pytest.approx(age, rel=1e-6)
    shares = [metrics.accuracy(*(one.predictions[name] for name in run.columns)) for one in parts]
    weights = [len(one.predictions) for one in parts]
    whole = metrics.accuracy(*(run.predictions[name] for name in run.columns))
    assert np.average(shares, weights=weights) == pytest.approx(whole)


def test_the_same_images_are_compared_and_others_are_not(tmp_path, run):
    true, guess = run.predictions[list(run.columns)].to_numpy().T
    second = write_run(
        tmp_path / "second",
        true,
        np.roll(guess, 1),
        images=run.predictions["image"].tolist(),
        method="other",
    )
    some = run.predictions["image"].tolist()[:20]
    with pytest.raises(FeatxError, match="different splits"):
        compare_groups([_part(run, some, tmp_path / "a"), _part(second, some[1:], tmp_path / "b")])
    found = compare_groups([read_run(tmp_path / "a"), _part(run, some[::-1], tmp_path / "c")])
    assert found.table["n_images"].tolist() == [20, 20]
    assert found.table["accuracy"].nunique() == 1


def _part(run, images, folder):
    write_subset(run, images, folder.name, folder, told={"command": ["make", folder.name]})
    return read_run(folder)


def test_folds_without_such_an_image_are_none_and_missing_ones_are_missed(tmp_path):
    true, guess = draw(30, 0)
    run = write_run(tmp_path / "run", true, guess, left_out=("2",))
    first = run.predictions.loc[run.predictions["fold"] == "0", "image"].tolist()
    told = write_subset(run, first, "first", tmp_path / "part")
    assert told["folds"] == {"planned": 2, "done": 1, "missing": ["2"], "failed": {}}
    assert regress_command(_part(run, first, tmp_path / "again")) == "make again"


def test_a_part_is_kept_and_made_again_where_its_run_is_another(tmp_path, run):
    images = run.predictions["image"].tolist()[:9]
    write_subset(run, images, "p", tmp_path / "p")
    piece = next((tmp_path / "p" / "folds").glob("*.csv"))
    before = piece.stat().st_mtime_ns
    write_subset(run, images, "p", tmp_path / "p")
    assert piece.stat().st_mtime_ns == before
    true, guess = draw(60, 7)
    other = write_run(tmp_path / "other", true, guess, groups=GROUPS)
    write_subset(other, images, "p", tmp_path / "p")
    table = read_run(tmp_path / "p").predictions.set_index("image")
    expected = other.predictions.set_index("image").loc[table.index, list(other.columns)]
    assert table[list(other.columns)].equals(expected)


def test_runs_of_ages_without_probabilities_have_parts_too(tmp_path):
    ages = np.arange(12.0)
    run = write_run(tmp_path / "run", ages, ages + 1, task="age")
    part = _part(run, ["i3", "i5"], tmp_path / "part")
    assert part.task == "age"
    assert not has_probabilities(part)
    assert sorted(part.predictions["predicted_age"]) == [4, 6]


def test_what_is_no_part_is_told(tmp_path, run):
    with pytest.raises(FeatxError, match="has predicted no image of elsewhere"):
        write_subset(run, ["nowhere"], "elsewhere", tmp_path / "part")
    with pytest.raises(FeatxError, match="is the folder of the run itself"):
        write_subset(run, ["i1"], "one", run.folder)

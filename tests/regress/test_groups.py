"""Runs of age groups: their metrics by brute force, ages read as groups, comparison and report."""

import json

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from cli.compare import compare as command
from featx.errors import FeatxError
from regress import metrics
from regress.compare_groups import compare_groups
from regress.grouping import into_groups, parse_groups
from regress.predictions import Run, find_runs, read_run
from tests.regress.made_runs import GROUPS, draw, write_run

PAPER = np.array([[1646, 12, 9], [12, 36, 104], [66, 143, 2362]])  # König (2019), Table 6


def from_matrix(matrix):
    true = [GROUPS[i] for i, row in enumerate(matrix) for n in row for _ in range(n)]
    guess = [GROUPS[j] for row in matrix for j, n in enumerate(row) for _ in range(n)]
    return np.array(true), np.array(guess)


def test_the_papers_confusion_matrix_gives_its_precision_and_recall():
    true, guess = from_matrix(PAPER)
    scores = metrics.per_group(true, guess, GROUPS)
    assert scores.precision[[0, 2]] == pytest.approx([0.95, 0.95], abs=0.005)
    assert scores.recall[[0, 2]] == pytest.approx([0.98, 0.92], abs=0.01)
    assert scores.support.tolist() == PAPER.sum(1).tolist()
    assert (metrics.confusion(true, guess, GROUPS) == PAPER).all()
    # the text's 92.59 % is not what its matrix gives
    assert metrics.accuracy(true, guess) == pytest.approx(0.9212, abs=1e-4)


@given(
    pairs=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 2)), min_size=1)
)
def test_metrics_by_counting(pairs):
    order = ["a", "b", "c", "d"]
    true, guess = ([order[p[k]] for p in pairs] for k in (0, 1))
    folds = [str(p[2]) for p in pairs]
    scores = metrics.per_group(true, guess, order)
    for k, name in enumerate(order):
        hits = sum(t == g == name for t, g in zip(true, guess, strict=True))
        for value, n in (
            (scores.precision[k], guess.count(name)),
            (scores.recall[k], true.count(name)),
        ):
            assert np.isnan(value) if n == 0 else value == pytest.approx(hits / n)

    def accuracy(rows):
        return float(np.mean([true[row] == guess[row] for row in rows]))

    shares = [
        np.mean([t == g for t, g, f in zip(true, guess, folds, strict=True) if f == fold])
        for fold in set(folds)
    ]
    mean, sd = metrics.over_folds(accuracy, folds, len(true))
    assert mean == pytest.approx(np.mean(shares))
    assert np.isnan(sd) if len(shares) == 1 else sd == pytest.approx(np.std(shares, ddof=1))


def test_comparison_numbers_are_the_runs_own(tmp_path):
    true, guess = draw(120, 0)
    write_run(tmp_path / "a", true, guess, method="a")
    worse = np.where(np.arange(120) % 3 == 0, "0-12", guess)
    write_run(tmp_path / "b", true, worse, method="b")
    found = compare_groups(find_runs([tmp_path]), bootstrap=500)
    assert found.names == ("a", "b")
    row = found.table.iloc[0]
    assert row["accuracy"] == pytest.approx(np.mean(true == guess))
    assert row["accuracy_low"] < row["accuracy"] < row["accuracy_high"]
    assert row["one_off_low"] <= row["one_off"] <= row["one_off_high"]
    place = {name: k for k, name in enumerate(GROUPS)}
    near = [abs(place[t] - place[g]) <= 1 for t, g in zip(true, guess, strict=True)]
    assert row["one_off"] == pytest.approx(np.mean(near))
    off = np.mean([abs(place[t] - place[g]) for t, g in zip(true, guess, strict=True)])
    assert row["aabd"] == pytest.approx(off)
    assert row["aabd_low"] < off < row["aabd_high"]
    test = found.tests.iloc[0]
    assert test["difference"] == pytest.approx(np.mean(true == guess) - np.mean(true == worse))
    assert test["low"] <= test["difference"] <= test["high"]
    assert found.confusion[0].sum() == 120


def test_the_interval_of_aabd_resamples_subjects(tmp_path):
    """The same draws by hand, over the six subjects."""
    true, guess = draw(120, 0)
    run = write_run(tmp_path, true, guess)
    found = compare_groups([run], bootstrap=400, seed=5).table.iloc[0]
    place = {name: k for k, name in enumerate(GROUPS)}
    table = run.predictions
    off = (table["age_group"].map(place) - table["predicted_group"].map(place)).abs()
    sums = off.groupby(table["subject"]).sum()[pd.unique(table["subject"])].to_numpy()
    drawn = np.random.default_rng(5).multinomial(6, np.full(6, 1 / 6), size=400)
    ends = np.percentile((drawn @ sums) / (drawn.sum(axis=1) * 20), [2.5, 97.5])
    assert found[["aabd_low", "aabd_high"]].tolist() == pytest.approx(ends)


def test_the_report(tmp_path):
    true, guess = draw(90, 1)
    write_run(tmp_path / "runs" / "a", true, guess, method="a & <b>")
    write_run(tmp_path / "runs" / "c", true, true, method="c")
    result = CliRunner().invoke(
        command, [str(tmp_path / "runs"), "-o", str(tmp_path / "report"), "--bootstrap", "200"]
    )
    assert result.exit_code == 0, result.output
    assert "100.0 ± 0.0 %" in result.output
    assert "AABD" in result.output
    page = (tmp_path / "report" / "report.html").read_text()
    assert "a &amp; &lt;" in page
    assert "--groups 0-12,15-20,25-100" in page
    written = pd.read_csv(tmp_path / "report" / "confusion.csv")
    assert written[list(GROUPS)].to_numpy().sum() == 180
    assert (tmp_path / "report" / "figures" / "confusion_2.svg").exists()
    assert "AABD 95 % CI" in page
    text = (tmp_path / "report" / "table.md").read_text()
    assert "| AABD | AABD 95 % CI |" in text
    assert {"aabd", "aabd_low", "aabd_high"} <= set(pd.read_csv(tmp_path / "report" / "table.csv"))
    assert "| true | 0-12 | 15-20 | 25-100 |" in text


def age_run(age, predicted):
    table = pd.DataFrame(
        {
            "image": [f"i{k}" for k in range(len(age))],
            "subject": [f"s{k % 4}" for k in range(len(age))],
            "fold": "0",
            "age": np.array(age, float),
            "predicted_age": np.array(predicted, float),
        }
    )
    return Run(None, {"method": "m"}, table)


@pytest.mark.parametrize(
    ("age", "predicted", "true_group", "predicted_group"),
    [
        (12, 3, "0-12", "0-12"),
        (12.9, 12.9, "0-12", "0-12"),  # twelve years old until the birthday
        (20, 13.9, "15-20", "0-12"),
        (20, 14.1, "15-20", "15-20"),
        (15, 23.5, "15-20", "25-100"),
        (15, 22.9, "15-20", "15-20"),
        (25, 23.0, "25-100", "15-20"),  # as near to 21 as to 25: the younger
        (100, -4, "25-100", "0-12"),
        (100, 120, "25-100", "25-100"),
        (22, 30, None, None),
        (101, 30, None, None),
    ],
)
def test_ages_as_groups(age, predicted, true_group, predicted_group):
    run = into_groups(age_run([age, 5], [predicted, 5]), GROUPS)
    assert run.info["outside_groups"] == (true_group is None)
    if true_group:
        row = run.predictions.iloc[0]
        assert (row["age_group"], row["predicted_group"]) == (true_group, predicted_group)
    assert len(run.predictions) == 1 + (true_group is not None)


def test_finer_groups_are_merged(tmp_path):
    eight = ("0-2", "4-6", "8-12", "15-20", "25-32", "38-43", "48-53", "60-100")
    true, guess = draw(160, 2, groups=eight)
    run = write_run(tmp_path / "a", true, guess, groups=eight)
    merged = into_groups(run, GROUPS)
    coarse = dict(zip(eight, ["0-12"] * 3 + ["15-20"] + ["25-100"] * 4, strict=True))
    order = merged.predictions["image"].str[1:].astype(int)
    assert merged.predictions["age_group"].tolist() == [coarse[true[k]] for k in order]
    assert merged.predictions["predicted_group"].tolist() == [coarse[guess[k]] for k in order]
    assert into_groups(merged, GROUPS) is merged


@pytest.mark.parametrize(
    "text", ["0-12", "0-12,10-20", "20-30,0-10", "a-b,c-d", "12-0,15-20", "", "0-12;15-20"]
)
def test_malformed_groups(text):
    with pytest.raises(FeatxError, match="--groups"):
        parse_groups(text)


def test_runs_that_do_not_go_together(tmp_path):
    true, guess = draw(60, 3)
    write_run(tmp_path / "a", true, guess)
    two = ("0-20", "25-100")
    true, guess = draw(60, 3, groups=two)
    write_run(tmp_path / "b", true, guess, groups=two)
    runs = find_runs([tmp_path])
    with pytest.raises(FeatxError, match=r"predicts the groups .* and .*; give --groups"):
        compare_groups(runs)
    both = [into_groups(run, parse_groups("0-20,25-100")) for run in runs]
    with pytest.raises(FeatxError, match="these are not the same images or labels"):
        compare_groups(both)  # their labels were drawn apart


def test_a_table_without_its_columns_is_told(tmp_path):
    true, guess = draw(30, 4)
    run = write_run(tmp_path / "a", true, guess)
    path = run.folder / "predictions.csv"
    path.write_text(path.read_text().replace("age_group", "group"))
    with pytest.raises(FeatxError, match="has no column 'age_group'"):
        read_run(run.folder)
    assert json.loads((run.folder / "run.json").read_text())["groups"] == list(GROUPS)

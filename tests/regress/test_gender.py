"""Runs of gender: compared, reported, and kept apart from runs of ages."""

import json
import re

import numpy as np
import pandas as pd
import pytest
import sklearn.metrics
from click.testing import CliRunner

from cli.compare import compare as command
from featx.errors import FeatxError
from regress.compare import compare
from regress.compare_groups import compare_groups
from regress.grouping import into_groups
from regress.predictions import GENDERS, find_runs
from regress.report.gender_histogram import histogram
from tests.regress.made_runs import GROUPS, draw, write_run
from tests.regress.report.test_page import parsed


def gender_run(folder, n=80, seed=0, right=0.8, **options):
    rng = np.random.default_rng(seed)
    true = np.array(GENDERS)[np.random.default_rng(9).integers(0, 2, n)]
    female = np.where((true == "female") == (rng.random(n) < right), 0.97, 0.04)
    female[:3] = [1.0, 0.0, 0.5]
    guess = np.where(female >= 0.5, *GENDERS)
    probable = np.stack([female, 1 - female], axis=1)
    return write_run(
        folder, true, guess, task="gender", groups=GENDERS, probabilities=probable, **options
    )


def age_run(folder, n=80, seed=0, **options):
    rng = np.random.default_rng(seed)
    age = rng.integers(1, 60, n)
    return write_run(folder, age, age + rng.normal(0, 3, n), ages=age, task="age", **options)


def test_genders_compare_by_accuracy_alone(tmp_path):
    good = gender_run(tmp_path / "good", right=0.9, method="good")
    poor = gender_run(tmp_path / "poor", right=0.6, seed=1, method="poor")
    found = compare_groups([poor, good], bootstrap=300)
    assert found.names == ("good", "poor")
    assert found.task.label == "gender"
    columns = set(found.table)
    assert "accuracy_sd_of_folds" in columns
    assert not any(c.startswith(("one_off", "aabd", "expected")) for c in columns)
    table = good.predictions
    true, guess = table["gender"], table["predicted_gender"]
    row = found.table.iloc[0]
    assert row["accuracy"] == pytest.approx(sklearn.metrics.accuracy_score(true, guess))
    assert row["accuracy_low"] < row["accuracy"] < row["accuracy_high"]
    assert found.by_group["gender"].tolist() == [*GENDERS, *GENDERS]
    assert found.by_group["recall"][:2].tolist() == pytest.approx(
        sklearn.metrics.recall_score(true, guess, labels=GENDERS, average=None)
    )
    wanted = sklearn.metrics.confusion_matrix(true, guess, labels=GENDERS)
    assert (found.confusion[0] == wanted).all()


def test_the_histogram_counts_every_image_once(tmp_path):
    run = gender_run(tmp_path)
    counts = histogram(run)
    true = run.predictions["gender"]
    assert {name: n.sum() for name, n in counts.items()} == true.value_counts().to_dict()
    total = counts["female"] + counts["male"]
    assert total[10] == 1  # the image at one half
    assert total[19] == (run.predictions["predicted_gender"] == "female").sum() - 1
    assert total[0] == (run.predictions["predicted_gender"] == "male").sum()


def test_the_report_says_gender(tmp_path):
    gender_run(tmp_path / "runs" / "a", method="a")
    gender_run(tmp_path / "runs" / "b", method="b", seed=1)
    out = tmp_path / "report"
    told = CliRunner().invoke(command, [str(tmp_path / "runs"), "-o", str(out)])
    assert told.exit_code == 0, told.output
    assert "1-off" not in told.output
    assert "AABD" not in told.output
    html = (out / "report.html").read_text()
    page = parsed(html)
    assert len(set(page.ids)) == len(page.ids)
    text = " ".join("".join(page.text).split())
    assert "Gender: methods compared" in text
    assert "share of images whose gender is right" in text
    for absent in ("1-off", "AABD", "age group", "--groups", "MAE"):
        assert absent not in re.sub(r"Everything recorded.*", "", text)
    assert html.count("Histogram of the probabilities") == 2
    for k in (1, 2):
        for end in ("png", "svg"):
            assert (out / "figures" / f"gender_histogram_{k}.{end}").stat().st_size > 1000
    written = pd.read_csv(out / "histogram.csv")
    assert written["n_images"].sum() == 160
    assert len(written) == 2 * 2 * 20
    assert "| true | female | male |" in (out / "table.md").read_text()


def test_without_probabilities_there_is_no_histogram(tmp_path):
    run = gender_run(tmp_path / "runs")
    info = json.loads((run.folder / "run.json").read_text()) | {"probabilities": False}
    (run.folder / "run.json").write_text(json.dumps(info))
    out = tmp_path / "report"
    told = CliRunner().invoke(command, [str(run.folder), "-o", str(out)])
    assert told.exit_code == 0, told.output
    assert not (out / "histogram.csv").exists()
    assert not list((out / "figures").glob("gender*"))


def test_genders_and_ages_do_not_compare(tmp_path):
    gender, ages = gender_run(tmp_path / "g"), age_run(tmp_path / "a")
    true, guess = draw(80, 0)
    grouped = write_run(tmp_path / "b", true, guess)
    for pair in ([gender, ages], [ages, gender], [grouped, gender]):
        for function in (compare, compare_groups):
            with pytest.raises(FeatxError, match=r"gender \(female, male\).*; compare them apart"):
                function(pair)
    with pytest.raises(FeatxError, match="predicts genders, not ages"):
        compare([gender])
    with pytest.raises(FeatxError, match="predicts ages; give --groups"):
        compare_groups([ages])
    with pytest.raises(FeatxError, match="give --groups"):
        compare_groups([ages, grouped])
    with pytest.raises(FeatxError, match="which has no groups of ages"):
        into_groups(gender, GROUPS)
    with pytest.raises(FeatxError, match="nothing to compare"):
        compare_groups([])


@pytest.fixture
def both(tmp_path):
    """What a network with two heads writes under a protocol."""
    runs = tmp_path / "out" / "runs"
    age_run(runs / "end-to-end", method="end to end")
    gender_run(runs / "end-to-end.gender", method="end to end")
    assert len(find_runs([tmp_path / "out"])) == 2
    return tmp_path / "out"


def call(*arguments):
    return CliRunner().invoke(command, list(map(str, arguments)))


def test_ages_and_genders_get_a_report_each(both, tmp_path):
    out = tmp_path / "report"
    told = call(both, "-o", out, "--bootstrap", "200", "--title", "Two heads")
    assert told.exit_code == 0, told.output
    lines = told.output.splitlines()
    assert [line for line in lines if line.startswith("report")] == [
        f"report -> {out / 'report.html'}",
        f"report -> {out / 'gender' / 'report.html'}",
    ]
    assert told.output.index("MAE") < told.output.index("accuracy")
    assert "<title>Two heads</title>" in (out / "report.html").read_text()
    assert "<title>Two heads: gender</title>" in (out / "gender" / "report.html").read_text()


def test_groups_are_for_the_ages_only(both, tmp_path):
    told = call(both, "-o", tmp_path / "report", "--groups", "0-20,21-100", "--bootstrap", "200")
    assert told.exit_code == 0, told.output
    assert "21-100" in (tmp_path / "report" / "by_group.csv").read_text()
    assert "female" in (tmp_path / "report" / "gender" / "by_group.csv").read_text()
    told = call(both / "runs" / "end-to-end.gender", "-o", tmp_path / "r", "--groups", "0-20,21-90")
    assert "there are runs of gender only" in str(told.exception)


def test_what_is_wrong_with_one_leaves_no_half_of_a_report(both, tmp_path):
    gender_run(both / "runs" / "other.gender", split="another", method="other")
    told = call(both, "-o", tmp_path / "report")
    assert "different splits" in str(told.exception)
    assert not (tmp_path / "report").exists()


def test_dry_run_names_both_reports(both, tmp_path):
    told = call(both, "-o", tmp_path / "report", "--dry-run").output
    assert f"would compare 1 methods -> {tmp_path / 'report' / 'report.html'}" in told
    assert f"would compare 1 methods -> {tmp_path / 'report' / 'gender' / 'report.html'}" in told
    assert not (tmp_path / "report").exists()

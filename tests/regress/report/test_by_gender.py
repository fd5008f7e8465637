import dataclasses
import re

import numpy as np
import pytest

from regress.by_gender import errors_by_gender
from regress.compare import compare
from regress.image_facts import genders, image_facts
from regress.predictions import GENDERS
from regress.report.formats import NOTHING
from regress.report.gender_figure import gender_figure
from regress.report.marks import marks_of
from regress.report.page import write_report
from regress.report.sections import further_sections

UNKNOWN = 7  # images


def with_gender(run, seed=0):
    """Give a run's images genders by subject, and seven of them none."""
    table = run.predictions
    number = table["subject"].astype(int)
    gender = np.where(number % 2 == 0, "female", "male").astype(object)
    gender[np.random.default_rng(seed).permutation(len(table))[:UNKNOWN]] = ""
    return dataclasses.replace(run, predictions=table.assign(gender=gender))


@pytest.fixture
def made(runs):
    return [with_gender(run) for run in runs(["a", "b"], n_subjects=20, n_images=200)]


def table_of(comparison):
    return errors_by_gender(comparison, genders(comparison.runs, image_facts(comparison.runs)))


def test_errors_counts_and_differences_are_those_by_hand(made):
    comparison = compare(made, bootstrap=500)
    table = table_of(comparison).set_index(["method", "gender"])
    for run in made:
        own = run.predictions.assign(
            signed=lambda t: t["predicted_age"] - t["age"],
            gender=lambda t: t["gender"].replace("", "unknown"),
        )
        for gender, some in own.groupby("gender"):
            row = table.loc[(run.method, gender)]
            assert row["mae"] == pytest.approx(some["signed"].abs().mean())
            assert row["bias"] == pytest.approx(some["signed"].mean())
            assert row["n_images"] == len(some)
            assert row["n_subjects"] == some["subject"].nunique()
            assert row["mae_low"] < row["mae"] < row["mae_high"]
        mae = table["mae"][run.method]
        assert mae["female - male"] == pytest.approx(mae["female"] - mae["male"])
        assert table.loc[(run.method, "unknown"), "n_images"] == UNKNOWN


def test_intervals_are_those_of_resampling_subjects_by_hand(made):
    comparison = compare(made[:1], bootstrap=2000)
    own = made[0].predictions.assign(error=lambda t: (t["predicted_age"] - t["age"]).abs())
    error, gender = own["error"].to_numpy(), own["gender"].to_numpy(str)
    rows = [np.flatnonzero(own["subject"] == name) for name in own["subject"].unique()]
    rng = np.random.default_rng(9)
    drawn = []
    for _ in range(2000):
        sample = np.concatenate([rows[k] for k in rng.integers(0, len(rows), len(rows))])
        female, male = (error[sample][gender[sample] == name].mean() for name in GENDERS)
        drawn.append((female, male, female - male))
    low, high = np.percentile(drawn, [2.5, 97.5], axis=0)
    table = table_of(comparison).set_index("gender").loc[["female", "male", "female - male"]]
    np.testing.assert_allclose(table["mae_low"], low, atol=0.12)
    np.testing.assert_allclose(table["mae_high"], high, atol=0.12)


def test_the_page_has_the_section_only_where_a_gender_is_known(made, runs, tmp_path):
    comparison = compare(made, bootstrap=200)
    page = write_report(comparison, tmp_path).read_text(encoding="utf-8")
    assert "Error by gender" in page
    assert f"The gender of {UNKNOWN} images is unknown" in page
    assert (tmp_path / "by_gender.csv").is_file()
    assert (tmp_path / "figures" / "error_by_gender.svg").is_file()
    unknown = further_sections(compare(runs(["a"]), bootstrap=200))
    assert unknown.page["gender"] is None


def test_one_gender_has_no_difference(made):
    only = [
        dataclasses.replace(run, predictions=run.predictions.assign(gender="female"))
        for run in made
    ]
    comparison = compare(only, bootstrap=200)
    table = table_of(comparison)
    assert set(table["gender"]) == {"female"}
    np.testing.assert_allclose(table["mae"], comparison.table["mae"])
    assert further_sections(comparison).page["gender"]["kinds"] == ["female"]


def test_genders_without_subjects_and_methods_of_few_images(made):
    for run in made:
        run.predictions["subject"] = ""
    few = made[1].predictions.query("gender == 'male'").reset_index(drop=True)
    made[1] = dataclasses.replace(made[1], predictions=few)
    comparison = compare(made, bootstrap=200)
    table = table_of(comparison)
    assert "n_subjects" not in table
    assert table[table["method"] == "b"]["gender"].tolist() == ["male"]
    shown = further_sections(comparison).page["gender"]
    assert [what for what, _ in shown["counts"]] == ["images"]
    assert dict(shown["rows"])["b"][0] == NOTHING


@pytest.mark.parametrize("width", [7.6, 3.7])
def test_the_figure_draws_the_table(made, width):
    comparison = compare(made, bootstrap=200)
    table = table_of(comparison)
    figure = gender_figure(table, comparison.names, width)
    marks, told = marks_of(figure), set()
    for point in figure.axes[0].lines:
        if point.get_gid() not in marks:
            assert not len(point.get_xdata())  # of the legend
            continue
        row, say = marks[point.get_gid()]
        told.add(row)
        assert point.get_xdata() == [table["mae"][row]]
        assert set(re.findall(r"{(\w+)", say)) <= set(table.columns)
    assert told == set(table.index[table["gender"].isin(["female", "male"])])

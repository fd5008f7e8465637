"""Ages that runs of groups imply: by hand, against scikit-learn, and in the comparison."""

import numpy as np
import pandas as pd
import pytest
import sklearn.metrics
from hypothesis import given
from hypothesis import strategies as st

from featx.errors import FeatxError
from regress import metrics
from regress.compare_groups import compare_groups
from regress.expected_age import (
    expected_ages,
    gapped_accuracy,
    has_expected_ages,
    told_classes,
)
from regress.grouping import group_bounds, group_of, have_gaps, into_groups, nearest_group
from regress.predictions import GENDERS, Run
from regress.report.formats import NOTHING
from regress.report.group_tables import group_ranking, terminal_groups
from tests.regress.made_runs import GROUPS, draw, draw_probabilities, write_run

ADIENCE = ("0-2", "4-6", "8-12", "15-20", "25-32", "38-43", "48-53", "60-100")


def rows_of(run):
    return run.predictions["image"].str[1:].astype(int).to_numpy()


def test_ages_are_the_expected_value_of_the_groups_middles(tmp_path):
    true, guess = draw(30, 0)
    probable = draw_probabilities(30, 1)
    run = write_run(tmp_path, true, guess, probabilities=probable)
    ages = expected_ages(run)
    assert ages.index.tolist() == run.predictions["image"].tolist()
    for image, age in ages.items():
        p = probable[int(image[1:])]
        assert age == pytest.approx(6 * p[0] + 17.5 * p[1] + 62.5 * p[2], rel=1e-6)


def test_ages_of_runs_of_ages_are_their_own_also_where_read_as_groups(tmp_path):
    age, predicted = np.arange(30.0) + 1, np.arange(30.0) + 2.5
    run = write_run(tmp_path, age, predicted, task="age")
    assert expected_ages(run).tolist() == predicted[rows_of(run)].tolist()
    coarse = into_groups(run, GROUPS)
    assert expected_ages(coarse).tolist() == predicted[rows_of(coarse)].tolist()


def test_finer_groups_read_as_coarse_keep_the_ages_of_the_fine(tmp_path):
    true, guess = draw(40, 0, groups=ADIENCE)
    probable = draw_probabilities(40, 1, k=8)
    run = write_run(tmp_path, true, guess, groups=ADIENCE, probabilities=probable)
    coarse = into_groups(run, GROUPS)
    pd.testing.assert_series_equal(
        expected_ages(coarse), expected_ages(run)[coarse.predictions.image]
    )


def test_what_has_no_expected_age_is_told(tmp_path):
    true, guess = draw(12, 0, groups=GENDERS)
    gender = write_run(tmp_path / "gender", true, guess, task="gender", groups=GENDERS)
    assert not has_expected_ages(gender)
    with pytest.raises(FeatxError, match="predicts gender, which has no expected age"):
        expected_ages(gender)
    true, guess = draw(12, 0)
    run = write_run(tmp_path / "groups", true, guess)
    assert has_expected_ages(run)
    (run.folder / "probabilities.h5").unlink()
    assert not has_expected_ages(run)
    with pytest.raises(FeatxError, match="has no class probabilities"):
        expected_ages(run)


@pytest.mark.parametrize(
    ("age", "true", "exact", "near"),
    [
        (15.0, "15-20", 1, 1),
        (20.7, "15-20", 1, 1),  # twenty years old until the birthday
        (20.999, "15-20", 1, 1),
        (21.0, "15-20", 0, 0),  # in the gap before 25
        (14.9, "15-20", 0, 0),
        (25.0, "15-20", 0, 1),
        (12.99, "15-20", 0, 1),
        (13.0, "15-20", 0, 0),
        (38.0, "15-20", 0, 0),  # two groups away
        (2.99, "0-2", 1, 1),
        (3.0, "0-2", 0, 0),
        (-0.1, "0-2", 0, 0),
        (100.9, "60-100", 1, 1),
        (101.0, "60-100", 0, 0),
        (80.0, "0-2", 0, 0),  # the first and the last are no neighbours
    ],
)
def test_ages_against_groups_with_gaps(age, true, exact, near):
    assert gapped_accuracy([age], [true], ADIENCE) == (exact, near)


@given(
    st.lists(
        st.tuples(st.floats(0, 110), st.integers(0, len(ADIENCE) - 1)), min_size=1, max_size=30
    )
)
def test_gapped_accuracy_by_search(pairs):
    spans = [tuple(map(int, name.split("-"))) for name in ADIENCE]

    def inside(age, k):
        return 0 <= k < len(spans) and spans[k][0] <= age < spans[k][1] + 1

    found = gapped_accuracy([a for a, _ in pairs], [ADIENCE[k] for _, k in pairs], ADIENCE)
    assert found[0] == pytest.approx(np.mean([inside(a, k) for a, k in pairs]))
    near = [any(inside(a, k + step) for step in (-1, 0, 1)) for a, k in pairs]
    assert found[1] == pytest.approx(np.mean(near))


@given(st.lists(st.floats(-5, 120), min_size=1, max_size=30))
def test_the_nearest_group_by_search(ages):
    def distance(age, first, last):
        return 0 if first <= age < last + 1 else max(first - age, age - last - 1)

    spans = [tuple(map(int, name.split("-"))) for name in ADIENCE]
    for age, found in zip(ages, nearest_group(ages, ADIENCE), strict=True):
        holding = [k for k, (first, last) in enumerate(spans) if first <= age < last + 1]
        away = [distance(age, *span) for span in spans]
        assert [found] == holding or (not holding and found == away.index(min(away)))


def test_a_network_of_other_classes_tells_the_group_nearest_to_its_expected_age():
    bins = np.array(["0-2", "3-6", "30-39", "60-99"])  # middles 1, 4.5, 34.5 and 79.5
    probable = np.array(
        [[1, 0, 0, 0], [0, 1, 0, 0], [0.5, 0, 0.5, 0], [0, 0, 1, 0], [0, 0, 0.9, 0.1]]
    )
    told = told_classes(probable, bins, ADIENCE)
    assert told.tolist() == ["0-2", "4-6", "15-20", "25-32", "38-43"]  # 1, 4.5, 17.75, 34.5, 39
    years = np.array([1.0, 4.5, 34.5, 79.5])
    assert told_classes(probable, years, ADIENCE).tolist() == told.tolist()
    own = told_classes(np.array([[0.4, 0.35, 0.25]]), np.array(GROUPS), GROUPS)
    assert own.tolist() == [GROUPS[0]]  # the likeliest, though the expected age is nearer another


def test_without_gaps_it_is_the_accuracy_of_the_groups_of_the_ages():
    whole = ("0-9", "10-19", "20-29", "30-99")
    ages = np.random.default_rng(0).uniform(0, 99, 200)
    true = np.random.default_rng(1).choice(whole, 200)
    guess = np.array(whole)[np.digitize(ages, [10, 20, 30])]
    exact, near = gapped_accuracy(ages, true, whole)
    assert exact == pytest.approx(sklearn.metrics.accuracy_score(true, guess))
    assert near == pytest.approx(metrics.one_off(true, guess, whole))
    assert not have_gaps(whole)
    assert have_gaps(ADIENCE)


@pytest.mark.parametrize(
    ("ages", "true", "told"),
    [
        ([], [], "give"),
        ([1.0], ["0-2", "0-2"], r"shape \(1,\), groups \(2,\)"),
        ([np.nan], ["0-2"], "1 predicted ages are not finite"),
        ([1.0], ["0-3"], "unknown group '0-3'"),
    ],
)
def test_bad_input_is_told(ages, true, told):
    with pytest.raises(FeatxError, match=told):
        gapped_accuracy(ages, true, ADIENCE)


def test_bounds_of_what_is_no_span_are_told():
    assert group_bounds(["0-2", "60-100"]).tolist() == [[0, 2], [60, 100]]
    assert group_of([1, 3, 60.5], ADIENCE).tolist() == [0, -1, 7]
    with pytest.raises(FeatxError, match="'60\\+' is no span of ages"):
        group_bounds(["0-2", "60+"])


@pytest.fixture
def known(tmp_path):
    """Two runs on the same images, of which the second has no probabilities; some ages unknown."""
    rng = np.random.default_rng(0)
    true, guess = draw(90, 0)
    low, high = group_bounds(true).T
    ages = np.where(rng.random(90) < 0.3, np.nan, rng.uniform(low, high + 1).round(1))
    probable = draw_probabilities(90, 1)
    runs = [
        write_run(tmp_path / name, true, own, ages=ages, probabilities=probable, method=name)
        for name, own in (("a", guess), ("b", np.full(90, "0-12")))
    ]
    (runs[1].folder / "probabilities.h5").unlink()
    return runs


def test_the_comparison_has_the_errors_of_ages_where_they_are_known(known):
    found = compare_groups(known, bootstrap=300)
    assert found.names == ("a", "b")
    table = known[0].predictions
    ages = expected_ages(known[0]).to_numpy()
    some = table["age"].notna().to_numpy()
    first, second = found.table.to_dict("records")
    wanted = sklearn.metrics.mean_absolute_error(table["age"][some], ages[some])
    assert first["expected_mae"] == pytest.approx(wanted)
    assert first["expected_mae_low"] < wanted < first["expected_mae_high"]
    assert (first["n_ages"], second["n_ages"]) == (some.sum(), 0)
    assert np.isnan([second["expected_mae"], second["expected_exact"]]).all()
    exact, near = gapped_accuracy(ages, table["age_group"], GROUPS)
    assert (first["expected_exact"], first["expected_one_off"]) == (exact, near)
    header, rows = group_ranking(found)
    assert rows[0][header.index("MAE")] == f"{wanted:.2f}"
    assert rows[1][header.index("MAE")] == NOTHING
    told = terminal_groups(found).splitlines()[0]
    assert "MAE" in told
    assert "by age" not in told


def test_the_interval_of_the_error_resamples_subjects(known):
    """The same draws by hand, over the six subjects."""
    run = known[0]
    found = compare_groups([run], bootstrap=400, seed=3).table.iloc[0]
    table = run.predictions.assign(
        error=(expected_ages(run).to_numpy() - run.predictions["age"]).abs()
    )
    by_subject = table.dropna(subset="error").groupby("subject", sort=False)["error"]
    order = pd.unique(table["subject"])
    sums, counts = by_subject.sum()[order].to_numpy(), by_subject.count()[order].to_numpy()
    drawn = np.random.default_rng(3).multinomial(6, np.full(6, 1 / 6), size=400)
    ends = np.percentile((drawn @ sums) / (drawn @ counts), [2.5, 97.5])
    assert found[["expected_mae_low", "expected_mae_high"]].tolist() == pytest.approx(ends)


def test_without_ages_there_is_no_column_of_their_errors(tmp_path):
    true, guess = draw(60, 0)
    run = write_run(tmp_path / "a", true, guess)
    table = compare_groups([run], bootstrap=100).table
    assert "expected_mae" not in table
    assert "expected_exact" in table
    unsure = Run(run.folder, {**run.info, "probabilities": False}, run.predictions)
    assert not {"expected_mae", "expected_exact"} & set(compare_groups([unsure]).table)

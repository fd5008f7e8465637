import re

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from regress.calibration import (
    LEVELS,
    calibrate,
    pit_limits,
    quantile,
    ranked_probability_scores,
    share_below,
)
from regress.compare import compare
from regress.probabilities import Probabilities
from regress.report.calibration_figures import calibration_data, calibration_figure
from regress.report.marks import marks_of
from regress.report.page import render
from regress.report.sections import further_sections
from tests.regress.made_runs import write_run

AGES = np.arange(0.0, 91.0)


def distributions(middle, sd):
    """Return discretised normal distributions over AGES, (n, 91)."""
    density = np.exp(-0.5 * ((AGES - middle[:, None]) / sd) ** 2)
    return density / density.sum(axis=1, keepdims=True)


def drawn(n, seed, sd, claimed):
    """Return true ages drawn with one spread, and the distributions that claim another."""
    rng = np.random.default_rng(seed)
    middle = rng.uniform(25, 65, n)
    truth = distributions(middle, sd)
    ages = (truth.cumsum(axis=1) < rng.random(n)[:, None]).sum(axis=1).astype(float)
    return ages, distributions(middle, claimed)


def age_run(folder, n=3000, seed=0, sd=5.0, claimed=5.0, method="net", subjects=600):
    ages, values = drawn(n, seed, sd, claimed)
    return write_run(
        folder, ages, values @ AGES, task="age", ages=ages, classes=AGES, probabilities=values,
        method=method, subjects=subjects,
    )  # fmt: skip


@pytest.mark.parametrize(("claimed", "sign"), [(5.0, 0), (2.5, -1), (12.0, 1)])
def test_coverage_is_on_the_diagonal_or_on_the_side_of_the_fault(claimed, sign, tmp_path):
    found = calibrate(compare([age_run(tmp_path / "r", claimed=claimed)], bootstrap=200))
    observed = found.coverage["coverage"].to_numpy()
    assert found.coverage["nominal"].tolist() == LEVELS.tolist()
    middle, ends = found.pit["share"].iloc[4:6].mean(), found.pit["share"].iloc[[0, -1]].mean()
    assert found.pit["share"].sum() == pytest.approx(1)
    if sign == 0:
        np.testing.assert_allclose(observed, LEVELS, atol=0.03)
        np.testing.assert_allclose(found.pit["share"], 0.1, atol=0.02)
        inside = (found.coverage["low"] < LEVELS) & (found.coverage["high"] > LEVELS)
        assert inside.sum() >= 7
        assert found.scores["calibration_error"][0] < 0.02
    else:
        assert (sign * (observed - LEVELS) > 0.03).all()
        assert (sign * (middle - ends)) > 0.05
        assert found.scores["calibration_error"][0] > 0.1
    # Φ⁻¹(0.9) standard deviations either side
    assert found.scores["width_80"][0] == pytest.approx(2 * 1.2816 * claimed, abs=1.0)


def test_the_right_spread_has_the_best_score(tmp_path):
    scores = {
        claimed: calibrate(
            compare([age_run(tmp_path / str(claimed), claimed=claimed)], bootstrap=200)
        ).scores["crps"][0]
        for claimed in (2.5, 5.0, 12.0)
    }
    assert min(scores, key=scores.get) == 5.0
    # CRPS of a calibrated normal distribution: σ/√π (Gneiting and Raftery 2007, eq. 21)
    assert scores[5.0] == pytest.approx(5 / np.sqrt(np.pi), rel=0.03)


def test_the_score_is_the_integral_by_brute_force():
    rng = np.random.default_rng(1)
    classes = np.array([1.0, 2.0, 5.5, 20.0, 21.0])
    values = rng.dirichlet(np.ones(5), 30)
    ages = np.round(rng.uniform(0, 30, 30), 1)
    step = 0.001
    x = np.arange(-1, 31, step) + step / 2
    below = (classes[None, :] <= x[:, None]).astype(float)
    for row, age in enumerate(ages):
        integral = np.sum((below @ values[row] - (age <= x)) ** 2) * step
        got = ranked_probability_scores(Probabilities(classes, values[[row]]), ages[[row]])
        assert got[0] == pytest.approx(integral, abs=1e-6)


def test_a_certain_distribution_scores_its_absolute_error():
    certain = Probabilities(AGES, np.eye(91)[[30, 40]])
    got = ranked_probability_scores(certain, np.array([33.5, 40.0]))
    np.testing.assert_allclose(got, [3.5, 0.0])


def test_limits_of_the_transform_by_hand():
    given = Probabilities(np.array([10.0, 11.0, 20.0]), np.tile([0.2, 0.3, 0.5], (6, 1)))
    ages = np.array([10.0, 11.4, 15.0, 20.0, 5.0, 60.0])
    low, high = pit_limits(given, ages)
    np.testing.assert_allclose(low, [0.0, 0.2, 0.5, 0.5, 0.0, 1.0])
    np.testing.assert_allclose(high, [0.2, 0.5, 0.5, 1.0, 0.0, 1.0])


def test_shares_below_are_those_of_drawn_transforms():
    rng = np.random.default_rng(2)
    low, high = np.sort(rng.random((2, 40)), axis=0)
    low[0] = high[0] = 0.3
    low[1] = high[1] = 1.0
    at = np.array([0.0, 0.25, 0.3, 0.5, 0.9, 1.0])
    points = low + (high - low) * rng.random((40_000, 40))
    expected = np.stack([(points < edge).mean(axis=0) for edge in at], axis=1)
    expected[:, -1] = 1  # the last bin holds its upper end
    np.testing.assert_allclose(share_below(low, high, at), expected, atol=0.02)


def test_quantiles_are_those_of_scipy():
    values = np.random.default_rng(3).dirichlet(np.ones(8), 20)
    classes = np.arange(8.0)
    for level in (0.1, 0.5, 0.9):
        expected = [scipy.stats.rv_discrete(values=(classes, row)).ppf(level) for row in values]
        np.testing.assert_array_equal(quantile(Probabilities(classes, values), level), expected)


def test_intervals_are_wide_where_a_subjects_images_agree(tmp_path):
    # ten subjects, whose images are all the same: ten independent values, not 1000
    ages, values = drawn(10, 5, 5.0, 5.0)
    rows = np.arange(1000) % 10
    told = {"task": "age", "classes": AGES, "method": "net"}
    few = write_run(
        tmp_path / "few", ages[rows], (values @ AGES)[rows], ages=ages[rows],
        probabilities=values[rows], subjects=10, **told,
    )  # fmt: skip
    many = age_run(tmp_path / "many", n=1000, subjects=1000)
    widths = []
    for run in (few, many):
        table = calibrate(compare([run], bootstrap=300)).coverage
        widths.append((table["high"] - table["low"]).mean())
    assert widths[0] > 4 * widths[1]


def test_classes_in_any_order_and_methods_without_probabilities(tmp_path):
    ages, values = drawn(300, 6, 5.0, 5.0)
    order = np.random.default_rng(0).permutation(91)
    told = {"task": "age", "ages": ages, "subjects": 30}
    made = [
        write_run(tmp_path / "a", ages, values @ AGES, classes=AGES, probabilities=values,
                  method="sorted", **told),
        write_run(tmp_path / "b", ages, values @ AGES, classes=AGES[order],
                  probabilities=values[:, order], method="shuffled", **told),
        write_run(tmp_path / "c", ages, values @ AGES + 1, method="plain", **told),
    ]  # fmt: skip
    comparison = compare(made, bootstrap=200)
    found = calibrate(comparison)
    scores = found.scores.set_index("method")
    assert set(scores.index) == {"sorted", "shuffled"}
    np.testing.assert_allclose(
        scores.loc["sorted"].to_numpy(float), scores.loc["shuffled"].to_numpy(float), rtol=1e-5
    )
    figure = calibration_figure(found, comparison.names)
    lines = [line for line in figure.axes[0].lines if len(line.get_xdata()) == len(LEVELS)]
    assert len(lines) == 2
    own = found.coverage[found.coverage["method"] == found.scores["method"][0]]
    np.testing.assert_allclose(lines[0].get_ydata(), 100 * own["coverage"])
    data, marks = calibration_data(found), marks_of(figure)
    for axes, value in zip(figure.axes, ("coverage", "share"), strict=True):
        told = [line for line in axes.lines if line.get_gid() in marks]
        assert len(told) == 2
        for line in told:
            row, say = marks[line.get_gid()]
            rows = data.iloc[row : row + len(line.get_xdata())]
            np.testing.assert_allclose(line.get_ydata(), 100 * rows[value])
            assert rows[re.findall(r"{(\w+)", say)].notna().all(axis=None)
            assert rows["method"].nunique() == 1
    page = render(comparison, tmp_path)
    assert "Calibration of the predicted distributions" in page
    assert "1 method predicts no distribution" in page


def test_the_report_has_tables_and_picture_and_a_later_one_without_has_none(tmp_path):
    comparison = compare([age_run(tmp_path / "r", n=300, subjects=30)], bootstrap=200)
    further_sections(comparison).write(tmp_path / "report")
    names = ["coverage.csv", "pit.csv", "crps.csv", "figures/calibration.png"]
    assert all((tmp_path / "report" / name).is_file() for name in names)
    crps = pd.read_csv(tmp_path / "report" / "crps.csv")
    assert crps["crps_low"][0] < crps["crps"][0] < crps["crps_high"][0]
    ages = np.arange(60.0)
    plain = write_run(tmp_path / "p", ages, ages + 1, task="age", ages=ages)
    further_sections(compare([plain], bootstrap=200)).write(tmp_path / "report")
    assert not any((tmp_path / "report" / name).exists() for name in names)

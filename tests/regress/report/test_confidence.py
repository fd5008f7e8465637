import numpy as np
import pandas as pd
import pytest

from regress.compare_groups import compare_groups
from regress.confidence import confidence_table, confidences, expected_calibration_error
from regress.grouping import into_groups
from regress.report.calibration_figures import confidence_figure
from regress.report.group_page import write_group_report
from tests.regress.made_runs import GROUPS, write_run


def group_run(folder, sharpness, n=4000, seed=0, **told):
    """Draw true groups from probabilities, and claim these sharpened: 1 is calibrated."""
    rng = np.random.default_rng(seed)
    true = rng.dirichlet(np.ones(3), n)
    rows = (true.cumsum(axis=1) < rng.random(n)[:, None]).sum(axis=1).clip(0, 2)
    claimed = true**sharpness
    claimed /= claimed.sum(axis=1, keepdims=True)
    names = np.array(GROUPS)
    return write_run(
        folder, names[rows], names[claimed.argmax(axis=1)], probabilities=claimed,
        **{"subjects": 400, **told},
    )  # fmt: skip


def test_calibrated_probabilities_are_on_the_diagonal(tmp_path):
    bins = confidence_table(compare_groups([group_run(tmp_path / "r", 1)], bootstrap=300))
    assert bins["n_images"].sum() == 4000
    big = bins[bins["n_images"] > 200]
    np.testing.assert_allclose(big["accuracy"], big["confidence"], atol=0.06)
    inside = (big["low"] < big["confidence"]) & (big["confidence"] < big["high"])
    assert inside.mean() >= 0.7
    assert expected_calibration_error(bins) < 0.03


@pytest.mark.parametrize(("sharpness", "sign"), [(4, -1), (0.3, 1)])
def test_too_sure_is_below_and_too_unsure_above(sharpness, sign, tmp_path):
    run = group_run(tmp_path / "r", sharpness)
    bins = confidence_table(compare_groups([run], bootstrap=200))
    big = bins[bins["n_images"] > 300]
    assert (sign * (big["accuracy"] - big["confidence"]) > 0.03).all()
    assert expected_calibration_error(bins) > 0.08


def test_the_error_is_that_by_brute_force(tmp_path):
    run = group_run(tmp_path / "r", 2, n=500, subjects=50)
    confidence, right = confidences(run)
    expected, n = 0.0, len(confidence)
    for k in range(10):
        own = [i for i in range(n) if k / 10 <= confidence[i] < (k + 1) / 10 or (
            k == 9 and confidence[i] == 1
        )]  # fmt: skip
        if own:
            gap = abs(sum(right[i] for i in own) - sum(confidence[i] for i in own)) / len(own)
            expected += len(own) / n * gap
    bins = confidence_table(compare_groups([run], bootstrap=200))
    assert expected_calibration_error(bins) == pytest.approx(expected)


def test_the_page_has_a_diagram_of_each_method_with_probabilities(tmp_path):
    made = [group_run(tmp_path / str(k), k, n=300, subjects=30, method=f"m{k}") for k in (1, 3)]
    comparison = compare_groups(made, bootstrap=200)
    page = write_group_report(comparison, tmp_path / "report").read_text(encoding="utf-8")
    assert page.count("ECE ") == 2
    table = pd.read_csv(tmp_path / "report" / "confidence.csv")
    assert set(table["method"]) == {"m1", "m3"}
    for k in (1, 2):
        assert (tmp_path / "report" / "figures" / f"confidence_{k}.png").is_file()
    own = table[table["method"] == "m1"]
    axes = confidence_figure(own).axes[0]
    np.testing.assert_allclose(axes.lines[1].get_ydata(), 100 * own["accuracy"])


def test_probabilities_of_other_classes_than_the_groups_have_no_diagram(tmp_path):
    run = group_run(tmp_path / "r", 1, n=300, subjects=30)
    coarse = into_groups(run, ("0-20", "25-100"))
    comparison = compare_groups([coarse], bootstrap=200)
    assert confidence_table(comparison).empty
    page = write_group_report(comparison, tmp_path / "report").read_text(encoding="utf-8")
    assert "Calibration of the probabilities" not in page
    assert not (tmp_path / "report" / "confidence.csv").exists()

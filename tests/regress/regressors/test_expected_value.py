"""A head's own estimate, from the features file to the predictions."""

import numpy as np
import pandas as pd
import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from featx.errors import FeatxError
from featx.manifest import new_table
from featx.store import FeaturesWriter, Layer
from regress.evaluate import evaluate
from regress.methods import plan_methods
from regress.predictions import read_run
from regress.regressors.expected_value import ExpectedValueRegressor, are_ages

AGES = (0.0, 1.0, 4.0, 30.0)


def write(path, classes):
    """Write a features file with a layer `softmax`; returns its probabilities and table."""
    rng = np.random.default_rng(0)
    n, units = 20, len(classes) or 4
    P = rng.dirichlet(np.ones(units), n).astype(np.float32)
    table = new_table(
        pd.DataFrame(
            {
                "image": [f"i{row:02d}" for row in range(n)],
                "path": [f"i{row:02d}.png" for row in range(n)],
                "subject": [f"s{row // 4}" for row in range(n)],
                "age": rng.integers(0, 31, n).astype(float),
                "sha256": [f"{row:064x}" for row in range(n)],
            }
        )
    )
    layer = Layer("softmax", units, (units,), classes=classes)
    with FeaturesWriter(path, table, [layer], {"backbone": "none"}) as out:
        out.append({"softmax": P}, status=list(table["status"]), reason=list(table["reason"]))
        out.finish()
    return P, table


def plan(path, out):
    return plan_methods(path, out, layers=["softmax"], regressors=["expected-value"])


def test_the_age_is_the_sum_of_ages_times_probabilities(tmp_path):
    P, table = write(tmp_path / "f.h5", AGES)
    (method,) = plan(tmp_path / "f.h5", tmp_path / "out")
    evaluate(method)
    got = read_run(method.folder).predictions.set_index("image")["predicted_age"]
    by_hand = [sum(age * float(p) for age, p in zip(AGES, row, strict=True)) for row in P]
    np.testing.assert_allclose(got[table["image"]], by_hand, rtol=1e-6)
    assert method.parameters["unit_ages"] == list(AGES)


@pytest.mark.parametrize(
    "classes",
    [(), ("0-2", "4-6", "8-12", "15-20"), (0.0, 1.0, 2.0, 999.0)],
    ids=["none", "groups", "numbers of classes"],
)
def test_units_that_are_no_ages_are_told_before_anything_runs(tmp_path, classes):
    write(tmp_path / "f.h5", classes)
    with pytest.raises(FeatxError, match="layer 'softmax' are not probabilities of ages"):
        plan(tmp_path / "f.h5", tmp_path / "out")
    assert not are_ages(classes)


def test_as_many_ages_as_units(tmp_path):
    with pytest.raises(FeatxError, match="3 units, but 2 ages"):
        ExpectedValueRegressor([1, 2]).fit(np.ones((5, 3)), np.arange(5.0))


@parametrize_with_checks(
    [ExpectedValueRegressor()],
    expected_failed_checks=lambda _: {
        "check_regressors_no_decision_function": "its probabilities are what it is given"
    },
)
def test_scikit_learn_contract(estimator, check):
    check(estimator)

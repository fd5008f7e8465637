"""No prediction knows the ages of its test people, or the other images that are tested with it.

Whatever a fold's test ages are changed to, and whatever images stand beside one in the test set,
its prediction stays: scalers, inner splits, early stopping and the choice of hyper-parameters (also
those that are computed for all folds at once) see training people only.
"""

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from regress.evaluate import evaluate
from regress.methods import plan_methods
from regress.predictions import read_run
from regress.regressors import list_regressors
from tests.regress.test_canary import write_people

SUBJECTS, EACH, UNITS = 9, 3, 6
#: auto-sklearn's process never gets the test rows; expected-value has nothing to fit.
REGRESSORS = sorted(set(list_regressors()) - {"auto-sklearn", "expected-value"})


def predictions(X, y, protocol, regressor):
    """Return each image's predicted age, and which rows each fold tests."""
    subject = np.repeat(np.arange(SUBJECTS), EACH)
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "features.h5"
        names = write_people(path, X, y, subject, folds=4)
        (method,) = plan_methods(
            path, Path(name) / "runs", layers=["gap"], regressors=[regressor], protocol=protocol
        )
        assert not evaluate(method, jobs=1)["folds"]["missing"]
        predicted = read_run(method.folder).predictions.set_index("image")["predicted_age"]
        return predicted.reindex(names).to_numpy(), [fold.test for fold in method.folds]


@pytest.mark.parametrize("regressor", REGRESSORS)
@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    protocol=st.sampled_from(["lopo", "kfold:3", "folds", "holdout:0.4"]),
    seed=st.integers(0, 2**16),
    which=st.integers(0, 99),
)
def test_a_fold_s_predictions_know_neither_its_ages_nor_each_other(
    regressor, protocol, seed, which
):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(SUBJECTS * EACH, UNITS)).astype(np.float32)
    y = rng.integers(0, 60, len(X)).astype(float)
    before, folds = predictions(X, y, protocol, regressor)
    test = folds[which % len(folds)]
    kept = rng.choice(test, max(1, len(test) // 2), replace=False)
    other_y, other_X = y.copy(), X.copy()
    other_y[test] = rng.integers(0, 100, len(test))
    changed = np.setdiff1d(test, kept)
    other_X[changed] = 100 * rng.normal(size=(len(changed), UNITS))
    after, _ = predictions(other_X, other_y, protocol, regressor)
    assert after[kept] == pytest.approx(before[kept], abs=1e-5)

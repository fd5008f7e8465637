"""A canary: features that tell who somebody is, and ages that know nothing of the features.

Where a test subject leaks into training, into the choice of hyper-parameters or into a scaler, a
regressor looks its age up and beats the mean; where none does, it cannot.
"""

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import Ridge
from sklearn.model_selection import KFold, cross_val_predict

from featx.manifest import new_table
from featx.store import FeaturesWriter, Layer
from regress.evaluate import evaluate
from regress.methods import plan_methods
from regress.predictions import read_run

SUBJECTS, EACH, UNITS = 30, 4, 64
REGRESSORS = ("exact-kernel", "softmax", "ridge", "svr", "pls")


def made_images(seed):
    """Return units (n, 64) that are a subject's own but for some noise, and an age a subject."""
    rng = np.random.default_rng(seed)
    subject = np.repeat(np.arange(SUBJECTS), EACH)
    X = rng.normal(size=(SUBJECTS, UNITS))[subject] + rng.normal(0, 0.05, (len(subject), UNITS))
    return X.astype(np.float32), rng.integers(0, 70, SUBJECTS)[subject].astype(float), subject


def write_people(path, X, y, subject, folds):
    """Write units of images, whose subjects are numbers, into `folds` official folds; the names."""
    rows = {
        "image": [f"image{row:03d}" for row in range(len(y))],
        "path": [f"image{row:03d}.png" for row in range(len(y))],
        "subject": [f"{each:03d}" for each in subject],
        "fold": [str(each % folds) for each in subject],
        "age": y,
        "sha256": [f"{row:064x}" for row in range(len(y))],
    }
    table, units = new_table(pd.DataFrame(rows)), X.shape[1]
    with FeaturesWriter(path, table, [Layer("gap", units, (units,))], {"backbone": "none"}) as out:
        out.append({"gap": X}, status=list(table["status"]), reason=list(table["reason"]))
        out.finish()
    return rows["image"]


@pytest.fixture(scope="module")
def features(tmp_path_factory):
    path = tmp_path_factory.mktemp("canary") / "features.h5"
    write_people(path, *made_images(0), folds=5)
    return path


def subject_errors(features, out, protocol, regressor):
    """Return the mean absolute error of each subject that was tested, years."""
    (method,) = plan_methods(
        features, out, layers=["gap"], regressors=[regressor], protocol=protocol
    )
    assert not evaluate(method, jobs=1)["folds"]["missing"]
    predicted = read_run(method.folder).predictions
    return (
        (predicted["predicted_age"] - predicted["age"]).abs().groupby(predicted["subject"]).mean()
    )


@pytest.mark.parametrize("protocol", ["lopo", "kfold:5", "folds", "holdout:0.4"])
def test_who_somebody_is_tells_no_regressor_the_age(features, tmp_path, protocol):
    mean = subject_errors(features, tmp_path, protocol, "mean")
    for regressor in REGRESSORS:
        gain = mean - subject_errors(features, tmp_path, protocol, regressor)
        noise = gain.std(ddof=1) / np.sqrt(len(gain))
        assert gain.mean() < 2.5 * noise + 1e-9, f"{regressor} beats the mean by {gain.mean():.1f}"


def test_the_canary_falls_where_subjects_are_on_both_sides():
    X, y, _ = made_images(0)
    split = KFold(5, shuffle=True, random_state=0)
    guessed = cross_val_predict(Ridge(), X, y, cv=split)
    by_mean = np.abs(y - y.mean()).mean()
    assert np.abs(guessed - y).mean() < by_mean / 4

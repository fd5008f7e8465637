"""The real auto-sklearn, in its environment."""

from __future__ import annotations

import json
import pickle
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest

from featx.errors import FeatxError
from regress.regressors.auto_sklearn import (
    AutoSklearnRegressor,
    environment,
)

from .stand_in import start_fit


@pytest.fixture(scope="module")
def real(processes):
    """Return rows of 15 made-up subjects and the real thing, fitted on 11 of them."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(150, 8)).astype(np.float32)
    y = 30 + 8 * X[:, 0] + 4 * X[:, 1] ** 2 + rng.normal(size=150)
    folder = Path(tempfile.mkdtemp(prefix="ask"))
    former, tempfile.tempdir = tempfile.tempdir, str(folder)
    try:
        regressor = AutoSklearnRegressor(time_budget=50, search_space="fast", inner_folds=3)
        started = time.monotonic()
        regressor.fit(X[:110], y[:110], groups=np.repeat(np.arange(11), 10))
        seconds = time.monotonic() - started
        left = (list(folder.iterdir()), processes.under(folder))
    finally:
        tempfile.tempdir = former
    folder.rmdir()
    return X, y, regressor, seconds, left


@pytest.mark.automl
def test_the_real_one_learns_and_reports(real):
    X, y, regressor, seconds, _ = real
    predicted = regressor.predict(X[110:])
    assert predicted.shape == (40,)
    assert predicted.dtype == np.float64
    mean_error = np.abs(y[110:] - y[:110].mean()).mean()
    assert np.abs(y[110:] - predicted).mean() < 0.6 * mean_error
    told = regressor.statistics_
    kinds = ("success", "crashed", "timeout", "memory_out", "aborted", "capped")
    assert told["runs"] == sum(told[kind] for kind in kinds)
    assert told["success"] >= 1
    assert told["best_validation_mae"] < told["mean_validation_mae"]
    assert told["ensemble_size"] >= 1
    assert told["predicts_the_mean"] is False
    assert told["seconds"] <= seconds
    assert (told["n_jobs"], told["memory_limit"], told["refit_limit"]) == (1, 3072, 120)
    weights = [row["ensemble_weight"] for row in regressor.leaderboard_]
    assert sum(weight > 0 for weight in weights) == told["ensemble_size"]
    assert sum(weights) == pytest.approx(1)
    assert json.loads(json.dumps(regressor.report_, allow_nan=False)) == regressor.report_


@pytest.mark.automl
def test_no_real_inner_split_had_a_subject_on_both_sides(real):
    told = real[2].statistics_
    assert told["inner_splits_checked"] >= 6  # the dummy's three and at least one model's three
    assert told["inner_groups_shared"] == 0


@pytest.mark.automl
def test_the_real_one_leaves_nothing_behind(real):
    assert real[4] == ([], [])


@pytest.mark.automl
def test_real_predictions_repeat_after_pickling_and_a_changed_model_is_refused(real):
    X, _, regressor, _, _ = real
    copy = pickle.loads(pickle.dumps(regressor))
    np.testing.assert_array_equal(copy.predict(X), regressor.predict(X))
    copy.model_ = copy.model_[:-1] + b"x"
    with pytest.raises(FeatxError, match="sha256 differs"):
        copy.predict(X)


@pytest.mark.automl
def test_it_stops_after_so_many_models(data, temporary):
    regressor = AutoSklearnRegressor(time_budget=300, search_space="fast", evaluations=3)
    regressor.fit(*data[:2])
    assert 1 <= regressor.statistics_["runs"] <= 4  # the dummy may count
    assert regressor.statistics_["search_seconds"] < 200


@pytest.mark.automl
def test_too_little_memory_names_the_option(data, temporary):
    with pytest.raises(FeatxError, match="raise the memory limit of 80 MB"):
        AutoSklearnRegressor(time_budget=30, memory_limit=80, search_space="fast").fit(*data[:2])


@pytest.mark.automl
def test_sigkill_in_a_real_search_leaves_no_process_and_no_folder(temporary, processes):
    environment.ensure()
    parent = start_fit("", n_jobs=2)
    # The worker, its logging server and fork server, and a model's process.
    processes.wait_until(lambda: len(processes.under(temporary)) >= 5, seconds=120)
    started = processes.under(temporary)
    parent.kill()
    parent.wait()
    processes.wait_until_dead(started)
    processes.wait_until(lambda: not processes.under(temporary) and not list(temporary.iterdir()))

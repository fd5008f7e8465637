"""The estimator's contract and its error paths, with a stand-in for the environment."""

from __future__ import annotations

import json
import pickle
import time

import joblib
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from featx.cluster import run
from featx.errors import FeatxError
from regress.regressors.auto_sklearn import (
    AutoSklearnRegressor,
    allocation,
)

from .stand_in import GOOD


def test_it_is_a_scikit_learn_estimator(data):
    regressor = AutoSklearnRegressor(time_budget=60, search_space="fast")
    assert clone(regressor).get_params() == regressor.get_params()
    assert regressor.get_params()["run_time_limit"] == 3600.0
    with pytest.raises(NotFittedError):
        regressor.predict(data[0])


def test_the_job_says_what_was_asked_and_a_fitted_one_pickles(data, fake):
    X, y, groups = data
    regressor = AutoSklearnRegressor(
        time_budget=40, search_space="fast", n_jobs=2, random_state=5, environment=fake(GOOD)
    )
    assert regressor.fit(X, y, groups=groups) is regressor
    job = regressor.statistics_
    assert job["inner_folds"] == 4  # there are no more subjects
    assert (job["time_budget"], job["run_time_limit"], job["refit_limit"]) == (40, 40, 120)
    assert (job["n_jobs"], job["seed"], job["memory_limit"]) == (2, 5, 3072)
    assert job["initial_configurations"] == 25
    assert {"gaussian_process", "random_forest"} <= set(job["exclude"]["regressor"])
    assert regressor.report_["statistics"] == job
    np.testing.assert_array_equal(regressor.predict(X), X[:, 0])
    copy = pickle.loads(pickle.dumps(regressor))
    np.testing.assert_array_equal(copy.predict(X[:3]), X[:3, 0])
    assert regressor.n_features_in_ == 3
    with pytest.raises(ValueError, match="3 features"):
        regressor.predict(X[:, :2])


@pytest.fixture
def slurm(monkeypatch):
    for name, value in {
        "JOB_ID": "7",
        "CPUS_PER_TASK": "2",
        "MEM_PER_NODE": "4000",
        "JOB_END_TIME": str(int(time.time()) + 2000),
    }.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    monkeypatch.setattr(allocation, "available_cores", lambda: 2)


def test_in_a_slurm_job_the_job_follows_and_the_parameters_stay(data, fake, slurm):
    regressor = AutoSklearnRegressor(time_budget=1500, run_time_limit=60, environment=fake(GOOD))
    before = regressor.get_params()
    told = regressor.fit(*data[:2]).statistics_
    assert (told["n_jobs"], told["memory_limit"]) == (1, 3072)  # memory for one of two cores
    assert 120 <= told["refit_limit"] <= 2000 - 1500 - 180
    assert regressor.get_params() == before
    assert before["n_jobs"] is before["memory_limit"] is None
    regressor.set_params(memory_limit=1500)
    assert regressor.fit(*data[:2]).statistics_["n_jobs"] == 2


def test_what_has_no_room_in_the_slurm_job_is_refused_before_anything_runs(data, fake, slurm):
    regressor = AutoSklearnRegressor(environment="/nowhere")
    with pytest.raises(FeatxError, match="the Slurm job ends in 0:33:"):
        regressor.fit(*data[:2])
    regressor.set_params(time_budget=60, memory_limit=4000)
    with pytest.raises(FeatxError, match="lower --memory-limit to 3500"):
        regressor.fit(*data[:2])
    regressor.set_params(memory_limit=2000, environment=fake(GOOD))
    (at_once,) = run(fit_with, [(regressor, *data[:2])], jobs=1)
    assert at_once.statistics_["memory_limit"] == 2000
    several = pytest.raises(FeatxError, match="has 2000 MB for each of 2 folds at a time")
    # Threads, for a pool's processes may be older than the variables.
    with several, joblib.parallel_config(backend="threading"):
        list(run(fit_with, [(regressor, *data[:2])] * 2, jobs=2))


def fit_with(regressor, X, y):
    return regressor.fit(X, y)


def test_groups_of_any_kind_reach_the_worker_row_by_row(data, fake, tmp_path):
    X, y, _ = data
    names = np.array(["b", "a", "c", "a"] * 5)
    body = f"import shutil; shutil.copy(folder / 'data.h5', {str(tmp_path)!r}); succeed()"
    AutoSklearnRegressor(environment=fake(body)).fit(X.astype("f4"), y, groups=names)
    import h5py

    with h5py.File(tmp_path / "data.h5") as store:
        assert store["X"].dtype == np.float32
        np.testing.assert_array_equal(store["y"][()], y)
        np.testing.assert_array_equal(np.array(list("abc"))[store["groups"][()]], names)


def test_the_jobs_files_can_be_kept(data, fake, tmp_path):
    keep = tmp_path / "a" / "kept"
    AutoSklearnRegressor(keep=keep, environment=fake(GOOD)).fit(*data[:2])
    assert (keep / "model.pkl").read_bytes() == b"model"
    assert json.loads((keep / "result.json").read_text())["status"] == "ok"
    assert (keep / "worker.log").exists()


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"time_budget": 5}, "time_budget is 5: give a number of at least 30"),
        ({"time_budget": float("nan")}, "time_budget is nan"),
        ({"run_time_limit": "1h"}, "run_time_limit is '1h'"),
        ({"inner_folds": 1}, "inner_folds is 1"),
        ({"n_jobs": -1}, "n_jobs is -1"),
        ({"search_space": "fas"}, "did you mean fast"),
    ],
)
def test_a_parameter_out_of_range_is_named(data, parameters, message):
    with pytest.raises(FeatxError, match=message):
        AutoSklearnRegressor(**parameters).fit(*data[:2])


def test_one_subject_is_too_few_to_validate_on(data):
    with pytest.raises(FeatxError, match="at least two subjects"):
        AutoSklearnRegressor().fit(*data[:2], groups=np.zeros(20))


def test_nan_is_refused_before_anything_runs(data):
    X = data[0].copy()
    X[3, 1] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        AutoSklearnRegressor().fit(X, data[1])


RUNS = [
    {"status": "timeout", "error": "Timeout"},
    {"status": "timeout", "error": "Timeout"},
    {"status": "memory_out", "error": "Memout"},
    {"status": "crashed", "error": "IndexError: invalid index"},
]


@pytest.mark.parametrize(
    ("body", "messages"),
    [
        (
            f"answer(status='nothing_succeeded', runs={RUNS!r})",
            [
                "none of auto-sklearn's 4 runs succeeded within 43200 s: 2 timeout, 1 memory out, "
                "1 crashed",
                "IndexError: invalid index",
                "--run-time-limit",
                "memory limit of 3072 MB",
            ],
        ),
        ("answer(status='nothing_succeeded', runs=[])", ["not start a single", "--time-budget"]),
        ("answer(status='error', error='ValueError: odd')", ["auto-sklearn failed: .*odd"]),
        ("print('no such library'); sys.exit(3)", ["exit status 3", "no such library"]),
        ("os.kill(os.getpid(), signal.SIGKILL)", ["killed by signal 9", "memory"]),
        ("(folder / 'result.json').write_text('{')", ["result.json is not valid"]),
        ("(folder / 'result.json').write_text('[]')", ["has no status"]),
        (
            "succeed(); (folder / 'model.pkl').write_bytes(b'other')",
            ["model.pkl changed since it was written"],
        ),
    ],
)
def test_what_goes_wrong_in_the_worker_is_told_in_one_line(data, fake, body, messages):
    with pytest.raises(FeatxError) as raised:
        AutoSklearnRegressor(environment=fake(body)).fit(*data[:2])
    assert "\n" not in str(raised.value)
    for message in messages:
        assert raised.match(message)


def test_predictions_that_are_no_numbers_are_refused(data, fake):
    bad = "import numpy; numpy.save(folder / 'predictions.npy', [numpy.nan] * 20)"
    body = f"succeed()\nif job['task'] != 'fit':\n    {bad}"
    regressor = AutoSklearnRegressor(environment=fake(body)).fit(*data[:2])
    with pytest.raises(FeatxError, match="20 of them not finite"):
        regressor.predict(data[0])

"""The estimator's contract and its error paths, with a stand-in for the environment."""

from __future__ import annotations

import json
import os
import pickle
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

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
    client,
    environment,
    estimator,
)

#: Answers the environment's probe; as a worker it does BODY in the job's folder. By default it
#: "fits" a file and "predicts" the first unit.
FAKE = """#!{python}
import hashlib, json, os, signal, subprocess, sys, time
from pathlib import Path
if "-c" in sys.argv:
    print(json.dumps(["3.9.99", "0.15.0"])); sys.exit()
folder = Path(sys.argv[-1])
job = json.loads((folder / "job.json").read_text())
def answer(**result):
    (folder / "result.json").write_text(json.dumps(result))
def succeed():
    (folder / "model.pkl").write_bytes(b"model")
    answer(status="ok", leaderboard=[], statistics=job, warnings=[],
           model_sha256=hashlib.sha256(b"model").hexdigest())
def predict():
    import h5py, numpy
    with h5py.File(folder / "data.h5") as store:
        numpy.save(folder / "predictions.npy", store["X"][:, 0].astype(float))
    answer(status="ok")
{body}
"""
GOOD = "succeed() if job['task'] == 'fit' else predict()"
HANG = """
child = subprocess.Popen(["sleep", "600"])
Path(os.environ["PIDS"] + ".part").write_text("%d %d" % (os.getpid(), child.pid))
os.replace(os.environ["PIDS"] + ".part", os.environ["PIDS"])
time.sleep(600)
"""
ROOT = Path(environment.__file__).parents[3]


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """Return the folder where this test's jobs go."""
    folder = Path(tempfile.mkdtemp(prefix="ask"))
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setenv("TMPDIR", str(folder))
    yield folder
    assert list(folder.iterdir()) == []  # nothing is left, whatever happened
    folder.rmdir()


@pytest.fixture
def fake(tmp_path, temporary):
    def make(body: str) -> Path:
        python = tmp_path / "env" / "bin" / "python"
        python.parent.mkdir(parents=True, exist_ok=True)
        python.write_text(FAKE.format(python=sys.executable, body=body))
        python.chmod(0o755)
        return tmp_path / "env"

    return make


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    return rng.normal(size=(20, 3)), rng.uniform(0, 69, size=20), np.repeat(np.arange(4), 5)


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


def test_a_worker_past_its_hard_limit_is_killed(data, fake, tmp_path, monkeypatch, processes):
    monkeypatch.setattr(estimator, "_STARTUP", 2.0 - 60 - 30 - 120 - 60)
    monkeypatch.setenv("PIDS", str(tmp_path / "pids"))
    with pytest.raises(FeatxError, match="still running after 2 s and was stopped"):
        AutoSklearnRegressor(time_budget=30, environment=fake(HANG)).fit(*data[:2])
    processes.wait_until_dead(processes.written(tmp_path / "pids"))


FIT = """
import sys, numpy as np
from regress.regressors.auto_sklearn import AutoSklearnRegressor
if __name__ == "__main__":
    X = np.random.default_rng(0).normal(size=(60, 4))
    AutoSklearnRegressor(
        time_budget=60, search_space="fast", n_jobs=int(sys.argv[2]),
        environment=sys.argv[1] or None,
    ).fit(X, X[:, 0], groups=np.repeat(np.arange(6), 10))
"""


def start_fit(folder: Path | str, n_jobs: int = 1, **variables: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", FIT, str(folder), str(n_jobs)],
        env={**os.environ, "PYTHONPATH": str(ROOT), **variables},
        # A shell's background jobs, these tests maybe, ignore Ctrl-C and so would this process.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_killed_parent_leaves_no_process_and_no_folder(
    fake, tmp_path, temporary, number, processes
):
    parent = start_fit(fake(HANG), PIDS=str(tmp_path / "pids"))
    started = processes.written(tmp_path / "pids")
    assert all(map(processes.alive, started))
    assert len(list(temporary.iterdir())) == 1
    parent.send_signal(number)
    parent.wait(timeout=60)
    processes.wait_until_dead(started)
    processes.wait_until(lambda: not list(temporary.iterdir()))


def test_what_a_job_left_that_was_killed_whole_is_removed_by_the_next(
    data, fake, tmp_path, temporary, processes
):
    parent = start_fit(fake(HANG), PIDS=str(tmp_path / "pids"))
    started = processes.written(tmp_path / "pids")
    (left,) = temporary.iterdir()
    watchdog = int(Path(f"/proc/{started[0]}/stat").read_text().rpartition(")")[2].split()[1])
    for how in (signal.SIGSTOP, signal.SIGKILL):  # or one sees the other end, and cleans up
        for pid in (watchdog, parent.pid, *started):
            os.kill(pid, how)
    parent.wait()
    processes.wait_until_dead([watchdog, *started])
    assert left.is_dir()
    found = re.fullmatch(r"featx-([0-9a-f]{8})-(\d+)\.(\w+)", left.name)
    assert int(found[2]) == parent.pid
    elsewhere = f"featx-{'0' * 8}-{found[2]}.{found[3]}"  # the same number on another machine
    kept = [elsewhere, f"featx-{found[1]}-{os.getppid()}.running", "featx-something-else.1"]
    for name in kept:
        (temporary / name).mkdir()
    AutoSklearnRegressor(environment=fake(GOOD)).fit(*data[:2])
    assert sorted(path.name for path in temporary.iterdir()) == sorted(kept)
    for name in kept:
        (temporary / name).rmdir()


@pytest.mark.parametrize("told", [None, "/no/such/folder"])
def test_without_a_tmpdir_the_nodes_own_disk_is_taken(monkeypatch, tmp_path, told):
    scratch = Path(tempfile.mkdtemp(prefix="node", dir="/tmp"))
    try:
        monkeypatch.setenv("SLURM_TMPDIR", str(scratch))
        monkeypatch.setenv("TMPDIR", str(told))
        if told is None:
            monkeypatch.delenv("TMPDIR")
        with client.job_folder() as folder:
            assert folder.parent == scratch
        assert not list(scratch.iterdir())
    finally:
        scratch.rmdir()


def test_sockets_fit_below_the_longest_temporary_folder(monkeypatch):
    longest = Path("/tmp") / ("x" * (client._LONGEST_TEMPORARY - len("/tmp/")))
    longest.mkdir()
    try:
        monkeypatch.setattr(client, "owner", lambda: "01234567-4194304")
        monkeypatch.setattr(tempfile, "tempdir", str(longest))
        with client.job_folder() as folder, socket.socket(socket.AF_UNIX) as listener:
            assert folder.parent == longest
            below = folder / "t" / "pymp-12345678"
            below.mkdir(parents=True)
            listener.bind(str(below / "listener-12345678"))
        monkeypatch.setattr(tempfile, "tempdir", f"{longest}x")
        with client.job_folder() as folder:
            assert folder.parent == Path("/tmp")
    finally:
        longest.rmdir()


def test_two_fits_at_once_do_not_meet(data, fake, temporary):
    body = "time.sleep(1)\n" + GOOD
    regressor = AutoSklearnRegressor(environment=fake(body))
    from joblib import Parallel, delayed

    X, y, groups = data
    with_each = Parallel(n_jobs=2, backend="threading")(
        delayed(clone(regressor).fit)(X[:, ::step], y, groups) for step in (1, -1)
    )
    np.testing.assert_array_equal(with_each[0].predict(X), X[:, 0])
    np.testing.assert_array_equal(with_each[1].predict(X), X[:, 0])


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

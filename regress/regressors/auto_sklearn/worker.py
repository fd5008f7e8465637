"""The auto-sklearn side: a job folder in, results out. Python 3.9, no import of ours.

Run as ``python -I worker.py FOLDER``. In: ``job.json`` and ``data.h5`` (X, y, groups). Out: for
``"task": "fit"`` ``model.pkl`` and ``result.json``, for ``"task": "predict"`` ``predictions.npy``
and ``result.json``. ``result.json`` comes last and whole, or not at all.
"""

import collections
import functools
import hashlib
import json
import multiprocessing
import os
import pickle
import re
import signal
import sys
import threading
import time
import traceback
import warnings

import numpy as np
from sklearn.model_selection import GroupKFold, KFold

STATUS_NAMES = {
    "SUCCESS": "success",
    "DONOTADVANCE": "success",
    "CRASHED": "crashed",
    "TIMEOUT": "timeout",
    "MEMOUT": "memory_out",
    "ABORT": "aborted",
    "CAPPED": "capped",
}
DUMMY = 1  # auto-sklearn's number for the run that predicts the mean


class CheckedGroupKFold(GroupKFold):
    """GroupKFold that refuses a split with a group on both sides, and keeps a record."""

    def __init__(self, n_splits, record):
        super().__init__(n_splits)
        self.record = record

    def split(self, X, y=None, groups=None):
        """Yield the splits, each checked against the groups."""
        groups = np.asarray(groups)
        for train, validation in super().split(X, y, groups):
            shared = len(np.intersect1d(groups[train], groups[validation]))
            with open(self.record, "a") as stream:  # one short line: appends don't interleave
                stream.write("%d %d %d\n" % (len(train), len(validation), shared))
            if shared:
                raise ValueError("%d groups on both sides of an inner split" % shared)
            yield train, validation


class NothingSucceeded(Exception):
    """No run succeeded, so what auto-sklearn would predict is the mean."""


def read_data(folder):
    """Return the arrays of ``data.h5`` by name."""
    import h5py

    with h5py.File(os.path.join(folder, "data.h5"), "r") as store:
        return {name: store[name][()] for name in store}


def logging_config():
    """auto-sklearn's own logging with nothing on the console and no debugging messages."""
    import autosklearn.util
    import yaml

    path = os.path.join(os.path.dirname(autosklearn.util.__file__), "logging.yaml")
    with open(path) as stream:
        config = yaml.safe_load(stream)
    config["handlers"]["console"]["level"] = "CRITICAL"
    config["handlers"]["file_handler"]["level"] = "INFO"
    config["handlers"]["distributed_logfile"]["level"] = "WARNING"
    return config


def logged_warnings(folder, limit=30):
    """Return the warnings and errors in auto-sklearn's logs, each once, with how often."""
    counts = collections.Counter()
    for name in sorted(os.listdir(folder)):
        if name.endswith(".log"):
            with open(os.path.join(folder, name), errors="replace") as stream:
                for line in stream:
                    found = re.match(r"\[(WARNING|ERROR|CRITICAL)\] \[[^\]]*\] (.*)", line)
                    if found and found.group(2).strip():
                        counts[found.group(2).strip()[:400]] += 1
    return [
        text if count == 1 else "%s (%d times)" % (text, count)
        for text, count in counts.most_common(limit)
    ]


def keep_dask_local():
    """Keep dask's status pages off the network; they listen on all interfaces otherwise."""
    import autosklearn.util.dask as local

    local.LocalCluster = functools.partial(
        local.LocalCluster,
        dashboard_address="127.0.0.1:0",
        worker_dashboard_address="127.0.0.1:0",
        silence_logs=50,
    )


def plain(value):
    """Return `value` as what JSON has; NaN, infinity and pandas' NA become None."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    if value is None or isinstance(value, (bool, int, str)):
        return value
    return None if str(value) == "<NA>" else str(value)


def list_runs(automl):
    """Return every run that was started as a dict, in order; the dummy is none of them."""
    runs = []
    for key, value in automl.runhistory_.data.items():
        name = value.status.name
        if name in ("RUNNING", "STOP"):  # STOP: not started, for the time was up
            continue
        info = value.additional_info or {}
        status = STATUS_NAMES.get(name, name.lower())
        error = info.get("error") or info.get("info") or ""
        runs.append(
            {
                "model_id": info.get("num_run"),
                "status": status,
                "validation_mae": value.cost if status == "success" else None,
                "seconds": value.time,
                "error": "" if status == "success" else str(error).strip()[-1000:],
                "config": automl.runhistory_.ids_config[key.config_id].get_dictionary(),
            }
        )
    return runs


def mean_baseline(y, splits):
    """Return the validation MAE of predicting each training part's mean."""
    errors = [np.abs(y[validation] - y[train].mean()) for train, validation in splits]
    return float(np.concatenate(errors).mean())


def _refit_one(source, data, target, seed):
    """Fit one pipeline on all rows, in a process of its own (auto-sklearn's reshuffling kept)."""
    with open(source, "rb") as stream:
        model = pickle.load(stream)  # this process's parent wrote it  # nosec B301
    with np.load(data) as arrays:
        X, y = arrays["X"], arrays["y"]
    order = np.random.RandomState(seed)
    warnings.simplefilter("ignore")
    try:
        for attempt in range(10):
            try:
                model.fit(X, y)
                break
            except ValueError:
                if attempt == 9:
                    raise
                rows = order.permutation(len(X))
                X, y = X[rows], y[rows]
        with open(target + ".part", "wb") as stream:
            pickle.dump(model, stream)
        os.replace(target + ".part", target)
    except BaseException as error:
        with open(target + ".error", "w") as stream:
            stream.write("%s: %s" % (type(error).__name__, error))
        raise SystemExit(1) from error


def refit(automl, X, y, scratch, member_seconds, total_seconds, n_jobs, seed):
    """Refit the ensemble's members on all rows; drop those that fail or take too long.

    auto-sklearn's own ``refit`` has no time limit and loses everything when one member fails.

    Returns
    -------
    list of str
        A warning for each member dropped.
    """
    X, y = automl.InputValidator.transform(X, y)
    data = os.path.join(scratch, "all.npz")
    np.savez(data, X=X, y=y)
    context = multiprocessing.get_context(automl._multiprocessing_context)
    weights = {tuple(key): w for key, w in automl.ensemble_.get_identifiers_with_weights()}
    waiting = sorted(automl.models_, key=lambda key: -weights.get(tuple(key), 0))
    end = time.monotonic() + total_seconds
    running, fitted, dropped = {}, {}, {}
    while waiting or running:
        while waiting and len(running) < n_jobs:
            key = waiting.pop(0)
            base = os.path.join(scratch, "member-%d" % key[1])
            with open(base, "wb") as stream:
                pickle.dump(automl.models_[key], stream)
            process = context.Process(target=_refit_one, args=(base, data, base + ".fit", seed))
            process.start()
            running[key] = (process, base + ".fit", time.monotonic() + member_seconds)
        time.sleep(0.02)
        for key, (process, target, limit) in list(running.items()):
            if process.is_alive() and time.monotonic() < min(limit, end):
                continue
            late = process.is_alive()
            if late:
                process.kill()
            process.join()
            del running[key]
            if not late and os.path.exists(target):
                with open(target, "rb") as stream:
                    fitted[key] = pickle.load(stream)  # a child wrote it  # nosec B301
            elif late:
                dropped[key] = "took too long"
            elif os.path.exists(target + ".error"):
                with open(target + ".error") as stream:
                    dropped[key] = stream.read()[:300]
            else:
                dropped[key] = "ended with exit code %s" % process.exitcode
        if time.monotonic() > end:
            dropped.update((key, "no time was left") for key in waiting)
            waiting = []
    if not fitted:
        raise RuntimeError(
            "no member of the ensemble could be refitted: %s" % "; ".join(set(dropped.values()))
        )
    kept = {tuple(key) for key in fitted}
    ensemble = automl.ensemble_
    total = sum(weight for key, weight in weights.items() if key in kept)
    ensemble.weights_ = np.array(
        [
            weights[tuple(key)] / total if tuple(key) in kept else 0.0
            for key in ensemble.identifiers_
        ]
    )
    automl.models_ = fitted
    automl._can_predict = True
    return [
        "model %d (weight %.3f) left the ensemble: its refit on all rows failed: %s"
        % (key[1], weights.get(tuple(key), 0), why)
        for key, why in dropped.items()
    ]


def leaderboard(estimator):
    """Return auto-sklearn's detailed leaderboard, a dict a model, without the dummy."""
    table = estimator.leaderboard(detailed=True, ensemble_only=False).reset_index()
    table = table[table["type"].notna()]
    return [plain(row) for row in table.astype(object).to_dict(orient="records")]


def plain_leaderboard(runs):
    """Return the successful runs, best first, under the leaderboard's names and without weight."""
    succeeded = [run for run in runs if run["status"] == "success"]
    return [
        {
            "model_id": run["model_id"],
            "rank": rank,
            "ensemble_weight": 0.0,
            "type": run["config"].get("regressor:__choice__"),
            "cost": run["validation_mae"],
            "duration": run["seconds"],
        }
        for rank, run in enumerate(sorted(succeeded, key=lambda run: run["validation_mae"]), 1)
    ]


def fit(job, folder):
    """Search, check, refit; write ``model.pkl`` and return the result."""
    from autosklearn.metrics import mean_absolute_error
    from autosklearn.regression import AutoSklearnRegressor

    started = time.time()
    keep_dask_local()
    data = read_data(folder)
    X, y, groups = data["X"], data["y"], data.get("groups")
    record, scratch = os.path.join(folder, "splits.txt"), os.environ["TMPDIR"]
    if groups is not None:
        splitter = CheckedGroupKFold(job["inner_folds"], record)
        arguments = {"groups": groups}
    else:
        splitter = KFold(job["inner_folds"], shuffle=True, random_state=job["seed"])
        arguments = None
    estimator = AutoSklearnRegressor(
        time_left_for_this_task=job["time_budget"],
        per_run_time_limit=job["run_time_limit"],
        memory_limit=job["memory_limit"],
        initial_configurations_via_metalearning=job["initial_configurations"],
        exclude=job["exclude"] or None,
        resampling_strategy=splitter,
        resampling_strategy_arguments=arguments,
        metric=mean_absolute_error,
        smac_scenario_args=job["evaluations"] and {"runcount_limit": job["evaluations"]},
        dataset_compression=False,  # it drops rows, and the groups would no longer fit them
        n_jobs=job["n_jobs"],
        seed=job["seed"],
        tmp_folder=os.path.join(scratch, "search"),
        delete_tmp_folder_after_terminate=False,  # its log is read below
        logging_config=logging_config(),
    )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        estimator.fit(X, y)
    searched = time.time()
    automl = estimator.automl_
    runs = list_runs(automl)
    notes = logged_warnings(os.path.join(scratch, "search"))
    notes += sorted({"%s: %s" % (w.category.__name__, str(w.message)[:300]) for w in caught})
    counts = collections.Counter(run["status"] for run in runs)
    costs = [run["validation_mae"] for run in runs if run["status"] == "success"]
    splits = list(splitter.split(X, y, groups))
    statistics = {
        "runs": len(runs),
        **{name: counts.get(name, 0) for name in dict.fromkeys(STATUS_NAMES.values())},
        "best_validation_mae": min(costs) if costs else None,
        "mean_validation_mae": mean_baseline(y, splits),
        **{name: job[name] for name in ("inner_folds", "n_jobs", "memory_limit", "refit_limit")},
        "search_seconds": searched - started,
    }
    if groups is not None:
        checked = np.loadtxt(record, dtype=int, ndmin=2)
        statistics["inner_splits_checked"] = len(checked)
        statistics["inner_groups_shared"] = int(checked[:, 2].max())
    result = {"statistics": statistics, "leaderboard": [], "warnings": notes, "runs": runs}
    if not costs:
        return dict(result, status="nothing_succeeded")

    if (
        all(key[1] == DUMMY for key in automl.models_)
        and min(costs) < statistics["mean_validation_mae"]
    ):
        # The ensemble was last built before the first success.
        try:
            best = automl._load_best_individual_model()
            automl.models_ = automl._backend.load_models_by_identifiers(
                best.get_selected_model_identifiers()
            )
            automl.ensemble_ = best
            notes.append("no ensemble was built in time: the best single model is used")
        except Exception as error:
            notes.append("the best single model could not be loaded: %s" % error)
    is_mean = all(key[1] == DUMMY for key in automl.models_)
    if is_mean:
        notes.append(
            "no model did better in validation than predicting the mean (best %.3f, mean %.3f): "
            "the mean is what is predicted" % (min(costs), statistics["mean_validation_mae"])
        )
    n_members = len(automl.models_)
    notes += refit(
        automl,
        X,
        y,
        scratch,
        member_seconds=job["run_time_limit"],
        total_seconds=job["refit_limit"],
        n_jobs=job["n_jobs"],
        seed=job["seed"],
    )
    try:
        result["leaderboard"] = leaderboard(estimator)
    except Exception:  # auto-sklearn's own stumbles over an ensemble of the dummy
        result["leaderboard"] = plain_leaderboard(runs)
    # The record of this job is no part of the model.
    automl._resampling_strategy = estimator.resampling_strategy = (
        GroupKFold(job["inner_folds"]) if groups is not None else splitter
    )
    content = pickle.dumps(estimator)
    with open(os.path.join(folder, "model.pkl"), "wb") as stream:
        stream.write(content)
    ended = time.time()
    statistics.update(
        ensemble_size=len(automl.models_),
        ensemble_dropped=n_members - len(automl.models_),
        predicts_the_mean=is_mean,
        refit_seconds=ended - searched,
        seconds=ended - started,
    )
    return dict(result, status="ok", model_sha256=hashlib.sha256(content).hexdigest())


def predict(job, folder):
    """Predict the rows of ``data.h5`` with ``model.pkl``, if it is the file that was written."""
    with open(os.path.join(folder, "model.pkl"), "rb") as stream:
        content = stream.read()
    if hashlib.sha256(content).hexdigest() != job["model_sha256"]:
        raise ValueError("model.pkl is not the file that the fit wrote (its sha256 differs)")
    warnings.simplefilter("ignore")
    model = pickle.loads(content)  # its hash was recorded by the fit  # nosec B301
    predicted = model.predict(read_data(folder)["X"])
    np.save(os.path.join(folder, "predictions.npy"), np.asarray(predicted, float).reshape(-1))
    return {"status": "ok"}


def _die_with_watchdog():
    """Kill this group if the watchdog itself was killed."""
    watchdog = os.getppid()

    def wait():
        while os.getppid() == watchdog:
            time.sleep(0.5)
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=wait, daemon=True).start()


def main(folder):
    """Do the job in `folder`."""
    with open(os.path.join(folder, "job.json")) as stream:
        job = json.load(stream)
    _die_with_watchdog()
    try:
        result = {"fit": fit, "predict": predict}[job["task"]](job, folder)
    except Exception as error:
        text = "%s: %s" % (type(error).__name__, error)
        result = {"status": "error", "error": text, "traceback": traceback.format_exc()}
    path = os.path.join(folder, "result.json")
    with open(path + ".part", "w") as stream:
        json.dump(plain(result), stream, indent=1, allow_nan=False)
    os.replace(path + ".part", path)


if __name__ == "__main__":
    main(sys.argv[1])

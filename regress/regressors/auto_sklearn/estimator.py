"""auto-sklearn as a scikit-learn regressor."""

from __future__ import annotations

import hashlib
import math
import numbers
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from featx.atomic import writing
from featx.errors import FeatxError, unknown
from regress.regressors.auto_sklearn import allocation, client, environment

#: What each search space hands to auto-sklearn: how many of its meta-learned configurations start
#: the search, and which components are left out. ``fast`` is without those that take minutes, or
#: gigabytes, for one cross-validation on a thousand rows of deep features: ensembles of trees,
#: Gaussian processes, ARD, and the preprocessors that add units or fit trees.
SEARCH_SPACES: dict[str, dict[str, Any]] = {
    "default": {"initial_configurations": 25, "exclude": {}},
    "fast": {
        "initial_configurations": 25,
        "exclude": {
            "feature_preprocessor": [
                "polynomial",
                "fast_ica",
                "kernel_pca",
                "kitchen_sinks",
                "random_trees_embedding",
                "nystroem_sampler",
                "extra_trees_preproc_for_regression",
            ],
            "regressor": [
                "gaussian_process",
                "random_forest",
                "extra_trees",
                "gradient_boosting",
                "adaboost",
                "ard_regression",
            ],
        },
    },
}

_STARTUP = 300.0  # s: imports on a busy machine, writing the model
_ENDING = 60.0  # s: auto-sklearn closes its ensemble builder and loggers after the budget
_PREDICTION = 1800.0  # s


class AutoSklearnRegressor(RegressorMixin, BaseEstimator):
    """An auto-sklearn 0.15 ensemble, fitted in auto-sklearn's own Python 3.9 environment.

    The environment is built on first use (about a minute). The metric is the mean absolute error.
    Models are selected by cross-validation in which no group is on both sides, and the members of
    the ensemble are then fitted again on all rows.

    Parameters
    ----------
    time_budget : float, default=43200
        Seconds for the search of one fit, at least 30; 12 h as in the cascaded fine-tuning paper.
        The refit of the ensemble's members comes on top: each at most `run_time_limit`, all of
        them together at most `time_budget` (but no less than 120 s), and in a Slurm job no longer
        than it lasts.
    run_time_limit : float, default=3600
        Seconds for one model (all inner folds of it). auto-sklearn caps it at half the budget.
    memory_limit : int or None, default=None
        MB of address space for one model. None is 3072, or what a Slurm job has if that is less.
    search_space : {"default", "fast"}, default="default"
        A name in `SEARCH_SPACES`.
    inner_folds : int, default=5
        Folds of the inner cross-validation; no more than there are groups.
    evaluations : int or None, default=None
        Stop after so many models, which depends less on how fast the machine is than a time
        budget does; `time_budget` remains the bound. None searches until the time is up.
    n_jobs : int or None, default=None
        Models at a time. None is 1, and in a Slurm job one for each core that was asked for, as
        far as its memory goes.
    random_state : int, RandomState or None, default=0
        Seed. A search under a time budget is not reproducible all the same.
    keep : str, Path or None, default=None
        Folder to leave ``model.pkl``, ``result.json`` (every run with its configuration) and
        ``worker.log`` in.
    environment : str, Path or None, default=None
        Folder of the environment; None as in `environment.location`.

    Attributes
    ----------
    leaderboard_ : list of dict
        The evaluated models, best first, with their weight in the ensemble.
    statistics_ : dict
        Runs by status (``runs``, ``success``, ``crashed``, ``timeout``, ``memory_out``, …),
        ``best_validation_mae`` and ``mean_validation_mae`` (of predicting the mean), both in units
        of `y`, ``ensemble_size``, ``search_seconds``, ``refit_seconds``, ``seconds``, with groups
        ``inner_splits_checked`` and ``inner_groups_shared`` (0), and what auto-sklearn was given:
        ``n_jobs``, ``memory_limit`` (MB) and ``refit_limit`` (seconds).
    warnings_ : list of str
        What auto-sklearn and the refit warned of.
    report_ : dict
        ``leaderboard``, ``statistics`` and ``warnings`` as JSON has them.
    n_features_in_ : int
        Units.
    """

    def __init__(
        self,
        time_budget: float = 43200.0,
        run_time_limit: float = 3600.0,
        memory_limit: int | None = None,
        search_space: str = "default",
        inner_folds: int = 5,
        evaluations: int | None = None,
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = 0,
        keep: str | Path | None = None,
        environment: str | Path | None = None,
    ) -> None:
        self.time_budget = time_budget
        self.run_time_limit = run_time_limit
        self.memory_limit = memory_limit
        self.search_space = search_space
        self.inner_folds = inner_folds
        self.evaluations = evaluations
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.keep = keep
        self.environment = environment

    def fit(
        self, X: np.ndarray, y: np.ndarray, groups: np.ndarray | None = None
    ) -> AutoSklearnRegressor:
        """Search for an ensemble and fit it on all rows.

        Parameters
        ----------
        X : ndarray of shape (n, units), float
            float32 stays float32.
        y : ndarray of shape (n,), float
            Ages, years.
        groups : ndarray of shape (n,), optional
            Subjects. None lets every row stand for itself.

        Raises
        ------
        FeatxError
            If a parameter is out of range, there are fewer than two groups, the Slurm job has too
            little memory or time, no environment can be had, or no run succeeded.
        """
        self._check_parameters()
        X, y = validate_data(self, X, y, dtype=[np.float64, np.float32], y_numeric=True)
        y = np.asarray(y, dtype=np.float64)
        codes = None
        n_units = len(X)
        if groups is not None:
            names, codes = np.unique(np.asarray(groups), return_inverse=True)
            if len(codes) != len(X):
                raise FeatxError(f"{len(codes)} groups for {len(X)} rows")
            n_units = len(names)
        folds = min(self.inner_folds, n_units)
        if folds < 2:
            kind = "row" if groups is None else "subject"
            raise FeatxError(
                f"auto-sklearn needs at least two {kind}s to validate on and has {n_units}"
            )
        job = self._job(folds)
        python = environment.ensure(self.environment)
        limit = _STARTUP + job["time_budget"] + _ENDING + job["refit_limit"] + _ENDING
        with client.job_folder() as folder:
            client.write_job(folder, job, X=X, y=y, groups=codes)
            try:
                result = client.run_job(python, folder, limit)
                self._take(result, folder, job["memory_limit"])
            finally:
                if self.keep is not None:
                    _keep(folder, Path(self.keep))
        return self

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Predict ages in years, shape (n,), float64, for `X` of shape (n, units)."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=[np.float64, np.float32], reset=False)
        python = environment.ensure(self.environment)
        with client.job_folder() as folder:
            client.write_job(folder, {"task": "predict", "model_sha256": self.model_sha256_}, X=X)
            (folder / "model.pkl").write_bytes(self.model_)
            result = client.run_job(python, folder, _PREDICTION)
            if result["status"] != "ok":
                raise FeatxError(f"auto-sklearn could not predict: {result.get('error')}")
            predicted = np.load(folder / "predictions.npy", allow_pickle=False)
        if predicted.shape != (len(X),) or not np.isfinite(predicted).all():
            raise FeatxError(
                f"auto-sklearn predicted {predicted.shape} for {len(X)} rows, "
                f"{int((~np.isfinite(predicted)).sum())} of them not finite"
            )
        return predicted

    def _check_parameters(self) -> None:
        if self.search_space not in SEARCH_SPACES:
            raise unknown("search space", self.search_space, SEARCH_SPACES)
        for name, least in (
            ("time_budget", 30),
            ("run_time_limit", 1),
            ("memory_limit", 1),
            ("inner_folds", 2),
            ("evaluations", 1),
            ("n_jobs", 1),
        ):
            value = getattr(self, name)
            if value is None and name in ("memory_limit", "n_jobs", "evaluations"):
                continue
            if not isinstance(value, (int, float, np.number)) or not least <= value < math.inf:
                raise FeatxError(f"{name} is {value!r}: give a number of at least {least}")

    def _job(self, folds: int) -> dict[str, Any]:
        run_time_limit = max(1, round(min(self.run_time_limit, self.time_budget)))
        share = allocation.share(
            allocation.granted(),
            time_budget=round(self.time_budget),
            run_time_limit=run_time_limit,
            n_jobs=None if self.n_jobs is None else int(self.n_jobs),
            memory_limit=None if self.memory_limit is None else int(self.memory_limit),
        )
        seed = self.random_state
        if not isinstance(seed, numbers.Integral):
            seed = check_random_state(seed).randint(2**31 - 1)
        space = dict(SEARCH_SPACES[self.search_space])
        if self.evaluations is not None:  # SMAC begins with its default besides, and counts it
            first = min(space["initial_configurations"], int(self.evaluations) - 1)
            space["initial_configurations"] = first
        return {
            "task": "fit",
            "time_budget": round(self.time_budget),
            "run_time_limit": run_time_limit,
            "refit_limit": share.refit_limit,
            "memory_limit": share.memory_limit,
            "inner_folds": int(folds),
            "evaluations": None if self.evaluations is None else int(self.evaluations),
            "n_jobs": share.n_jobs,
            "seed": int(seed),
            **space,
        }

    def _take(self, result: dict[str, Any], folder: Path, memory_limit: int) -> None:
        if result["status"] == "nothing_succeeded":
            raise FeatxError(_why_nothing_succeeded(result, self, memory_limit))
        if result["status"] != "ok":
            error = str(result.get("error", "no reason given"))
            raise FeatxError(_why_it_failed(error, memory_limit))
        self.report_ = {name: result[name] for name in ("leaderboard", "statistics", "warnings")}
        self.leaderboard_ = self.report_["leaderboard"]
        self.statistics_ = self.report_["statistics"]
        self.warnings_ = self.report_["warnings"]
        self.model_ = (folder / "model.pkl").read_bytes()
        self.model_sha256_ = result["model_sha256"]
        if hashlib.sha256(self.model_).hexdigest() != self.model_sha256_:
            raise FeatxError(f"{folder / 'model.pkl'} changed since it was written")


def _why_nothing_succeeded(
    result: dict[str, Any], regressor: AutoSklearnRegressor, memory_limit: int
) -> str:
    """Name the commonest ways in which runs failed, and the option to raise."""
    runs = result.get("runs", [])
    budget = f"{regressor.time_budget:g} s"
    if not runs:
        return (
            f"auto-sklearn could not start a single run within {budget}; raise the time budget "
            "(--time-budget)"
        )
    counts = Counter(run["status"] for run in runs)
    told = ", ".join(f"{n} {status.replace('_', ' ')}" for status, n in counts.most_common())
    reasons = [f"none of auto-sklearn's {len(runs)} runs succeeded within {budget}: {told}"]
    crashes = Counter(run["error"][-200:] for run in runs if run["status"] == "crashed")
    reasons += [f"commonest error: {text}" for text, _ in crashes.most_common(1) if text]
    other = " or take the fast search space (--search-space fast)"
    advice = {
        "timeout": "raise the time budget and the limit of a run (--time-budget, "
        f"--run-time-limit){other if regressor.search_space != 'fast' else ''}",
        "memory_out": f"raise the memory limit of {memory_limit} MB (--memory-limit)",
    }
    reasons += [advice[status] for status, _ in counts.most_common() if status in advice]
    return "; ".join(" ".join(reason.split()) for reason in reasons)


def _why_it_failed(error: str, memory_limit: int) -> str:
    text = " ".join(error.split())[:600]
    if any(word in text.lower() for word in ("memory", "memout")):
        text += f"; raise the memory limit of {memory_limit} MB (--memory-limit)"
    elif "Dummy prediction failed" in text or "no time left" in text:
        text += "; raise the time budget (--time-budget)"
    return f"auto-sklearn failed: {text}"


def _keep(folder: Path, keep: Path) -> None:
    for name in ("model.pkl", "worker.log", "result.json"):
        if (folder / name).is_file():
            with writing(keep / name) as temporary:
                shutil.copyfile(folder / name, temporary)

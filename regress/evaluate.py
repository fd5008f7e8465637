"""(layer, regressor, protocol) -> predictions, fold by fold, resumable."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from featx.cluster import Part, run
from featx.errors import FeatxError
from featx.progress import tracking
from regress.fold_pieces import write_fold
from regress.fold_records import (
    failed_folds,
    finished_folds,
    forget,
    unit_label,
    write_failure,
    write_plan,
)
from regress.methods import Method, plain
from regress.predictions import label_columns
from regress.protocols import Fold
from regress.publishing import publish, start_folder


@dataclass(frozen=True)
class Unit:
    """What is computed in one go: a fold of a method, or all where they are computed together.

    Attributes
    ----------
    method : Method
        Whose.
    folds : list of Fold
        One, or all.
    """

    method: Method
    folds: list[Fold]

    @property
    def label(self) -> str:
        """The unit in words."""
        whole = len(self.folds) > 1 or self.method.at_once
        return unit_label(self.method.name, None if whole else self.folds[0].name)

    def missing(self) -> list[Fold]:
        """Return the folds that are not finished."""
        names = [fold.name for fold in self.folds]
        done = finished_folds(self.method.folder, self.method.key, names)
        return [fold for fold in self.folds if fold.name not in done]


def units(methods: Sequence[Method]) -> list[Unit]:
    """Return all that some methods consist of, in an order that depends on nothing else."""
    found: list[Unit] = []
    for method in methods:
        groups = [method.folds] if method.at_once else [[fold] for fold in method.folds]
        found += [Unit(method, folds) for folds in groups]
    return found


def evaluate(method: Method, *, jobs: int = 1, resume: bool = False) -> dict[str, Any]:
    """Compute a method's missing folds and write its predictions.

    Each fold is written as it ends, so that a kill loses only the folds in hand; one failed fold
    does not lose the others.

    Parameters
    ----------
    method : Method
        From `plan_methods`.
    jobs : int
        Folds at a time; below 1 means one a core.
    resume : bool
        Keep the folds that an earlier run of the same method finished.

    Returns
    -------
    dict
        The content of ``run.json``; failed folds are under ``folds.failed`` with their reasons.

    Raises
    ------
    FeatxError
        If the folder holds an earlier run and `resume` is false.
    """
    start(method, resume=resume)
    done = finished_folds(method.folder, method.key)
    todo = [fold for fold in method.folds if fold.name not in done]
    return gather(method, _track(method, todo, jobs))


def start(method: Method, *, resume: bool) -> None:
    """Make a method's folder, or take up the one that is there, and write down its folds.

    Raises
    ------
    FeatxError
        If it holds an earlier run and `resume` is false.
    """
    start_folder(method.folder, resume)
    write_plan(method.folder, method.name, method.key, [fold.name for fold in method.folds])


def evaluate_part(methods: Sequence[Method], part: Part, *, jobs: int = 1) -> dict[str, str]:
    """Compute the missing folds of a part of some methods, and nothing but these folds' pieces.

    Parts run side by side on machines that share the folder; `gather` publishes what they wrote.

    Parameters
    ----------
    methods : sequence of Method
        From `plan_methods`.
    part : Part
        Of their `units`.
    jobs : int
        Folds at a time; below 1 means one a core.

    Returns
    -------
    dict of str to str
        Why a unit's fold failed, by method and fold.
    """
    failed = {}
    mine = part.of(units(methods))
    for method in methods:
        todo = [fold for unit in mine if unit.method is method for fold in unit.missing()]
        if todo:
            write_plan(method.folder, method.name, method.key, [f.name for f in method.folds])
        for name, reason in _track(method, todo, jobs).items():
            failed[f"{method.name}, fold {name}"] = reason
    return failed


def gather(method: Method, failed: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Write the predictions of the folds that are there, computing none.

    Parameters
    ----------
    method : Method
        From `plan_methods`.
    failed : mapping of str to str
        Why folds are not there, where that is known.

    Returns
    -------
    dict
        The content of ``run.json``.
    """
    info = {
        "method": method.name,
        "layer": method.data.layer,
        "regressor": method.spec,
        "parameters": method.parameters,
        "protocol": method.protocol,
        "seed": method.seed,
        "split_hash": method.split,
        "features": plain(method.data.source),
        "counts": method.data.counts,
    }
    planned = [fold.name for fold in method.folds]
    return publish(method.folder, method.key, planned, failed or {}, info)


def left_over(method: Method) -> dict[str, str]:
    """Return the folds that are not finished, with the reasons that were written down or empty."""
    names = [fold.name for fold in method.folds]
    done = finished_folds(method.folder, method.key)
    missing = [name for name in names if name not in done]
    told = failed_folds(method.folder, method.key, missing)
    return {name: told.get(name, "") for name in missing}


def _track(method: Method, todo: list[Fold], jobs: int) -> dict[str, str]:
    """Compute some folds, showing how far that has come; return why folds failed."""
    failed: dict[str, str] = {}
    forget(method.folder, [fold.name for fold in todo])  # why they failed when tried before
    done = len(method.folds) - len(todo)
    with tracking(method.name, len(method.folds), "fold", done) as advance:
        for name, reason in _compute(method, todo, jobs):
            if reason:
                failed[name] = reason
            advance(1)
    return failed


def _compute(method: Method, todo: list[Fold], jobs: int) -> Iterator[tuple[str, str | None]]:
    """Yield (fold name, reason why it failed or None) as folds end."""
    if not todo:
        return
    if method.at_once:
        yield from _all_at_once(method, todo)
        return
    data = method.data
    yield from run(
        _fit_fold,
        (
            (data.X, data.images, fold, method.regressor(), method.folder, method.key)
            for fold in todo
        ),
        jobs,
    )


def _fit_fold(
    X: np.ndarray, images: pd.DataFrame, fold: Fold, regressor: Any, folder: Path, key: str
) -> tuple[str, str | None]:
    """Fit one fold's regressor on its training rows and write its predictions."""
    start = time.perf_counter()
    y = images["age"].to_numpy(float)
    groups = images["subject"].to_numpy(str)
    try:
        regressor.fit(X[fold.train], y[fold.train], groups=groups[fold.train])
        probabilities = None
        if hasattr(regressor, "predict_proba"):
            probabilities = (
                np.asarray(regressor.classes_, float),
                regressor.predict_proba(X[fold.test]),
            )
        predicted = regressor.predict(X[fold.test])
        record = {
            "report": plain(getattr(regressor, "report_", {})),
            "seconds": round(time.perf_counter() - start, 3),
        }
        _write(folder, key, images, fold, predicted, record, probabilities)
    except Exception as error:  # one failed fold must not lose the others
        reason = f"{type(error).__name__}: {error}" if not isinstance(error, FeatxError) else error
        text = " ".join(str(reason).split())
        write_failure(folder, fold.name, key, text)
        return fold.name, text
    return fold.name, None


def _all_at_once(method: Method, todo: list[Fold]) -> Iterator[tuple[str, None]]:
    """Compute leave-one-person-out of all folds together, where the regressor can."""
    data = method.data
    start = time.perf_counter()
    regressor = method.regressor()
    predicted, details = regressor.cross_val_predict_groups(data.X, data.y, data.groups)
    share = (time.perf_counter() - start) / len(method.folds)
    for fold in todo:
        record = {"report": plain(details[fold.name]), "seconds": round(share, 3)}
        _write(method.folder, method.key, data.images, fold, predicted[fold.test], record)
        yield fold.name, None


def _write(
    folder: Path,
    key: str,
    images: pd.DataFrame,
    fold: Fold,
    predicted: np.ndarray,
    record: dict[str, Any],
    probabilities: tuple[np.ndarray, np.ndarray] | None = None,
) -> None:
    predicted = np.asarray(predicted, float)
    if predicted.shape != fold.test.shape or not np.isfinite(predicted).all():
        raise FeatxError(f"fold {fold.name}: the regressor gave NaN, infinite or missing ages")
    table = images.iloc[fold.test][label_columns(images)].copy()
    table["fold"] = fold.name
    table["predicted_age"] = predicted
    n = {"n_train": len(fold.train), "n_test": len(fold.test)}
    write_fold(folder, table, {"fold": fold.name, "key": key, **n, **record}, probabilities)

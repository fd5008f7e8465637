"""(layer, regressor, protocol) -> predictions, fold by fold, resumable."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from featx import __version__
from featx.cluster import run
from featx.errors import FeatxError
from featx.progress import tracking
from regress.data import LayerData, load_layer
from regress.predictions import FORMAT, finished_folds, fold_stem, write_failure, write_fold
from regress.protocols import Fold, check_named, plan_folds, split_hash
from regress.publishing import publish, start_folder
from regress.regressors import make_regressor
from regress.regressors.expected_value import are_ages

#: Options that change how a fold is computed but not what is computed.
_NOT_IN_KEY = ("keep", "environment", "max_memory")


@dataclass(frozen=True)
class Method:
    """One layer with one regressor under one protocol: all that its folds are computed from."""

    folder: Path
    data: LayerData
    spec: str
    options: dict[str, Any]
    protocol: str
    seed: int
    folds: list[Fold]
    split: str

    @property
    def name(self) -> str:
        """The name under which the method is shown."""
        return f"{self.data.layer} · {self.spec}"

    def regressor(self) -> Any:
        """Return a fresh, unfitted regressor."""
        return make_regressor(self.spec, self.options, self.seed)

    @property
    def parameters(self) -> dict[str, Any]:
        """The regressor's parameters, as JSON-able values."""
        return {key: plain(value) for key, value in self.regressor().get_params(False).items()}

    @property
    def key(self) -> str:
        """A hash of everything that a fold's predictions depend on."""
        parameters = {k: v for k, v in self.parameters.items() if k not in _NOT_IN_KEY}
        source = [
            FORMAT,
            __version__,  # default grids may change with it
            self.data.layer,
            self.data.source["layer_sha256"],
            self.spec.partition(":")[0],
            parameters,
            self.protocol,
            self.seed,
            self.split,
        ]
        return hashlib.sha256(json.dumps(source, sort_keys=True).encode()).hexdigest()


def plain(value: Any) -> Any:
    """Return a value as JSON-able data: no NaN, no NumPy."""
    if isinstance(value, float) and not np.isfinite(value):
        return None  # JSON has no NaN
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, np.generic | np.ndarray):
        return plain(value.tolist())
    return str(value)


def method_folder(out: Path, layer: str, spec: str) -> Path:
    """Return the folder of a method below `out`."""
    return out / fold_stem(f"{layer}.{spec.replace(':', '.').replace('=', '-').replace(',', '.')}")


def plan_methods(
    features: str | Path,
    out: str | Path,
    *,
    layers: Sequence[str],
    regressors: Sequence[str],
    protocol: str = "lopo",
    seed: int = 0,
    options: Mapping[str, Any] | None = None,
) -> list[Method]:
    """Read the layers, plan the folds, and check every name before anything runs.

    Raises
    ------
    FeatxError
        As `load_layer`, `plan_folds` and `make_regressor`.
    """
    methods = []
    for layer in layers:
        data = load_layer(features, layer)
        check_named(protocol, len(data.images), data.counts["without_subject"], str(features))
        folds = plan_folds(protocol, data.images, seed)
        split = split_hash(data.images, folds)
        given = {**(options or {}), "unit_ages": data.classes}
        for spec in regressors:
            regressor = make_regressor(spec, given, seed)
            if hasattr(regressor, "unit_ages") and not are_ages(data.classes):
                raise FeatxError(
                    f"{features}: the units of layer {layer!r} are not probabilities of ages; give "
                    f"{spec} the layer softmax of a network whose head tells ages"
                )
            folder = method_folder(Path(out), layer, spec)
            methods.append(Method(folder, data, spec, given, protocol, seed, folds, split))
    return methods


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
    start_folder(method.folder, resume)
    done = finished_folds(method.folder, method.key)
    todo = [fold for fold in method.folds if fold.name not in done]
    failed: dict[str, str] = {}
    with tracking(method.name, len(method.folds), "fold", len(done)) as advance:
        for name, reason in _compute(method, todo, jobs):
            if reason:
                failed[name] = reason
            advance(1)
    return _publish(method, failed)


def _compute(method: Method, todo: list[Fold], jobs: int) -> Iterator[tuple[str, str | None]]:
    """Yield (fold name, reason why it failed or None) as folds end."""
    if not todo:
        return
    if method.protocol == "lopo" and hasattr(method.regressor(), "cross_val_predict_groups"):
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
    table = images.iloc[fold.test][["image", "subject", "age"]].copy()
    table["fold"] = fold.name
    table["predicted_age"] = predicted
    n = {"n_train": len(fold.train), "n_test": len(fold.test)}
    write_fold(folder, table, {"fold": fold.name, "key": key, **n, **record}, probabilities)


def _publish(method: Method, failed: dict[str, str]) -> dict[str, Any]:
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
    return publish(method.folder, method.key, [fold.name for fold in method.folds], failed, info)

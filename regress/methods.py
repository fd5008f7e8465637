"""What is to be evaluated: (layer, regressor, protocol), with the folds and all settings."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from featx import __version__
from featx.errors import FeatxError
from featx.store import FeaturesFile
from regress.data import LayerData, load_layer
from regress.fold_records import fold_stem
from regress.predictions import FORMAT
from regress.protocols import Fold, check_named, plan_folds, split_hash
from regress.regressors import brought_by, make_regressor
from regress.regressors.expected_value import are_ages

#: Options that change how a fold is computed but not what is computed.
_NOT_IN_KEY = ("keep", "environment")


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

    @cached_property
    def at_once(self) -> bool:
        """Whether the regressor computes all folds together."""
        return computes_at_once(self.protocol, self.regressor())

    @property
    def parameters(self) -> dict[str, Any]:
        """The regressor's parameters, as JSON-able values."""
        return {key: plain(value) for key, value in self.regressor().get_params(False).items()}

    @cached_property
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
            *filter(None, [brought_by(self.spec)]),  # another version may fit otherwise
        ]
        return hashlib.sha256(json.dumps(source, sort_keys=True).encode()).hexdigest()


def computes_at_once(protocol: str, regressor: Any) -> bool:
    """Tell whether a regressor computes all folds of a protocol together."""
    return protocol == "lopo" and hasattr(regressor, "cross_val_predict_groups")


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
    layers: Sequence[str] = (),
    regressors: Sequence[str],
    protocol: str = "lopo",
    seed: int = 0,
    options: Mapping[str, Any] | None = None,
) -> list[Method]:
    """Read the layers, plan the folds, and check every name before anything runs.

    Parameters
    ----------
    features : str or Path
        The features file.
    out : str or Path
        The folder in which every method gets one of its own.
    layers : sequence of str
        Names of its layers; all of them by default.
    regressors : sequence of str
        See `regress.regressors.make_regressor`.
    protocol : str
        See `regress.protocols.splitter`.
    seed : int
        Of the protocol and of the regressors.
    options : mapping, optional
        Parameters of all regressors that have them.

    Raises
    ------
    FeatxError
        As `load_layer`, `plan_folds` and `make_regressor`.
    """
    if not layers:
        with FeaturesFile(features) as file:
            layers = tuple(file.layers)
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

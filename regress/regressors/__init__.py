"""Regressors, one a file, all scikit-learn estimators; here they are found by name.

Every one has ``fit(X, y, groups=None)``, where `groups` are the subjects whose rows must stay
together in any inner selection, ``predict(X)``, and, where it has something to tell of a fit, a
JSON-able dict ``report_``. Other packages bring more under the entry point group
``featx.regressors`` (`featx.plugins`).
"""

from __future__ import annotations

import ast
import importlib
import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from featx.errors import FeatxError, unknown
from featx.plugins import Plugin, find_plugin, plugin_names

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator

_REGRESSORS = {
    "auto-sklearn": "regress.regressors.auto_sklearn:AutoSklearnRegressor",
    "exact-kernel": "regress.regressors.exact_kernel:ExactKernelRegressor",
    "expected-value": "regress.regressors.expected_value:ExpectedValueRegressor",
    "mean": "regress.regressors.baselines:mean",
    "pls": "regress.regressors.baselines:pls",
    "ridge": "regress.regressors.baselines:ridge",
    "softmax": "regress.regressors.softmax:SoftmaxRegressor",
    "svr": "regress.regressors.baselines:svr",
}


def list_regressors() -> list[str]:
    """Return the names of all regressors."""
    return sorted({*_REGRESSORS, *plugin_names("regressor")})


def brought_by(spec: str) -> str:
    """Return the package, with its version, that brings a regressor; empty for featx's own."""
    name = spec.partition(":")[0]
    if name in _REGRESSORS:
        return ""
    plugin = find_plugin("regressor", name, _REGRESSORS)
    return f"{plugin.package} {plugin.version}"


def make_regressor(
    spec: str, options: Mapping[str, Any] | None = None, seed: int = 0
) -> BaseEstimator:
    """Return an unfitted regressor.

    Parameters
    ----------
    spec : str
        A name, or a name with parameters: ``softmax:label_sd=2`` or
        ``auto-sklearn:search_space=fast,time_budget=60``.
    options : mapping, optional
        Further parameters, set where the regressor has one of that name; `spec` wins.
    seed : int
        Becomes ``random_state`` where the regressor has one.

    Raises
    ------
    FeatxError
        If the name or a parameter is unknown, with near matches; if the package that brings the
        regressor cannot be imported, or what it brings is none.
    """
    name, _, arguments = spec.partition(":")
    estimator = _own(name) if name in _REGRESSORS else _brought(name)
    known = estimator.get_params(deep=True)
    given = {"random_state": seed, **(options or {})}
    parameters = {key: value for key, value in given.items() if key in known}
    for key, value in _parse(spec, arguments).items():
        if key not in known:
            raise unknown(f"parameter of {name}", key, known)
        parameters[key] = value
    return estimator.set_params(**parameters)


def _own(name: str) -> BaseEstimator:
    if name in plugin_names("regressor"):
        plugin = find_plugin("regressor", name)
        raise FeatxError(f"{plugin} has the name of one of featx's own; rename or uninstall it")
    module, _, attribute = _REGRESSORS[name].partition(":")
    estimator: BaseEstimator = getattr(importlib.import_module(module), attribute)()
    return estimator


def _brought(name: str) -> BaseEstimator:
    plugin = find_plugin("regressor", name, _REGRESSORS)
    make = plugin.load()
    try:
        estimator: BaseEstimator = make()
    except Exception as error:
        raise FeatxError(
            f"{plugin} cannot be made by calling {plugin.entry.value} without arguments "
            f"({type(error).__name__}: {error})"
        ) from error
    _check_contract(estimator, plugin)
    return estimator


def _check_contract(estimator: Any, plugin: Plugin) -> None:
    for method in ("get_params", "set_params", "fit", "predict"):
        if not callable(getattr(estimator, method, None)):
            raise FeatxError(f"{plugin} is no scikit-learn regressor: it has no {method}")
    parameters = inspect.signature(estimator.fit).parameters
    if "groups" not in parameters:
        raise FeatxError(
            f"{plugin} does not take the subjects: give it fit(X, y, groups=None), and keep each "
            "group on one side of any split that it makes"
        )


def _parse(spec: str, arguments: str) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for part in _split_outside_brackets(arguments):
        key, equals, text = part.partition("=")
        if not equals or not key.strip():
            raise FeatxError(f"--regressor {spec}: {part!r} is not of the form parameter=value")
        try:
            values[key.strip()] = ast.literal_eval(text.strip())
        except (ValueError, SyntaxError):
            values[key.strip()] = text.strip()
    return values


def _split_outside_brackets(text: str) -> list[str]:
    parts, depth = [""], 0
    for character in text:
        depth += (character in "([{") - (character in ")]}")
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return [part for part in parts if part.strip()]

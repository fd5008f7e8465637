"""Regressors, one a file, all scikit-learn estimators; here they are found by name.

Every one has ``fit(X, y, groups=None)``, where `groups` are the subjects whose rows must stay
together in any inner selection, ``predict(X)``, and, where it has something to tell of a fit, a
JSON-able dict ``report_``.
"""

from __future__ import annotations

import ast
import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from featx.errors import FeatxError, unknown

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
    return sorted(_REGRESSORS)


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
        If the name or a parameter is unknown, with near matches.
    """
    name, _, arguments = spec.partition(":")
    if name not in _REGRESSORS:
        raise unknown("regressor", name, _REGRESSORS)
    module, _, attribute = _REGRESSORS[name].partition(":")
    estimator: BaseEstimator = getattr(importlib.import_module(module), attribute)()
    known = estimator.get_params(deep=True)
    given = {"random_state": seed, **(options or {})}
    parameters = {key: value for key, value in given.items() if key in known}
    for key, value in _parse(spec, arguments).items():
        if key not in known:
            raise unknown(f"parameter of {name}", key, known)
        parameters[key] = value
    return estimator.set_params(**parameters)


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

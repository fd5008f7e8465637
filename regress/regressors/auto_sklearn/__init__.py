"""auto-sklearn 0.15 in an environment of its own, as a scikit-learn estimator.

The estimator is imported when it is asked for: looking after the environment needs no scikit-learn.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from regress.regressors.auto_sklearn.estimator import SEARCH_SPACES, AutoSklearnRegressor

__all__ = ["SEARCH_SPACES", "AutoSklearnRegressor"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from regress.regressors.auto_sklearn import estimator

    return getattr(estimator, name)

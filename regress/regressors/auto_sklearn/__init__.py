"""auto-sklearn 0.15 in an environment of its own, as a scikit-learn estimator."""

from regress.regressors.auto_sklearn.estimator import SEARCH_SPACES, AutoSklearnRegressor

__all__ = ["SEARCH_SPACES", "AutoSklearnRegressor"]

"""Kernel ridge regression whose nested leave-one-group-out is exact and cheap."""

from regress.regressors.exact_kernel.estimator import ExactKernelRegressor, InputError
from regress.regressors.exact_kernel.memory import required_bytes

__all__ = ["ExactKernelRegressor", "InputError", "required_bytes"]

"""Kernel ridge regression whose nested leave-one-group-out is exact and cheap."""

from regress.regressors.exact_kernel.checks import InputError
from regress.regressors.exact_kernel.estimator import ExactKernelRegressor
from regress.regressors.exact_kernel.memory import nystrom_bytes, required_bytes

__all__ = ["ExactKernelRegressor", "InputError", "nystrom_bytes", "required_bytes"]

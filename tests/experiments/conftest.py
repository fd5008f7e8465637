from tests.featx.training.conftest import made

__all__ = ["made"]

"""Features in, errors out. Never imports torch.

What a program needs of it is here by name, and imported when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from regress.compare import compare as compare_runs
    from regress.predictions import find_runs, read_run
    from regress.report.page import write_report
    from regress.several import evaluate_features

__all__ = ["compare_runs", "evaluate_features", "find_runs", "read_run", "write_report"]

_HOMES = {
    "compare_runs": "regress.compare:compare",
    "evaluate_features": "regress.several:evaluate_features",
    "find_runs": "regress.predictions:find_runs",
    "read_run": "regress.predictions:read_run",
    "write_report": "regress.report.page:write_report",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, attribute = _HOMES[name].partition(":")
    return getattr(importlib.import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})

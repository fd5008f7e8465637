"""Images in, features out.

What a program needs of it is here by name, and imported when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from featx.datasets import read_dataset
    from featx.errors import FeatxError
    from featx.extraction import extract
    from featx.preparation import CropSettings, prepare
    from featx.store import FeaturesFile

__all__ = ["CropSettings", "FeaturesFile", "FeatxError", "extract", "prepare", "read_dataset"]

__version__ = "0.1.0"

_HOMES = {
    "CropSettings": "featx.preparation",
    "FeaturesFile": "featx.store",
    "FeatxError": "featx.errors",
    "extract": "featx.extraction",
    "prepare": "featx.preparation",
    "read_dataset": "featx.datasets",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})

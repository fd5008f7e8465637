"""How face crops were made, as ``prepare.json`` beside their table tells."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from featx.errors import FeatxError


def prepared(path: Path) -> Any:
    """Return how the crops were made (detector, crop, margin), or None where nothing tells."""
    if not path.is_file():
        return None
    try:
        return json.loads(path.read_text(encoding="utf-8"), parse_constant=str)
    except (ValueError, OSError) as error:
        raise FeatxError(
            f"{path} is damaged ({error}); prepare again, or remove it where nothing is to be "
            "recorded of how the crops were made"
        ) from None


def crop_settings(tables: Sequence[str | Path]) -> tuple[dict[str, Any] | None, ...]:
    """Return each image table's `featx.preparation.CropSettings.describe`, or None.

    Parameters
    ----------
    tables : sequence of str or Path
        CSV files, or the folders that hold ``images.csv``.

    Raises
    ------
    FeatxError
        If a ``prepare.json`` is damaged.
    """
    found = []
    for given in map(Path, tables):
        folder = given if given.is_dir() else given.parent
        told = prepared(folder / "prepare.json")
        settings = told.get("settings") if isinstance(told, dict) else None
        found.append(settings if isinstance(settings, dict) else None)
    return tuple(found)

"""Which experiments come with featx; nothing heavy is imported."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent


def experiment_names() -> list[str]:
    """Return the names of the experiments that come with featx, as ``PAPER/TABLE``."""
    return sorted(
        f"{file.parent.name}/{file.stem}" for file in FOLDER.glob("*/*.yaml") if file.is_file()
    )

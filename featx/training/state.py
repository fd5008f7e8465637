"""The state of an unfinished stage: everything that it needs to go on as if never stopped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from featx.atomic import writing
from featx.errors import FeatxError


def save_state(path: Path, state: dict[str, Any]) -> None:
    """Write a state atomically; a disk that is full leaves the former one as it was.

    Raises
    ------
    FeatxError
        If it cannot be written.
    """
    try:
        with writing(path) as temporary:
            torch.save(state, temporary)
    except RuntimeError as error:  # what torch's zip writer makes of a full disk
        line = str(error).strip().splitlines()[0]
        raise FeatxError(
            f"cannot write {path}: {line}; the state before it is kept: make room on the disk and "
            "add --resume"
        ) from error


def load_state(path: Path) -> dict[str, Any] | None:
    """Read a state, running no code that it may hold; None where there is none.

    Raises
    ------
    FeatxError
        If the file is damaged.
    """
    if not path.is_file():
        return None
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # damaged pickles and zips raise nearly anything
        line = " ".join(str(error).split())[:120]
        raise FeatxError(
            f"{path} is damaged ({line}); delete it to start this stage again"
        ) from error
    return state

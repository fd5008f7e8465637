"""The state of an unfinished stage: everything that it needs to go on as if never stopped."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import torch

from featx.atomic import writing
from featx.errors import FeatxError
from featx.training.processes import Processes


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


def load_state(path: Path, processes: Processes) -> dict[str, Any] | None:
    """Read a state, running no code that it may hold; None where there is none.

    The first process reads it for all: on a shared folder others may still see the state before
    it, or one of a stage that the first has ended meanwhile.

    Raises
    ------
    FeatxError
        If the file is damaged.
    """
    content = path.read_bytes() if processes.first and path.is_file() else None
    content = processes.hand_out(content)
    if content is None:
        return None
    try:
        state: dict[str, Any] = torch.load(BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # damaged pickles and zips raise nearly anything
        line = " ".join(str(error).split())[:120]
        raise FeatxError(
            f"{path} is damaged ({line}); delete it to start this stage again"
        ) from error
    return state


def check_state(state: dict[str, Any], path: Path, key: str, count: int) -> None:
    """Refuse a state of another stage, or of another number of processes.

    Raises
    ------
    FeatxError
        Of either.
    """
    if state["key"] != key:
        raise FeatxError(
            f"{path} is of a stage with other settings, weights or images; give "
            "another -o, or delete that folder to start the stage again"
        )
    begun = state["processes"]
    if begun != count:
        told = "1 process has" if begun == 1 else f"{begun} processes have"
        raise FeatxError(
            f"{path} is of a stage that {told} begun, not {count}: go on with as many, or delete "
            "that folder to start the stage again"
        )

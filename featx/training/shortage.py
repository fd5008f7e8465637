"""Errors that mean too little memory, from whichever library, told as one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from featx.errors import FeatxError

if TYPE_CHECKING:
    from featx.training.config.stage import Stage

#: What PyTorch's allocator on the CPU, the CUDA runtime, cuBLAS and cuDNN (before and since 9) say.
_TOLD = re.compile(r"can't allocate memory|out of memory|STATUS_(\w+_)?ALLOC(ATION)?_FAILED", re.I)


def is_shortage(error: BaseException) -> bool:
    """Tell whether an error means that memory did not suffice."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and _TOLD.search(str(error)) is not None


@contextmanager
def telling_shortage(what: str, remedy: str, device: torch.device) -> Iterator[None]:
    """Turn a shortage of memory in the block into one line.

    Parameters
    ----------
    what : str
        What is done in the block.
    remedy : str
        What to do about it.
    device : torch.device
        Whose memory it is, unless the error tells that it is the machine's.

    Raises
    ------
    FeatxError
        Where memory does not suffice; other errors pass.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_shortage(error):
            raise
        machine = isinstance(error, MemoryError) or "can't allocate memory" in str(error)
        where = "this machine" if machine or device.type == "cpu" else str(device)
        raise FeatxError(f"{what}: {where} has too little memory {remedy}") from None


def smaller_batches(stage: Stage) -> str:
    """Return what to do where a stage does not fit into memory."""
    size = stage.batch_size
    smaller = f"batch_size: {size // 2} and accumulate: {2 * stage.accumulate}"
    return (
        f"for batches of {size} images; set "
        + (f"{smaller} (the same steps in less memory), or " if size >= 4 else "")
        + "precision: bf16, or train fewer folds at once (--jobs)"
    )

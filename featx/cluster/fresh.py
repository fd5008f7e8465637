"""Call a function in a fresh process of this machine, whose memory is its own. No torch."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from featx.errors import FeatxError


def call_fresh(
    function: Callable[..., Any], *arguments: Any, killed: str, limit: float | None = None
) -> Any:
    """Return what a function returns in a process that has done nothing else.

    Parameters
    ----------
    function : callable
        Importable by name.
    *arguments
        Its arguments; like its result they go through pickle.
    killed : str
        What to say where the process is killed, as the system does for want of memory.
    limit : float, optional
        Seconds that it may take.

    Raises
    ------
    FeatxError
        If the process is killed; and whatever the function raises.
    TimeoutError
        If it takes longer than it may.
    """
    # not a copy of this process, which may hold much memory, and whose GPU a copy could not use
    fresh = multiprocessing.get_context("spawn")
    receiving, sending = fresh.Pipe(duplex=False)
    usual = multiprocessing.get_start_method(allow_none=True)
    caller = os.getpid()
    process = fresh.Process(target=_answer, args=(sending, usual, caller, function, arguments))
    process.start()
    sending.close()
    try:
        if not receiving.poll(limit):
            raise TimeoutError
        succeeded, answer = receiving.recv()
    except EOFError:
        raise FeatxError(killed) from None
    finally:
        if process.is_alive():
            process.join(1)
        process.kill()
        process.join()
    if succeeded:
        return answer
    raise answer


def _answer(
    sending: Connection,
    usual: str | None,
    caller: int,
    function: Callable[..., Any],
    arguments: tuple[Any, ...],
) -> None:
    end_with_caller(caller)
    # else processes that this one starts, as those that decode, would begin anew as this one did
    multiprocessing.set_start_method(usual, force=True)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the caller is told of Ctrl-C, and ends this one
    try:
        answer: tuple[bool, Any] = True, function(*arguments)
    except Exception as error:
        answer = False, error
    sending.send(answer)


def end_with_caller(caller: int) -> None:
    """Let the kernel end this process with its caller, whatever it is caught in.

    A thread that looks after the caller would not do: a C library may loop and let no thread run.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG, prctl(2)
        if os.getppid() != caller:  # it had ended before
            os._exit(1)

"""Stopping where nothing is lost, when a signal asks for it: SIGUSR1 before walltime, or SIGTERM.

Inside `stoppable` a signal raises `Interrupted` at once, as Ctrl-C does, save inside `deferred`,
where it is only noted: training looks at `asked` after each step, and saves its state first.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from types import FrameType

from featx.cluster.requeue import requeue_job
from featx.errors import Interrupted


class Request(IntEnum):
    """The signal that asks to stop; of several, the greatest decides."""

    NONE = 0
    SIGUSR1 = 1
    SIGTERM = 2


@dataclass
class _Listening:
    """What has been asked of this process; one for all, as signals are."""

    request: Request = Request.NONE
    at_once: bool = False
    raised: bool = False
    tell: Callable[[Request], None] | None = None


_here = _Listening()


def asked() -> Request:
    """Return what has been asked of this process so far."""
    return _here.request


def ask(request: Request) -> None:
    """Ask this process to stop, as a signal does.

    Raises
    ------
    Interrupted
        Where that is to be at once.
    """
    _here.request = max(_here.request, request)
    if _here.tell is not None:
        _here.tell(request)
    if _here.at_once and not _here.raised:
        raise interrupted(_here.request)


def interrupted(request: Request, where: str = "") -> Interrupted:
    """Return the error to be raised; what is asked from now on comes too late to raise another."""
    _here.raised = True
    return Interrupted(f"stopped by {request.name}{where}; go on with --resume", request.name)


def _hear(number: int, frame: FrameType | None) -> None:
    ask(Request[signal.Signals(number).name])


def listen() -> dict[signal.Signals, object]:
    """Note the signals from now on, and return the handlers so far."""
    return {
        number: signal.signal(number, _hear)
        for number in (signal.SIGUSR1, signal.SIGTERM)
        if signal.getsignal(number) is not _hear
    }


@contextmanager
def stoppable() -> Iterator[None]:
    """Let signals stop the block; the former handlers are back after it.

    Only the main thread can do so: in another, or inside another such block, it does nothing. Where
    SIGUSR1 has stopped the block inside a Slurm job, Slurm is asked to run the job again.

    Raises
    ------
    Interrupted
        When a signal has come.
    """
    former = listen() if threading.current_thread() is threading.main_thread() else {}
    if not former:
        yield
        return
    try:
        with at_once():
            yield
    except Interrupted as stop:
        # Slurm may signal each process of a step, and ends a job that it requeues: neither is to
        # end this process now, nor scontrol, which inherits that
        for number in former:
            signal.signal(number, signal.SIG_IGN)
        outcome = requeue_job() if stop.signal == Request.SIGUSR1.name else ""
        raise Interrupted(f"{stop}{outcome}", stop.signal) from None
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        _here.__init__()  # type: ignore[misc]


@contextmanager
def at_once() -> Iterator[None]:
    """Let a signal raise `Interrupted` anywhere in the block, and one that has come before it now.

    Raises
    ------
    Interrupted
        When a signal has come.
    """
    former, _here.at_once = _here.at_once, True
    try:
        _raise_if_asked()
        yield
    finally:
        _here.at_once = former


@contextmanager
def deferred(tell: Callable[[Request], None] | None = None) -> Iterator[None]:
    """Let a signal only be noted in the block, which looks at `asked`; it raises at the end.

    Parameters
    ----------
    tell : callable
        Told each request as it comes.

    Raises
    ------
    Interrupted
        At the end, when a signal has come and `at_once` was the rule before the block.
    """
    former = _here.at_once, _here.tell
    _here.at_once, _here.tell = False, tell
    try:
        yield
    finally:
        _here.at_once, _here.tell = former
    if _here.at_once:
        _raise_if_asked()


def _raise_if_asked() -> None:
    if _here.request:
        raise interrupted(_here.request)

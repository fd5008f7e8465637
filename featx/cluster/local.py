"""Run independent tasks in processes of this machine. No torch."""

from __future__ import annotations

import contextlib
import os
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from featx.errors import FeatxError

#: Seconds between two looks whether the parent is still there.
_POLL = 1.0

#: Calls of `run` at a time, as seen by each of them.
_AT_ONCE: ContextVar[int] = ContextVar("calls at once", default=1)


def available_cores() -> int:
    """Return the processor cores that this process may use (affinity, quota and Slurm's)."""
    from joblib import cpu_count

    allowed = int(cpu_count())
    slurm = os.environ.get("SLURM_CPUS_PER_TASK", "")
    return max(1, min(allowed, int(slurm) if slurm.isdigit() else allowed))


def resolve_jobs(jobs: int) -> int:
    """Return the number of parallel tasks: `jobs`, or one a core where it is below 1."""
    return jobs if jobs > 0 else available_cores()


def calls_at_once() -> int:
    """Return how many calls of `run`, this one included, share what there is; 1 outside of any."""
    return _AT_ONCE.get()


def _capped(
    function: Callable[..., Any], threads: int | None, jobs: int, folder: Path | None, *args: Any
) -> Any:
    token = _AT_ONCE.set(jobs)
    if folder:  # a process that is left from an earlier call may stand elsewhere
        os.chdir(folder)
    try:
        if threads is None:
            return function(*args)
        from threadpoolctl import threadpool_limits

        with threadpool_limits(threads):
            return function(*args)
    finally:
        _AT_ONCE.reset(token)


def end_with(parent: int) -> None:
    """End this process soon after its parent, which a SIGKILL keeps from ending it.

    Workers would otherwise go on with their tasks, for hours where these train networks, while a
    resumed run does the same work beside them. They ask from their start on, which takes seconds
    where much is imported, and in which the parent may be killed as well.
    """

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_POLL)
        os._exit(1)

    threading.Thread(target=watch, name="featx-end-with-parent", daemon=True).start()


def run(
    function: Callable[..., Any], tasks: Iterable[tuple[Any, ...]], jobs: int = 1
) -> Iterator[Any]:
    """Run ``function(*task)`` for every task and yield the results as they come, unordered.

    Parameters
    ----------
    function : callable
        Importable by name (it is sent to worker processes when ``jobs > 1``); it should return
        its own identity with its result, for the order is that of completion.
    tasks : iterable of tuple
        The positional arguments of each call.
    jobs : int
        Calls at a time; below 1 means one a core. The numerical libraries of parallel calls are
        held to their share of the cores, so that the calls don't fight over them; a single call
        keeps the caller's threads. A ``joblib.parallel_config(backend=...)`` around the call
        brings another engine.

    Raises
    ------
    FeatxError
        If a process is killed, as the system does where memory runs out.
    """
    from joblib import Parallel, delayed
    from joblib.externals.loky import BrokenProcessPool
    from joblib.parallel import LokyBackend, get_active_backend

    # what stopped the run is told; that tasks in hand went with it helps nobody
    warnings.filterwarnings("ignore", message=r"\d+ tasks which were still being processed")
    jobs = resolve_jobs(jobs)
    threads = None if jobs == 1 else max(1, available_cores() // jobs)
    try:
        here = Path.cwd()
    except FileNotFoundError:  # it was removed, and nothing can be relative to it
        here = None
    calls = (delayed(_capped)(function, threads, jobs, here, *task) for task in tasks)
    options: dict[str, Any] = {"return_as": "generator_unordered", "max_nbytes": "1M"}
    if isinstance(get_active_backend()[0], LokyBackend):  # processes of our own
        # libraries that a task imports ask the environment for their threads, once
        options["backend"] = LokyBackend(inner_max_num_threads=threads)
        options |= {"initializer": end_with, "initargs": (os.getpid(),)}
    try:
        yield from Parallel(n_jobs=jobs, **options)(calls)
    except BrokenProcessPool as error:
        raise FeatxError(
            f"one of {jobs} processes was killed, most likely for want of memory; use fewer "
            "--jobs, and --resume"
        ) from error


def signal_workers(number: int) -> None:
    """Send a signal to the processes of `run`, those between two tasks too."""
    from joblib.externals.loky import reusable_executor

    executor = reusable_executor._executor
    for worker in list(executor._processes or ()) if executor else ():
        with contextlib.suppress(ProcessLookupError):
            os.kill(worker, number)


def end_workers() -> None:
    """End the processes of `run`; the next call starts others."""
    from joblib.externals.loky import reusable_executor

    executor = reusable_executor._executor
    if executor:
        executor.shutdown(wait=True, kill_workers=True)

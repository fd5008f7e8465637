"""What a Slurm job may use, and what auto-sklearn makes of it. Outside of Slurm nothing is told."""

from __future__ import annotations

import math
import os
import re
import subprocess
import time
from dataclasses import dataclass

from featx.cluster.local import available_cores, calls_at_once
from featx.cluster.requeue import job_id
from featx.errors import FeatxError

MEMORY_LIMIT = 3072  # MB, auto-sklearn's own default
_LEAST_MEMORY = 500  # MB of address space, with which small models of few rows still succeed
_BESIDE_MEMORY = 500  # MB: featx, and auto-sklearn's processes beside the models
_LEAST_REFIT = 120  # s
_BESIDE_TIME = 180  # s: start, imports from a shared disk, writing, and the fold's predictions


@dataclass(frozen=True)
class Allocation:
    """What a fit may use.

    Attributes
    ----------
    cores : int
        Processor cores; 1 where nobody told.
    memory : int or None
        MB; None where no limit is told.
    seconds : float or None
        Until Slurm ends the job; None where no end is told.
    folds : int
        Folds at a time, among which the cores and the memory are divided already.
    """

    cores: int = 1
    memory: int | None = None
    seconds: float | None = None
    folds: int = 1


@dataclass(frozen=True)
class Share:
    """What auto-sklearn is given: models at a time, MB a model, seconds for the refit of all."""

    n_jobs: int
    memory_limit: int
    refit_limit: int


def granted() -> Allocation:
    """Return what Slurm's variables, and ``squeue`` where these lack the end, say of this job.

    Cores and memory are divided among the calls of `featx.cluster.run` at a time.
    """
    if "SLURM_JOB_ID" not in os.environ:
        return Allocation()
    folds = calls_at_once()
    cpus = _number("SLURM_CPUS_PER_TASK")
    memory = _number("SLURM_MEM_PER_NODE")
    if not memory:
        memory = _number("SLURM_MEM_PER_CPU") * (cpus or _number("SLURM_CPUS_ON_NODE") or 1)
    return Allocation(
        # A job that asked for no cores of its own may still see all those of the node.
        cores=max(1, available_cores() // folds) if cpus else 1,
        memory=memory // folds if memory else None,
        seconds=_seconds_left(),
        folds=folds,
    )


def share(
    allocation: Allocation,
    *,
    time_budget: int,
    run_time_limit: int,
    n_jobs: int | None = None,
    memory_limit: int | None = None,
) -> Share:
    """Divide an allocation among the models of a fit.

    The search has the time that was asked for. So have the models their memory: where there is
    not enough for one a core, fewer run at a time, and only if there is none for a single one is
    the default limit lowered. The refit may take as long as the search, but no longer than the
    job lasts, which must leave its heaviest member the time limit of a model.

    Parameters
    ----------
    allocation : Allocation
        From `granted`.
    time_budget, run_time_limit : int
        Seconds for the search and for a model.
    n_jobs, memory_limit : int, optional
        Models at a time and MB a model, where these were asked for.

    Raises
    ------
    FeatxError
        If it does not fit; the message says what would.
    """
    n_jobs, memory_limit = _fit_memory(allocation, n_jobs, memory_limit)
    refit = max(_LEAST_REFIT, time_budget)
    if allocation.seconds is not None:
        least = max(_LEAST_REFIT, run_time_limit)
        left = math.floor(allocation.seconds) - time_budget - _BESIDE_TIME
        if left < least:
            raise FeatxError(
                f"the Slurm job ends in {_clock(allocation.seconds)}, and a fold needs a search of "
                f"{_clock(time_budget)}, a refit of at least {_clock(least)} and "
                f"{_clock(_BESIDE_TIME)} around them: ask for a walltime (the profile's time) of "
                f"{_clock(time_budget + least + _BESIDE_TIME)} for each fold of a task, or lower "
                "--time-budget or --run-time-limit"
            )
        refit = min(refit, left)
    return Share(n_jobs, memory_limit, refit)


def _fit_memory(
    allocation: Allocation, n_jobs: int | None, memory_limit: int | None
) -> tuple[int, int]:
    wanted = memory_limit or MEMORY_LIMIT
    if allocation.memory is None:
        return n_jobs or allocation.cores, wanted
    free = max(0, allocation.memory - _BESIDE_MEMORY)
    at_a_time = n_jobs or max(1, min(allocation.cores, free // wanted))
    each = free // at_a_time
    if each >= wanted:
        return at_a_time, wanted
    if memory_limit is None and each >= _LEAST_MEMORY:
        return at_a_time, each
    least = memory_limit or _LEAST_MEMORY
    models = "a model" if at_a_time == 1 else f"each of {at_a_time} models at a time (n_jobs)"
    lower = f"lower --memory-limit to {each}, or " if each >= _LEAST_MEMORY else ""
    fewer = "lower n_jobs, or " if at_a_time > 1 else ""
    has = f"{allocation.memory} MB"
    needs = f"{at_a_time * least + _BESIDE_MEMORY} MB"
    if allocation.folds > 1:
        has += f" for each of {allocation.folds} folds at a time (--jobs)"
        needs += " for each"
    raise FeatxError(
        f"auto-sklearn needs {least} MB for {models} and {_BESIDE_MEMORY} MB beside, and the Slurm "
        f"job has {has}: {lower}{fewer}ask for {needs} (the profile's memory)"
    )


def _number(variable: str) -> int:
    """Return a variable's number; 0, which means no limit to Slurm, where there is none."""
    text = os.environ.get(variable, "")
    return int(text) if text.isdigit() else 0


def _seconds_left() -> float | None:
    end = _number("SLURM_JOB_END_TIME")  # since Slurm 23.02
    if end:
        return end - time.time()
    try:
        told = subprocess.run(
            ["squeue", "--noheader", f"--jobs={job_id()}", "--format=%L"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.fullmatch(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+)", told.strip())
    if not found:  # UNLIMITED, or Slurm did not answer
        return None
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60.0 + seconds


def _clock(seconds: float) -> str:
    """Return seconds as Slurm has them, H:MM:SS."""
    minutes, rest = divmod(max(0, math.floor(seconds)), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"

"""Slurm itself: submit a script, and ask what became of jobs. No torch."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Sequence

from featx.cluster.job import Job
from featx.errors import FeatxError

#: States in which a task still waits or works, or will again.
LIVE = frozenset(
    (
        *("PENDING", "CONFIGURING", "RUNNING", "COMPLETING", "SUSPENDED", "STOPPED", "SIGNALING"),
        *("STAGE_OUT", "RESIZING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "RESV_DEL_HOLD"),
        "SPECIAL_EXIT",
    )
)

#: Seconds that a command of Slurm may take; the controller of a busy cluster answers slowly.
_PATIENCE = 120

#: One more than the highest index of an array, where a cluster's configuration names none.
MAX_ARRAY_SIZE = 1001


def submit(job: Job, after: str = "") -> str:
    """Submit a job, and return its number.

    Parameters
    ----------
    job : Job
        Its folder is made.
    after : str
        What it waits for, as ``afterok:17``; Slurm removes it where that cannot be any more.

    Raises
    ------
    FeatxError
        If there is no Slurm here, or it refuses the job.
    """
    try:
        job.folder.mkdir(parents=True, exist_ok=True)  # Slurm does not, and the job would fail
    except OSError as error:
        raise FeatxError(f"cannot make {job.folder}: {error.strerror or error}") from None
    command = ["sbatch", "--parsable"]
    if after:
        command += [f"--dependency={after}", "--kill-on-invalid-dep=yes"]
    told = _ask(command, job.script)
    return told.strip().splitlines()[-1].partition(";")[0]


def is_here() -> bool:
    """Tell whether this machine has Slurm's commands."""
    return shutil.which("sbatch") is not None


def version() -> str:
    """Return Slurm's version and the cluster's name, from its controller.

    Raises
    ------
    FeatxError
        If the controller gives no answer.
    """
    told = _ask(["scontrol", "show", "config"])
    found = dict(re.findall(r"^(SLURM_VERSION|ClusterName)\s*=\s*(\S+)", told, re.M))
    return f"Slurm {found.get('SLURM_VERSION', '?')}, cluster {found.get('ClusterName', '?')}"


def partitions() -> dict[str, str]:
    """Return the partitions that the user can see, each with its state, ``up`` or another.

    Raises
    ------
    FeatxError
        If Slurm gives no answer.
    """
    told = _ask(["sinfo", "--noheader", "--format=%R|%a"])
    rows = (line.strip().split("|") for line in told.splitlines() if "|" in line)
    return {name: state for name, state, *_ in rows}


def max_array_size() -> int:
    """Return what is one more than the highest index that an array may have on this cluster."""
    found = re.search(r"^MaxArraySize\s*=\s*(\d+)", _ask(["scontrol", "show", "config"]), re.M)
    return int(found[1]) if found else MAX_ARRAY_SIZE


def states(jobs: Iterable[str]) -> dict[str, str]:
    """Return the states of jobs, and of arrays each task's, by number: ``{"17_3": "RUNNING"}``.

    Jobs that Slurm has forgotten are missing: it does so minutes after their end where it keeps no
    accounts.

    Raises
    ------
    FeatxError
        If Slurm cannot be asked: then nothing is known of any job.
    """
    wanted = list(jobs)
    if not wanted:
        return {}
    found = _queue(wanted)
    lost = set(wanted) - {key.partition("_")[0] for key in found}
    # squeue drops each task minutes after its end, and accounts remember it
    return {**_accounts(wanted), **found} if lost or _ended(found) else found


def _ended(found: dict[str, str]) -> bool:
    return any(state not in LIVE for state in found.values())


def _queue(jobs: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for job in jobs:  # squeue refuses a whole list for one number that it has forgotten
        try:
            told = _ask(
                ["squeue", "--noheader", "--array", "--states=all", f"--jobs={job}", "-o%i|%T"]
            )
        except FeatxError as error:
            if "Invalid job id" in str(error):
                continue
            raise
        found |= dict(line.strip().split("|")[:2] for line in told.splitlines() if "|" in line)
    return found


def _accounts(jobs: Sequence[str]) -> dict[str, str]:
    """Return what Slurm's accounts remember; nothing where it keeps none."""
    if shutil.which("sacct") is None:
        return {}
    try:
        told = _ask(
            ["sacct", "-n", "-X", "-P", "--array", f"--jobs={','.join(jobs)}", "-oJobID,State"]
        )
    except FeatxError:
        return {}
    rows = (line.split("|") for line in told.splitlines() if "|" in line)
    # "CANCELLED by 1000"
    return {row[0]: row[1].split()[0] for row in rows if row[1].strip()}


def _ask(command: Sequence[str], given: str | None = None) -> str:
    try:
        done = subprocess.run(
            list(command),
            input=given,
            capture_output=True,
            text=True,
            timeout=_PATIENCE,
            env=_outside(),
            check=False,
        )
    except FileNotFoundError:
        raise FeatxError(
            f"there is no {command[0]} on this machine; run this where Slurm's commands are, or "
            "without --cluster"
        ) from None
    except subprocess.TimeoutExpired:
        raise FeatxError(f"{command[0]} gave no answer in {_PATIENCE} s; try again later") from None
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()] or ["it said nothing"]
        raise FeatxError(f"{command[0]} refused: {lines[0]}")
    return done.stdout


def _outside() -> dict[str, str]:
    """Return the environment without what a job around this process was given.

    A job submitted from within another would take over its memory, cores and node list.
    """
    kept = ("SLURM_CONF", "SLURM_CLUSTERS")
    return {
        name: value
        for name, value in os.environ.items()
        if name in kept or not name.startswith(("SLURM_", "SLURMD_"))
    }

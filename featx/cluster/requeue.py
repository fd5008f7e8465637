"""Ask Slurm to run this job again. No torch."""

from __future__ import annotations

import os
import subprocess

#: Seconds that `scontrol` may take.
_PATIENCE = 60


def job_id() -> str | None:
    """Return the Slurm job that this process runs in, as Slurm's commands take it; None outside.

    The number of an array's last task is that of the whole array as well, so tasks have two.
    """
    array, task = (os.environ.get(f"SLURM_ARRAY_{each}_ID") for each in ("JOB", "TASK"))
    if array and task:
        return f"{array}_{task}"
    return os.environ.get("SLURM_JOB_ID") or None


def requeue_job() -> str:
    """Ask Slurm to run this process's job again, and return what came of it, to end a message.

    Of processes that torchrun started only the first asks. Outside of a job there is nothing to
    ask, and the text is empty.
    """
    job = job_id()
    if job is None or os.environ.get("RANK", "0") != "0":
        return ""
    command = ["scontrol", "requeue", job]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_PATIENCE,
            start_new_session=True,  # what ends this process's group must not end the request
        )
        told = "" if done.returncode == 0 else done.stderr or f"status {done.returncode}"
    except (OSError, subprocess.TimeoutExpired) as error:
        told = str(error)
    if told:
        reason = " ".join(told.split())
        return f" (`{' '.join(command)}` failed: {reason}; submit the job again)"
    return f" (Slurm requeues job {job})"

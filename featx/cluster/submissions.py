"""What was submitted from a folder, and what has become of it. No torch.

Each submission leaves a file ``JOB.json`` beside its logs, so that another process, days later,
knows which tasks still wait or work, and which log tells of which.
"""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from featx.atomic import write_json
from featx.cluster import slurm
from featx.cluster.job import Job
from featx.errors import FeatxError

#: The folder below an output in which logs and records lie.
FOLDER = "slurm"

#: Seconds between two looks at the queue: at first, and at most.
_POLL = (2.0, 30.0)

#: A line in which Slurm says why it ended a task. The shell's own last word may follow it.
_SLURMS_REASON = re.compile(r"slurmstepd.*(memory|oom|CANCELLED)", re.IGNORECASE)

#: Failed looks in a row after which waiting ends; a controller that restarts is back before.
_FAILED_LOOKS = 20


@dataclass(frozen=True)
class Task:
    """A job, or a task of an array.

    Attributes
    ----------
    label : str
        What it does, in words.
    job : str
        Its number as Slurm writes it, ``17`` or ``17_3``.
    log : Path
        What it prints.
    state : str
        Of Slurm; empty where it has forgotten the job.
    """

    label: str
    job: str
    log: Path
    state: str = ""

    @property
    def submission(self) -> str:
        """The number of the job; of an array's task that of the array."""
        return self.job.partition("_")[0]

    @property
    def live(self) -> bool:
        """Whether it still waits or works."""
        return self.state in slurm.LIVE

    @property
    def last_line(self) -> str:
        """The last line of its log; empty where there is none."""
        return last_line(self.log)

    @property
    def why(self) -> str:
        """Why its work is not done, in words, of a task that is no more live."""
        state = self.state if self.state not in ("", "COMPLETED") else "ended"
        lines = _last_lines(self.log)
        word = next((line for line in reversed(lines[-5:]) if _SLURMS_REASON.search(line)), "")
        word = word or (lines[-1] if lines else "no word")
        return f"{state.lower().replace('_', ' ')}: {word} ({self.log})"


def submit(job: Job, labels: Mapping[int, str] | str, after: str = "") -> list[str]:
    """Submit a job, in as many arrays as the cluster's limit of indices asks for.

    Parameters
    ----------
    job : Job
        What to run.
    labels : mapping of int to str, or str
        What each task of an array does, or the job.
    after : str
        As of `featx.cluster.slurm.submit`.

    Returns
    -------
    list of str
        The jobs' numbers.

    Raises
    ------
    FeatxError
        As `featx.cluster.slurm.submit`. What was submitted before that is recorded.
    """
    limit = slurm.max_array_size() if job.tasks else 0
    numbers = []
    for part in chunks(job, limit):
        number = slurm.submit(part, after)
        tasks = {str(n): labels[n] for n in part.tasks} if not isinstance(labels, str) else labels
        record = {"job": number, "name": job.name, "first": part.first, "tasks": tasks}
        write_json(job.folder / f"{number}.json", record)
        numbers.append(number)
    return numbers


def chunks(job: Job, limit: int) -> list[Job]:
    """Cut an array so that every index stays below `limit`; another job is left as it is."""
    if not job.tasks:
        return [job]
    found: dict[int, list[int]] = {}
    for number in job.tasks:
        # the first array has indices from its tasks' numbers on, others begin at 1 again
        found.setdefault((number - 1) // (limit - 1) * (limit - 1), []).append(number)
    return [replace(job, tasks=tuple(some), first=first) for first, some in found.items()]


def recorded(folder: Path) -> list[Task]:
    """Return all tasks that were ever submitted from a folder, the latest last, without states."""
    records = []
    for path in folder.glob("*.json"):
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            records.append((int(record["job"]), list(_tasks(record, folder))))
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue  # no record of ours
    return [task for _, tasks in sorted(records, key=lambda each: each[0]) for task in tasks]


def _tasks(record: Mapping[str, Any], folder: Path) -> Iterator[Task]:
    job, name, tasks = record["job"], record["name"], record["tasks"]
    if isinstance(tasks, str):
        yield Task(tasks, job, folder / f"{name}-{job}.log")
        return
    for number, label in tasks.items():
        own = f"{job}_{int(number) - record['first']}"
        yield Task(label, own, folder / f"{name}-{own}.log")


def look(tasks: Sequence[Task]) -> list[Task]:
    """Return some tasks with the states that they have now; those seen to have ended keep theirs.

    Raises
    ------
    FeatxError
        If Slurm cannot be asked.
    """
    open_ = {task.submission for task in tasks if not task.state or task.live}
    found = slurm.states(sorted(open_, key=int))
    seen = []
    for task in tasks:
        state = found.get(task.job, "")
        # an array that waits as a whole is one line of some releases
        state = state or ("" if not task.live else "ENDED")
        seen.append(replace(task, state=state or task.state))
    return seen


def of_jobs(folder: Path, jobs: Container[str]) -> list[Task]:
    """Return the tasks of some jobs that were submitted from a folder, without states."""
    return [task for task in recorded(folder) if task.submission in jobs]


def newest(folder: Path) -> dict[str, Task]:
    """Return each label's last submission from a folder, without its state."""
    return {task.label: task for task in recorded(folder)}


def latest(folder: Path) -> dict[str, Task]:
    """Return each label's last submission from a folder, with its state.

    Raises
    ------
    FeatxError
        If Slurm cannot be asked.
    """
    return {task.label: task for task in look(list(newest(folder).values()))}


def live(folder: Path) -> dict[str, Task]:
    """Return the labels whose last submission from a folder still waits or works, with its task.

    To be asked before one looks at what the tasks have written: a task that ends in between has
    written it, where the other way round it would be neither live nor seen to be done.

    Raises
    ------
    FeatxError
        If Slurm cannot be asked.
    """
    return {label: task for label, task in latest(folder).items() if task.live}


def wait(
    tasks: Sequence[Task],
    ended: Callable[[int], None] = lambda n: None,
    sleep: Callable[[float], None] = time.sleep,
) -> list[Task]:
    """Wait until no task is live, and return them with their last states.

    Parameters
    ----------
    tasks : sequence of Task
        What to wait for.
    ended : callable
        Told how many more have ended, at each look.
    sleep : callable
        Waits for so many seconds.

    Raises
    ------
    FeatxError
        If Slurm could not be asked many times in a row. The tasks go on.
    """
    pause, failed, done = _POLL[0], 0, 0
    tasks = list(tasks)
    while True:
        try:
            tasks, failed = look(tasks), 0
        except FeatxError:
            failed += 1
            if failed >= _FAILED_LOOKS:
                raise
        else:
            now = sum(not task.live for task in tasks)
            ended(now - done)
            done = now
            if done == len(tasks):
                return tasks
        sleep(pause)
        pause = min(2 * pause, _POLL[1])


def tally(tasks: Sequence[Task]) -> str:
    """Return how many tasks are in which state, in words."""
    counts = Counter((task.state or "forgotten").lower().replace("_", " ") for task in tasks)
    return ", ".join(f"{n} {state}" for state, n in counts.most_common())


def last_line(log: Path) -> str:
    """Return the last line of a file that is not empty; nothing where there is none."""
    return next(reversed(_last_lines(log)), "")


def _last_lines(log: Path) -> list[str]:
    try:
        with log.open("rb") as stream:
            stream.seek(0, 2)
            stream.seek(max(0, stream.tell() - 8192))
            text = stream.read().decode("utf-8", "replace")
    except OSError:
        return []
    return [line.strip() for line in text.replace("\r", "\n").splitlines() if line.strip()]

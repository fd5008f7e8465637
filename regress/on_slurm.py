"""The folds of methods as the tasks of a Slurm array, and what became of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from featx.cluster import submissions
from featx.cluster.job import Job
from featx.cluster.submissions import Task
from featx.errors import FeatxError
from regress.evaluate import gather, left_over, start, units
from regress.methods import Method


@dataclass(frozen=True)
class Work:
    """What is to be submitted for some methods.

    Attributes
    ----------
    array : Job
        A task a unit with missing folds that no live task computes.
    labels : dict of int to str
        What each task does.
    live : list of Task
        Earlier submissions' tasks that compute others.
    """

    array: Job
    labels: dict[int, str]
    live: list[Task]


def plan_work(methods: Sequence[Method], array: Job) -> Work:
    """Find out which units are missing, and which of them are being computed.

    Parameters
    ----------
    methods : sequence of Method
        From `plan_methods`.
    array : Job
        A job that computes the part ``$TASK`` of as many as there are `units`.

    Raises
    ------
    FeatxError
        If tasks were submitted before and Slurm cannot be asked what became of them.
    """
    mine = submissions.live(array.folder)
    everything = enumerate(units(methods), start=1)  # after: a task may end at any moment
    missing = {number: unit.label for number, unit in everything if unit.missing()}
    live = [mine[label] for label in missing.values() if label in mine]
    labels = {number: label for number, label in missing.items() if label not in mine}
    return Work(replace(array, tasks=tuple(labels)), labels, live)


def submit_work(
    methods: Sequence[Method], work: Work, gathering: Job, *, resume: bool
) -> list[Task]:
    """Submit the array, and a job that gathers when all its tasks have ended.

    Returns
    -------
    list of Task
        All that is to be waited for, earlier submissions' tasks too; none where all is done.

    Raises
    ------
    FeatxError
        If a folder holds an earlier run and `resume` is false, or Slurm refuses a job.
    """
    for method in methods:
        start(method, resume=resume)
    waited = {task.submission for task in work.live}
    if work.labels:
        waited |= set(submissions.submit(work.array, work.labels))
    if not waited:
        return []
    last = submissions.submit(gathering, "gathering", f"afterany:{':'.join(sorted(waited))}")
    return submissions.of_jobs(work.array.folder, {*waited, *last})


def gather_all(
    methods: Sequence[Method], out: Path, seen: Sequence[Task] = ()
) -> list[dict[str, Any]]:
    """Publish what is there of some methods, with the reasons why the rest is not.

    Parameters
    ----------
    methods : sequence of Method
        From `plan_methods`.
    out : Path
        The methods' common folder, with the records of submissions where there are any.
    seen : sequence of Task
        Tasks with the states that they were last seen in.

    Returns
    -------
    list of dict
        The content of each method's ``run.json``.
    """
    tasks = _known(out / submissions.FOLDER, seen)
    infos = []
    for method in methods:
        reasons = left_over(method)
        if reasons:
            reasons |= _by_slurm(method, reasons, tasks)
        infos.append(gather(method, {fold: why for fold, why in reasons.items() if why}))
    return infos


def _known(folder: Path, seen: Sequence[Task]) -> dict[str, Task]:
    try:
        tasks = submissions.latest(folder)
    except FeatxError:  # here Slurm cannot be asked; the logs still tell
        tasks = submissions.newest(folder)
    for task in seen:  # Slurm may have forgotten since
        there = tasks.get(task.label)
        if there is not None and there.job == task.job and not there.state:
            tasks[task.label] = task
    return tasks


def _by_slurm(
    method: Method, missing: Mapping[str, str], tasks: Mapping[str, Task]
) -> dict[str, str]:
    """Return why folds are missing, as far as their tasks tell and they themselves don't."""
    found = {}
    for unit in units([method]):
        task = tasks.get(unit.label)
        for name in (fold.name for fold in unit.folds):
            if task is not None and name in missing and not missing[name]:
                found[name] = f"Slurm task {task.job} {task.why}"
    return found

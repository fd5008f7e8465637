"""A paper's table as a chain of Slurm jobs: what folds share, the folds, the table."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from experiments.experiment_file import Experiment, Row
from experiments.rows import count_tasks, networks_folder
from experiments.running import wanted_rows
from experiments.settings import Settings
from featx.cluster import submissions
from featx.cluster.job import TASK, Job
from featx.cluster.submissions import Task
from featx.errors import FeatxError


@dataclass(frozen=True)
class Step:
    """A job of the chain.

    Attributes
    ----------
    job : Job
        What to submit.
    labels : mapping of int to str, or str
        What its tasks do, or it.
    after : tuple of int
        The steps, by their places in the chain, that must have succeeded.
    """

    job: Job
    labels: Mapping[int, str] | str
    after: tuple[int, ...] = ()


def plan_chain(
    experiment: Experiment,
    settings: Settings,
    rows: Sequence[str],
    job: Callable[..., Job],
    last: Job,
) -> list[Step]:
    """Plan the chain: shared networks and features; an array a row; the table.

    Parameters
    ----------
    experiment, settings, rows
        As of `experiments.running.run_experiment`.
    job : callable
        Returns a job of a kind of work that runs the command with more options: ``job(kind,
        *options, name=...)``.
    last : Job
        Makes the table.

    Raises
    ------
    FeatxError
        If no row can be made, or one's folds cannot be planned.
    """
    found = wanted_rows(experiment, settings, rows)
    kind = "finetune" if any(row.cascade for row in found) else "extract"
    steps = [Step(_one_node(job(kind, *_named(found), "--early-only", name="early")), "early")]
    seen: set[Path] = set()
    for row in found:
        n = count_tasks(row, experiment, settings)
        folder = networks_folder(row, settings)
        if not n or (row.network_a_fold and folder in seen):  # another row's networks
            continue
        if row.network_a_fold:
            seen.add(folder)
        kind = "finetune" if row.network_a_fold else "regress"
        array = job(kind, *_named([row]), f"--part {TASK}/{n}", name="folds")
        numbers = range(1, n + 1)
        labels = {number: f"{row.name}, part {number} of {n}" for number in numbers}
        steps.append(Step(replace(_one_node(array), tasks=tuple(numbers)), labels, (0,)))
    return [*steps, Step(last, "the table", tuple(range(len(steps))))]


def _named(rows: Sequence[Row]) -> list[str]:
    return [f"--row {shlex.quote(row.name)}" for row in rows]


def _one_node(job: Job) -> Job:
    return replace(job, resources=replace(job.resources, nodes=1))


def submit_chain(steps: Sequence[Step]) -> list[Task]:
    """Submit a chain, each step to wait for others; return all its tasks.

    Raises
    ------
    FeatxError
        If Slurm refuses a job. Those before it are submitted.
    """
    numbers: list[list[str]] = []
    for step in steps:
        before = [number for place in step.after for number in numbers[place]]
        after = f"afterok:{':'.join(before)}" if before else ""
        numbers.append(submissions.submit(step.job, step.labels, after))
    return submissions.of_jobs(steps[0].job.folder, {job for some in numbers for job in some})


def check_ended(tasks: Sequence[Task]) -> None:
    """Refuse to go on where tasks did not succeed.

    Raises
    ------
    FeatxError
        It names the first that failed of itself, for others were then never begun.
    """
    failed = [task for task in tasks if task.state not in ("COMPLETED", "ENDED", "")]
    if failed:
        first = next((task for task in failed if task.state != "CANCELLED"), failed[0])
        raise FeatxError(
            f"{len(failed)} of {len(tasks)} tasks did not succeed; {first.label} (job {first.job}) "
            f"{first.why}; mend the cause, and give the same command again"
        )

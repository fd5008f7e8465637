"""How far work has come, in words and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import Any

from featx.cluster.submissions import Task
from featx.status import Training
from regress.status import Progress, Status, Submitted

#: Tasks whose last lines are shown.
SHOWN = 20


def describe(status: Status, shown: int | None = SHOWN) -> Iterator[str]:
    """Yield what was found, line by line; failures are shown all.

    Parameters
    ----------
    status : Status
        From `regress.status.look`.
    shown : int or None
        How many tasks at work are shown with the last lines of their logs; None for all.
    """
    for method in status.methods:
        yield from _method(method)
    yield from map(str, status.extractions)
    for parent, stages in groupby(
        sorted(status.stages, key=lambda stage: stage.folder), lambda stage: stage.folder.parent
    ):
        yield from _stages(parent, list(stages))
    for each in status.submitted:
        yield from _tasks(each, status.unasked, shown)


def _method(method: Progress) -> Iterator[str]:
    text = f"{method.method}: {method.done:,} of {method.planned:,} folds done"
    counts = {
        "failed": len(method.failed),
        "running": method.running,
        "waiting": method.waiting,
        "left": method.left if method.left < method.planned - method.done else 0,
    }
    text += "".join(f", {count:,} {what}" for what, count in counts.items() if count)
    yield f"{text} ({method.folder})"
    for fold, reason in method.failed.items():
        yield f"  fold {fold} failed: {reason}"
    if method.done and not method.gathered and not (method.running or method.waiting):
        yield "  not gathered yet: the same `featx regress` with --gather publishes what is there"


def _stages(parent: Path, stages: Sequence[Training]) -> Iterator[str]:
    left = [stage for stage in stages if not stage.finished]
    text = f"stages in {parent}: {len(stages) - len(left):,} finished"
    yield text + (f", {len(left):,} unfinished" if left else "")
    for stage in left:
        yield f"  {stage.folder.name}: {stage.epochs:,} epochs done"


def _tasks(submitted: Submitted, unasked: str, shown: int | None) -> Iterator[str]:
    text = f"{submitted.folder}: {len(submitted.tasks):,} tasks"
    if unasked:
        yield f"{text}; which of them run is unknown: {unasked}"
    else:
        yield f"{text}: {', '.join(f'{n:,} {state}' for state, n in submitted.counts.items())}"
    for task in submitted.failed:
        yield f"  {task.job} {task.label} failed: {task.why}"
    # where no state is told, those alone that have begun can tell anything
    tasks = [task for task in submitted.open if not unasked or task.log.is_file()]
    for task in tasks[:shown]:
        state = f" {task.state.lower()}" if task.state else ""
        yield f"  {task.job} {task.label}{state}: {task.last_line or 'no word yet'}"
    if shown is not None and len(tasks) > shown:
        yield f"  and {len(tasks) - shown:,} more (--all shows them)"


def as_json(status: Status) -> dict[str, Any]:
    """Return what was found as values that JSON can hold, with every task."""
    return {
        "methods": [_plain(method) | {"left": method.left} for method in status.methods],
        "extractions": [_plain(each) for each in status.extractions],
        "stages": [_plain(stage) for stage in status.stages],
        "jobs": [
            {
                "folder": str(each.folder),
                "states": each.counts,
                "tasks": [_task(task) for task in each.tasks.values()],
            }
            for each in status.submitted
        ],
        "slurm_not_asked": status.unasked or None,
    }


def _plain(found: Any) -> dict[str, Any]:
    return {
        key: str(value) if isinstance(value, Path) else value
        for key, value in asdict(found).items()
    }


def _task(task: Task) -> dict[str, Any]:
    told = {"label": task.label, "job": task.job, "state": task.state or None}
    return told | {"log": str(task.log), "last_line": task.last_line}

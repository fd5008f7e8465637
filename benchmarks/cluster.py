"""What work in many folds costs beside the work itself, as the number of folds grows.

Folds of a made-up method are written as the program writes them, twelve images each, with the
records of their submission and a log a task, half of which still run. Then each step is timed
several times in one process, all numbers of folds taking turns:

    planning    which folds are missing, and which of them tasks compute (before submitting)
    submitting  all folds as arrays, by an `sbatch` that only counts how often it is called
    status      what `featx status` looks up and prints, with a made-up `squeue`
    finished    reading and checking all folds' records
    gathering   publishing predictions.csv and run.json

    python benchmarks/cluster.py --folds 10 --folds 100 --folds 1000 --folds 10000

A Markdown table of median seconds, with least and greatest, and below it what a fold costs at the
largest number and the slope of log(seconds) over log(folds) between the two largest: 1 is linear.
"""

from __future__ import annotations

import contextlib
import math
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
import pandas as pd
from side_by_side import machine

from featx.cluster import Resources, submissions
from featx.cluster.job import Job
from regress.data import LayerData
from regress.evaluate import gather, start
from regress.fold_pieces import write_fold
from regress.fold_records import finished_folds
from regress.methods import Method
from regress.on_slurm import plan_work
from regress.protocols import Fold, split_hash
from regress.status import look
from regress.status_text import describe

STEPS = ("planning", "submitting", "status", "finished", "gathering")
IMAGES = 12  # a fold; FG-NET has as many a person
MAX_ARRAY_SIZE = 1001  # what Slurm has where nobody changed it


@dataclass(frozen=True)
class Made:
    """A method with all its folds done, and the array that they were tasks of."""

    method: Method
    array: Job
    labels: dict[int, str]


def make(out: Path, count: int, classes: int) -> Made:
    """Write everything."""
    names = [f"{number:05d}" for number in range(count)]
    n = count * IMAGES
    rng = np.random.default_rng(0)
    subjects = np.repeat(names, IMAGES)
    images = pd.DataFrame({"image": [f"i{row}" for row in range(n)], "subject": subjects})
    images["age"] = rng.integers(0, 70, n).astype(float)
    images["sha256"] = [f"{row:064x}" for row in range(n)]
    rows = np.arange(n)
    folds = [
        # the training rows of leave-one-person-out would be n² numbers in all
        Fold(name, rows[:1], rows[number * IMAGES : (number + 1) * IMAGES])
        for number, name in enumerate(names)
    ]
    data = LayerData(
        "gap",
        np.zeros((n, 1), np.float32),
        images,
        {"layer_sha256": "0"},
        {"total": n, "without_subject": 0},
        (),
    )
    split = split_hash(images, folds)
    method = Method(out / "gap.ridge", data, "ridge", {}, "lopo", 0, folds, split)
    start(method, resume=False)
    key = method.key
    for fold in folds:
        table = images.iloc[fold.test].assign(fold=fold.name)
        table["predicted_age"] = rng.normal(35, 20, len(table))
        record = {"fold": fold.name, "key": key, "report": {"alpha": 1.0}, "seconds": 1.0}
        likely = np.arange(float(classes)), rng.dirichlet(np.ones(max(classes, 1)), len(table))
        write_fold(method.folder, table, record, likely if classes else None)
    labels = {number: f"{method.name}, fold {name}" for number, name in enumerate(names, start=1)}
    array = Job("regress", "true", Resources(), out / submissions.FOLDER, tasks=tuple(labels))
    return Made(method, array, labels)


@contextlib.contextmanager
def made_up_slurm(folder: Path) -> Iterator[Path]:
    """Put commands of Slurm first on PATH; yields the file with a line a call of `sbatch`."""
    programs, calls = folder / "bin", folder / "calls"
    programs.mkdir()
    calls.touch()
    texts = {
        "sbatch": f'cat > {folder}/script\necho call >> {calls}\nn=$(wc -l < {calls})\necho "$n"\n',
        "scontrol": f"echo 'MaxArraySize = {MAX_ARRAY_SIZE}'\n",
        "squeue": f'for word; do case $word in --jobs=*) cat {folder}/"queue-${{word#--jobs=}}";; '
        "esac; done\n",
        "sacct": "exit 1\n",  # a cluster that keeps no accounts
    }
    for name, text in texts.items():
        (programs / name).write_text(f"#!/bin/sh\n{text}")
        (programs / name).chmod(0o755)
    former = os.environ["PATH"]
    os.environ["PATH"] = f"{programs}:{former}"
    try:
        yield calls
    finally:
        os.environ["PATH"] = former


def clock(step: Callable[[], object]) -> float:
    begin = time.perf_counter()
    step()
    return time.perf_counter() - begin


def prepare(
    folder: Path, calls: Path, count: int, classes: int
) -> tuple[dict[str, Callable[[], object]], int]:
    """Make everything for a number of folds; return the steps, and how many `sbatch` calls it took.

    Every second task is at work still, and each has said something.
    """
    out = folder / f"out-{count}"
    made = make(out, count, classes)
    before = len(calls.read_text().splitlines())
    submissions.submit(made.array, made.labels)
    called = len(calls.read_text().splitlines()) - before
    for task in submissions.recorded(made.array.folder):
        job, _, index = task.job.partition("_")
        task.log.write_text(f"loading\nfold of task {task.job}\n")
        with (folder / f"queue-{job}").open("a") as queue:
            queue.write(f"{task.job}|{'RUNNING' if int(index) % 2 else 'COMPLETED'}\n")
    elsewhere = Job("regress", "true", Resources(), folder / f"else-{count}", made.array.tasks)

    def status() -> None:
        first, *_ = describe(look([out]))
        assert f"{count:,} of {count:,} folds done" in first

    def gathering() -> None:
        assert gather(made.method)["folds"]["done"] == count

    return {
        "planning": lambda: plan_work([made.method], made.array),
        "submitting": lambda: submissions.submit(elsewhere, made.labels),
        "status": status,
        "finished": lambda: finished_folds(made.method.folder, made.method.key),
        "gathering": gathering,
    }, called


def slope(small: tuple[int, float], large: tuple[int, float]) -> float:
    return math.log(large[1] / small[1]) / math.log(large[0] / small[0])


@click.command(help=__doc__)
@click.option("--folds", "counts", multiple=True, type=int, default=[10, 100, 1000, 10000])
@click.option("--classes", default=0, help="Class probabilities of each image, as softmax has.")
@click.option("--repeats", default=5, show_default=True)
def main(counts: tuple[int, ...], classes: int, repeats: int) -> None:
    click.echo(f"{machine()}; {classes} classes, {repeats} repeats\n")
    with tempfile.TemporaryDirectory() as name, made_up_slurm(Path(name)) as calls:
        prepared = {count: prepare(Path(name), calls, count, classes) for count in sorted(counts)}
        seconds: dict[int, dict[str, list[float]]] = {count: {} for count in prepared}
        for _ in range(repeats):
            for count, (steps, _called) in prepared.items():
                for step, run in steps.items():
                    seconds[count].setdefault(step, []).append(clock(run))
    click.echo(f"| folds | `sbatch` calls | {' | '.join(STEPS)} |")
    click.echo(f"| ---: | ---: |{' ---: |' * len(STEPS)}")
    medians: dict[str, list[tuple[int, float]]] = {step: [] for step in STEPS}
    for count, (_, called) in prepared.items():
        cells = []
        for step, found in seconds[count].items():
            medians[step].append((count, statistics.median(found)))
            cells.append(f"{statistics.median(found):.3f} ({min(found):.3f} to {max(found):.3f})")
        click.echo(f"| {count:,} | {called} | {' | '.join(cells)} |")
    milliseconds = [f"{1000 * found[-1][1] / found[-1][0]:.3f}" for found in medians.values()]
    click.echo(f"| ms a fold | | {' | '.join(milliseconds)} |")
    if len(counts) > 1:
        slopes = [f"{slope(found[-2], found[-1]):.2f}" for found in medians.values()]
        click.echo(f"| slope | | {' | '.join(slopes)} |")


if __name__ == "__main__":
    main()

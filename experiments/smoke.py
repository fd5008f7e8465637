"""Every step of an experiment in minutes: drawn faces for its data, an epoch a stage, one fold.

What it measures means nothing; it shows that the experiment runs here.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from experiments.experiment_file import Experiment, Regression, Row
from experiments.fold_plan import EndToEnd
from featx.datasets.adience import GROUPS
from featx.datasets.generate import draw_face, random_identity
from featx.heads import GENDERS
from featx.manifest import new_table, write_table
from featx.training.config.cascade_file import Cascade

SUBJECTS, IMAGES = 8, 2
SIDE = 128

#: Ages in years, one of each of Adience's groups: every head's classes hold them.
AGES = (1, 5, 10, 17, 28, 40, 50, 63)


def make_data(experiment: Experiment, folder: Path) -> None:
    """Draw a prepared folder for every image table that an experiment needs.

    Parameters
    ----------
    experiment : Experiment
        Its `needs` that begin with ``data/`` are made.
    folder : Path
        They go below it; what an earlier call drew is kept.
    """
    tables = sorted(path for path in experiment.needs if path.startswith("data/"))
    for number, path in enumerate(tables):
        if not (folder / path / "images.csv").is_file():
            _draw(folder / path, _dataset(experiment.needs[path], path), number)


def _dataset(how: str, path: str) -> str:
    """Return the data set that a table is of, by the command that makes it."""
    reader = re.match(r"featx prepare (\S+)", how)
    name = reader[1] if reader else Path(path).name
    return {"imdb-wiki": "imdb"}.get(name, name)


def _draw(folder: Path, dataset: str, seed: int) -> None:
    grouped = dataset == "adience"
    rng = np.random.default_rng([seed, 2026])
    (folder / "crops").mkdir(parents=True, exist_ok=True)
    people = [random_identity(rng) for _ in range(SUBJECTS)]
    rows = []
    for number in range(SUBJECTS * IMAGES):
        subject, image = number % SUBJECTS, number // SUBJECTS
        age = AGES[(subject + 3 * image) % len(AGES)]
        file = folder / "crops" / f"{number:03d}.png"
        draw_face(age, people[subject], rng=rng, size=(SIDE, SIDE)).save(file)
        group = next(name for name, (low, high) in GROUPS.items() if low <= age <= high)
        rows.append(
            {
                "image": f"{folder.name}-{number:03d}",
                "path": f"crops/{number:03d}.png",
                "crop": f"crops/{number:03d}.png",
                # of this folder alone: some sets share their celebrities
                "subject": f"{folder.name}-{subject:02d}",
                "age": np.nan if grouped else age,
                "age_group": group if grouped else "",
                "gender": GENDERS[subject % 2],
                "dataset": dataset,
                "fold": str(subject % 4),
                "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
            }
        )
    write_table(new_table(pd.DataFrame(rows)), folder / "images.csv")


def shortened(cascade: Cascade) -> Cascade:
    """Return a cascade with random weights and one short epoch a stage."""
    stages = tuple(
        stage.model_copy(
            update={"epochs": 1, "batch_size": 4, "precision": "fp32", "compile": False}
        )
        for stage in cascade.stages
    )
    return cascade.model_copy(update={"weights": "random", "stages": stages})


def first_fold(plan: EndToEnd) -> EndToEnd:
    """Return a plan with its first fold only."""
    return replace(plan, folds=plan.folds[:1])


def quick(rows: Iterable[Row]) -> tuple[Row, ...]:
    """Return rows with ridge regression in place of auto-sklearn, and random weights.

    A row that others are parts of holds half of the people out: of so few a fifth may lack one of
    the data sets.
    """
    rows, made = tuple(rows), []
    wholes = {row.part_of for row in rows}
    for row in rows:
        changes: dict[str, object] = {"folds": None}
        if row.name in wholes and row.protocol.startswith("holdout:"):
            changes |= {"protocol": "holdout:0.5"}
        if row.regression is not None:
            ridge = Regression(
                table=row.regression.table, layer=row.regression.layer, regressor="ridge"
            )
            changes |= {"regression": ridge}
        if row.weights is not None:
            changes |= {"weights": "random"}
        made.append(row.model_copy(update=changes))
    return tuple(made)

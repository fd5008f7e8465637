"""The predictions of one method: a folder with a table, its provenance, and a piece a fold.

``predictions.csv`` has one row an image in one fold, with what its task predicts (`TASKS`): an age,
an age group or a gender, and with the true gender where that is known; ``run.json`` says what made
it, and of classes the ``task`` and the ``groups``; the pieces lie in the folder ``folds``
(`regress.fold_pieces`); ``probabilities.h5`` holds class probabilities where the method has them
(`regress.probabilities`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from featx.atomic import writing
from featx.errors import FeatxError, unknown
from featx.file_hash import file_sha256
from featx.manifest import floats, read_csv_text
from regress.fold_records import FORMAT


@dataclass(frozen=True)
class Task:
    """What is predicted of each image.

    Attributes
    ----------
    label : str
        What people call it.
    truth, guess : str
        The columns of the true and of the predicted value.
    classes : bool
        Whether classes are told apart, named in the run's ``groups``, and not ages in years.
    ordered : bool
        Whether a class has neighbours, so that some mistakes are smaller than others.
    """

    label: str
    truth: str
    guess: str
    classes: bool
    ordered: bool

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of a table of predictions, in order."""
        return tuple(dict.fromkeys(("image", "subject", "fold", "age", self.truth, self.guess)))


TASKS = {
    "age": Task("age", "age", "predicted_age", classes=False, ordered=True),
    "age-group": Task("age group", "age_group", "predicted_group", classes=True, ordered=True),
    "gender": Task("gender", "gender", "predicted_gender", classes=True, ordered=False),
}
COLUMNS = TASKS["age"].columns
OPTIONAL = "gender"  # a column that predictions of ages and age groups have where it is known
GENDERS = ("female", "male")  # the groups of a run of gender


def task_of(predictions: pd.DataFrame) -> str:
    """Return the task of a table of predictions, by its columns."""
    return next((name for name in TASKS if TASKS[name].guess in predictions), "age")


@dataclass(frozen=True)
class Run:
    """A method's predictions: its folder, the content of ``run.json``, and the table."""

    folder: Path
    info: dict[str, Any]
    predictions: pd.DataFrame

    @property
    def method(self) -> str:
        """The name under which the method is shown."""
        return str(self.info["method"])

    @property
    def task(self) -> str:
        """What is predicted: ``age``, ``age-group`` or ``gender``."""
        return str(self.info.get("task", "age"))

    @property
    def columns(self) -> tuple[str, str]:
        """The columns of the table with the truth and with what was predicted."""
        return TASKS[self.task].truth, TASKS[self.task].guess

    @property
    def groups(self) -> tuple[str, ...]:
        """The classes that are told apart, age groups youngest first; none where ages are told."""
        return tuple(self.info.get("groups", ()))

    @property
    def predictions_sha256(self) -> str:
        """The SHA-256 of ``predictions.csv``."""
        return file_sha256(self.folder / "predictions.csv")

    @property
    def seconds_a_fold(self) -> float:
        """What a finished fold took on average, seconds; 0 where the run does not tell."""
        done = self.predictions["fold"].nunique()
        return float(self.info.get("seconds") or 0) / max(done, 1)


def label_columns(images: pd.DataFrame) -> list[str]:
    """Return the columns of an image table that predictions repeat: gender where one is known."""
    known = OPTIONAL in images and (images[OPTIONAL] != "").any()
    return ["image", "subject", "age", *([OPTIONAL] if known else [])]


def written_columns(predictions: pd.DataFrame) -> list[str]:
    """Return the columns of a table of predictions in the order in which they are written."""
    columns = TASKS[task_of(predictions)].columns
    return list(dict.fromkeys((*columns, *([OPTIONAL] if OPTIONAL in predictions else []))))


def write_csv(path: Path, predictions: pd.DataFrame) -> None:
    """Write a predictions table as CSV, atomically."""
    columns = written_columns(predictions)
    with writing(path) as temporary:
        predictions.to_csv(temporary, index=False, columns=columns, lineterminator="\n")


def read_csv(path: Path) -> pd.DataFrame:
    """Read a predictions table; ``image``, ``subject`` and ``fold`` as text.

    Where classes are predicted, an age may be unknown (NaN).

    Raises
    ------
    FeatxError
        If the file is missing, malformed, or lacks a column, a finite age, or a class.
    """
    return checked(read_csv_text(path), path)


def checked(table: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Return a table that was read as text with its numbers, once it has all that it needs."""
    task = TASKS[task_of(table)]
    missing = [column for column in task.columns if column not in table]
    if missing:
        raise FeatxError(f"{path} has no column {missing[0]!r}; is it a predictions table?")
    table["age"] = floats(table["age"])
    if not task.classes:
        table[task.guess] = floats(table[task.guess])
    for column in (task.truth, task.guess):
        cells = table[column]
        unusable = (cells == "") if task.classes else ~np.isfinite(cells.to_numpy(float))
        if unusable.any():
            row = int(np.flatnonzero(unusable)[0])
            raise FeatxError(
                f"{path}, line {row + 2}: {column} of image {table['image'][row]!r} is "
                f"{'missing' if task.classes else 'not a finite number'}; run that fold again "
                "(delete its files under folds/, --resume)"
            )
    return table


def read_run(folder: str | Path) -> Run:
    """Read a method's folder.

    Raises
    ------
    FeatxError
        If it holds no run, one of another format, or one whose table is of another task than
        ``run.json`` says.
    """
    folder = Path(folder)
    try:
        info = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise FeatxError(f"{folder} holds no run.json; give a folder of `featx regress`") from None
    except (OSError, ValueError) as error:
        raise FeatxError(f"cannot read {folder / 'run.json'}: {error}") from None
    form = info.get("format") if isinstance(info, dict) else None
    if form != FORMAT:
        raise FeatxError(f"{folder / 'run.json'} has format {form!r}; this program reads {FORMAT}")
    run = Run(folder, info, read_csv(folder / "predictions.csv"))
    if run.task not in TASKS:
        raise unknown(f"task in {folder / 'run.json'},", run.task, TASKS)
    found = task_of(run.predictions)
    if len(run.predictions) and found != run.task:
        raise FeatxError(
            f"{folder / 'run.json'} says task {run.task}, and predictions.csv has the columns of "
            f"{found}; one of them is of another run"
        )
    if TASKS[run.task].classes and not run.groups:
        raise FeatxError(f"{folder / 'run.json'} names no groups, which task {run.task} needs")
    return run


def find_runs(folders: Iterable[str | Path]) -> list[Run]:
    """Read every run in some folders and below them, each once, in order.

    Raises
    ------
    FeatxError
        If a folder is not there or holds no run.
    """
    runs: dict[Path, Run] = {}
    for folder in map(Path, folders):
        if not folder.is_dir():
            raise FeatxError(f"{folder} is not a folder; give what `featx regress -o` wrote")
        found = sorted(path.parent for path in folder.rglob("run.json"))
        if not found:
            raise FeatxError(f"{folder} holds no predictions; run `featx regress` first")
        for path in found:
            runs.setdefault(path.resolve(), read_run(path))
    return list(runs.values())

"""Several runs as one: the mean of their class probabilities, written as an ordinary run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from featx import __version__
from featx.errors import FeatxError
from regress.expected_age import told_classes
from regress.fold_pieces import write_fold
from regress.fold_records import finished_folds
from regress.naming import display_names
from regress.predictions import FORMAT, TASKS, Run, written_columns
from regress.probabilities import has_probabilities, probabilities_sha256, read_probabilities
from regress.publishing import publish, start_folder

#: What an ensemble's record keeps of its members' records, as far as they agree.
_SHARED = ("layer", "protocol", "seed", "split_hash", "features", "counts")
_NAMED = 3  # more members than these are counted in the name, not named


@dataclass(frozen=True)
class Ensemble:
    """Runs that go together, and what they say on average.

    Attributes
    ----------
    members : tuple of Run
        At least two, of one task, one split and the same classes.
    name : str
        The name under which the ensemble is shown.
    table : pandas.DataFrame
        Its predictions, with the columns of the task: the rows of the folds that all members have,
        in the order of the first member.
    classes : numpy.ndarray, shape (classes,)
        Years as float64, or names as text.
    probabilities : numpy.ndarray, float64, shape (rows, classes)
        The means, in the order of the table.
    planned : tuple of str
        Every fold that a member has or lacks.
    """

    members: tuple[Run, ...]
    name: str
    table: pd.DataFrame
    classes: np.ndarray
    probabilities: np.ndarray
    planned: tuple[str, ...]

    @property
    def folds(self) -> tuple[str, ...]:
        """The folds that all members have."""
        present = set(self.table["fold"])
        return tuple(name for name in self.planned if name in present)

    @property
    def key(self) -> str:
        """A hash of everything that the predictions depend on."""
        parts = sorted((run.predictions_sha256, probabilities_sha256(run)) for run in self.members)
        source = [FORMAT, __version__, self.members[0].task, self.classes.tolist(), parts]
        return hashlib.sha256(json.dumps(source).encode()).hexdigest()


def plan_ensemble(runs: Sequence[Run], name: str | None = None) -> Ensemble:
    """Average the class probabilities of some runs, each weighing the same.

    An age is the expected value of the mean probabilities, an age group or a gender what they tell
    by `regress.expected_age.told_classes`. Rows are lined up by image. Abdolrashidi et al. (2020),
    "Age and gender prediction from face images using attentional convolutional network", section
    III C.

    Parameters
    ----------
    runs : sequence of Run
        At least two, each with class probabilities.
    name : str, optional
        The name of the ensemble; made of its members' by default.

    Raises
    ------
    FeatxError
        If there are fewer than two runs, or one has no probabilities; if they differ in task,
        classes or split, test an image in different folds or not all of them, or disagree about its
        true value, age or subject; if no fold is in all of them.
    """
    _check(runs)
    given = [read_probabilities(run) for run in runs]
    for run, own in zip(runs[1:], given[1:], strict=True):
        if own.classes.tolist() != given[0].classes.tolist():
            raise _differ(runs[0], run, "class probabilities of different classes")
    tables = [run.predictions.set_index("image") for run in runs]
    for run, table in zip(runs[1:], tables[1:], strict=True):
        _check_images(runs[0], tables[0], run, table)
    common = set.intersection(*(set(table["fold"]) for table in tables))
    planned = tuple(dict.fromkeys(name for run in runs for name in _folds(run)))
    if not common:
        raise FeatxError(f"no fold is finished in all of {', '.join(str(r.folder) for r in runs)}")
    first = tables[0][tables[0]["fold"].isin(common)]
    mean = np.mean(
        [
            own.values[table.index.get_indexer(first.index)]
            for own, table in zip(given, tables, strict=True)
        ],
        axis=0,
    )
    task, classes = TASKS[runs[0].task], given[0].classes
    guess = told_classes(mean, classes, runs[0].groups) if task.classes else mean @ classes
    table = first.assign(**{task.guess: guess}).reset_index()
    table = table[written_columns(table)]
    return Ensemble(tuple(runs), name or _name(runs), table, classes, mean, planned)


def write_ensemble(ensemble: Ensemble, folder: Path, *, resume: bool = False) -> dict[str, Any]:
    """Write an ensemble as `regress.evaluate.evaluate` writes a method, for `featx compare`.

    Its ``seconds`` are those that its members took for the same folds.

    Parameters
    ----------
    ensemble : Ensemble
        From `plan_ensemble`.
    folder : Path
        Its folder, not one of its members'.
    resume : bool
        Keep the folds of an earlier run of the same ensemble.

    Returns
    -------
    dict
        The content of ``run.json``, with the ``members``.

    Raises
    ------
    FeatxError
        If the folder is a member's, or holds an earlier run and `resume` is false.
    """
    for run in ensemble.members:
        if run.folder.resolve() == folder.resolve():
            raise FeatxError(f"{folder} is the folder of a member; give another -o")
    start_folder(folder, resume)
    key = ensemble.key
    done = finished_folds(folder, key)
    seconds = sum(run.seconds_a_fold for run in ensemble.members)
    folds = ensemble.table["fold"].to_numpy(str)
    for name in ensemble.folds:
        if name in done:
            continue
        rows = np.flatnonzero(folds == name)
        record = {"fold": name, "key": key, "n_test": len(rows), "seconds": round(seconds, 3)}
        probable = ensemble.classes, ensemble.probabilities[rows]
        write_fold(folder, ensemble.table.iloc[rows], record, probable)
    return publish(folder, key, ensemble.planned, {}, _record(ensemble))


def _record(ensemble: Ensemble) -> dict[str, Any]:
    members = ensemble.members
    shared = _common([{k: run.info[k] for k in _SHARED if k in run.info} for run in members])
    first = members[0]
    return {
        "method": ensemble.name,
        "regressor": "ensemble",
        "parameters": {},
        **shared,
        **({"task": first.task, "groups": list(first.groups)} if first.groups else {}),
        "members": [
            {
                "method": run.method,
                "folder": str(run.folder),
                **{key: run.info.get(key) for key in ("layer", "regressor", "seed", "key")},
                "predictions_sha256": run.predictions_sha256,
                "probabilities_sha256": probabilities_sha256(run),
            }
            for run in members
        ],
    }


def _common(records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the entries that some nested records agree on."""
    found: dict[str, Any] = {}
    for key, value in records[0].items():
        others = [record.get(key) for record in records]
        if all(isinstance(other, Mapping) for other in others):
            found[key] = _common(others)  # type: ignore[arg-type]
        elif all(other == value for other in others):
            found[key] = value
    return found


def _folds(run: Run) -> list[str]:
    missing = run.info.get("folds", {}).get("missing", [])
    return [*run.predictions["fold"].unique(), *map(str, missing)]


def _name(runs: Sequence[Run]) -> str:
    if len(runs) > _NAMED:
        return f"ensemble of {len(runs)} runs"
    return f"ensemble: {' + '.join(display_names(runs))}"


def _check(runs: Sequence[Run]) -> None:
    """Raise a FeatxError where runs cannot be averaged, as far as their records tell."""
    if len(runs) < 2:
        raise FeatxError(f"an ensemble has two members or more; {len(runs)} given")
    folders: set[Path] = set()
    for run in runs:
        if run.folder.resolve() in folders:
            raise FeatxError(f"{run.folder} is given twice; it would count twice in the mean")
        folders.add(run.folder.resolve())
        if run.task != runs[0].task:
            raise _differ(runs[0], run, f"the tasks {runs[0].task} and {run.task}")
        if run.groups != runs[0].groups:
            told = [", ".join(one.groups) for one in (runs[0], run)]
            raise _differ(runs[0], run, f"the classes {told[0]} and {told[1]}")
        if run.info.get("split_hash") != runs[0].info.get("split_hash"):
            protocols = [str(one.info.get("protocol")) for one in (runs[0], run)]
            raise _differ(runs[0], run, f"different splits ({protocols[0]} and {protocols[1]})")
        if not len(run.predictions):
            raise FeatxError(f"{run.folder} has no predictions; run it with --resume, or leave it")
        if not has_probabilities(run):
            raise FeatxError(
                f"{run.method} ({run.folder}) has no class probabilities, whose mean an ensemble "
                "is; leave it out"
            )


def _differ(first: Run, run: Run, what: str) -> FeatxError:
    return FeatxError(f"{first.folder} and {run.folder} have {what}, so they have no mean")


def _check_images(first: Run, a: pd.DataFrame, run: Run, b: pd.DataFrame) -> None:
    """Raise a FeatxError where two runs differ about images, given by tables indexed by image."""
    both = a.index.intersection(b.index)
    for column in dict.fromkeys(("fold", "subject", "age", first.columns[0])):
        x, y = a.loc[both, column], b.loc[both, column]
        differ = both[((x != y) & ~(x.isna() & y.isna())).to_numpy()]
        if len(differ):
            image = differ[0]
            raise FeatxError(
                f"image {image!r} has {column} {a.loc[image, column]} in {first.folder} and "
                f"{b.loc[image, column]} in {run.folder}; average runs on the same images and folds"
            )
    folds = set(a["fold"]) & set(b["fold"])
    for own, other, there, absent in ((a, b, first, run), (b, a, run, first)):
        inside = own.index[own["fold"].isin(folds)]
        alone = inside.difference(other.index)
        if len(alone):
            raise FeatxError(
                f"image {alone[0]!r} is in fold {own.loc[alone[0], 'fold']} of {there.folder} and "
                f"not in {absent.folder}; average runs on the same images"
            )

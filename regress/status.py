"""How far work has come, as the files below some folders tell, and Slurm where it can be asked."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from featx.cluster import submissions
from featx.cluster.submissions import Task
from featx.errors import FeatxError
from featx.status import Extraction, Training, extractions, training
from regress.fold_records import FORMAT, PLAN, failed_folds, finished_folds, unit_label

#: The state of a task that Slurm has forgotten: it has ended, one way or the other.
_FORGOTTEN = "ENDED"


@dataclass(frozen=True)
class Progress:
    """How far a method's folds have come.

    Attributes
    ----------
    folder : Path
        The method's.
    method : str
        Its name.
    planned, done : int
        Folds.
    running, waiting : int
        Folds that a task of the cluster computes, or will.
    failed : dict of str to str
        Why folds are not done that nothing computes any more, as far as that is known.
    gathered : bool
        Whether the published tables have all folds that are done.
    """

    folder: Path
    method: str
    planned: int
    done: int
    running: int
    waiting: int
    failed: dict[str, str]
    gathered: bool

    @property
    def left(self) -> int:
        """Folds that nobody is known to have taken up."""
        return self.planned - self.done - self.running - self.waiting - len(self.failed)


@dataclass
class Submitted:
    """What was submitted from a folder: of each piece of work the latest task.

    Attributes
    ----------
    folder : Path
        With the records and logs.
    tasks : dict of str to Task
        By what they do, with the states that Slurm told.
    done : set of str
        Work that is seen to be done, whatever became of its task.
    told : set of str
        Work whose failure is told beside its method.
    """

    folder: Path
    tasks: dict[str, Task]
    done: set[str] = field(default_factory=set)
    told: set[str] = field(default_factory=set)

    @property
    def open(self) -> list[Task]:
        """The tasks that work; where Slurm could not be asked, those that may."""
        return [
            task
            for label, task in self.tasks.items()
            if (task.live and task.state != "PENDING")
            or (not task.state and not self._known(label))
        ]

    @property
    def failed(self) -> list[Task]:
        """The tasks that ended without having done their work, and that no method tells of."""
        return [
            task
            for label, task in self.tasks.items()
            if task.state not in ("", "COMPLETED", _FORGOTTEN)
            and not task.live
            and not self._known(label)
        ]

    def _known(self, label: str) -> bool:
        return label in self.done or label in self.told

    @property
    def counts(self) -> dict[str, int]:
        """How many tasks are in which state, in words; none where Slurm could not be asked."""
        states = Counter(task.state for task in self.tasks.values() if task.state)
        return {state.lower().replace("_", " "): n for state, n in states.most_common()}


@dataclass(frozen=True)
class Status:
    """What was found below some folders.

    Attributes
    ----------
    methods, extractions, stages, submitted : list
        Each kind of thing, in the order of their folders.
    unasked : str
        Why Slurm could not be asked of the tasks; empty where it was, or there are none.
    """

    methods: list[Progress]
    extractions: list[Extraction]
    stages: list[Training]
    submitted: list[Submitted]
    unasked: str


def look(folders: Iterable[str | Path]) -> Status:
    """Find out how far the work in some folders and below them has come.

    Raises
    ------
    FeatxError
        If one is no folder, or holds nothing of featx's.
    """
    folders = list(folders)
    plans: list[Path] = []
    files: list[Extraction] = []
    stages: list[Training] = []
    submitted: dict[Path, Submitted] = {}
    for folder, names in _walk(folders):
        if folder.name == submissions.FOLDER:
            tasks = submissions.newest(folder)
            if tasks:
                submitted[folder] = Submitted(folder, tasks)
        elif PLAN in names or "run.json" in names:
            plans.append(folder)
        else:
            files += extractions(folder, names)
            stage = training(folder, names)
            stages += [stage] if stage else []
    unasked = _ask(submitted.values())
    methods = []
    for folder in plans:
        beside = submitted.get(folder.parent / submissions.FOLDER)
        method = _progress(folder, beside, asked=not unasked)
        methods += [method] if method else []
    if not (methods or files or stages or submitted):
        raise FeatxError(
            f"nothing of featx's lies in {' or '.join(map(str, folders))} or below; give a folder "
            "that -o named"
        )
    return Status(methods, files, stages, list(submitted.values()), unasked)


def _walk(folders: Iterable[str | Path]) -> Iterator[tuple[Path, set[str]]]:
    """Yield each folder once, with its files' names; a method's pieces are left out."""
    seen: set[Path] = set()
    for top in map(Path, folders):
        if not top.is_dir():
            raise FeatxError(f"{top} is no folder; give one that -o named, or one above it")
        for name, below, files in os.walk(top):
            folder, names = Path(name), set(files)
            below[:] = sorted(each for each in below if not each.startswith("."))
            if PLAN in names or "run.json" in names:
                below.clear()
            if (own := folder.resolve()) not in seen:
                seen.add(own)
                yield folder, names


def _ask(submitted: Iterable[Submitted]) -> str:
    """Put in the states of all tasks; return why not, where Slurm cannot be asked."""
    every = [(each, label) for each in submitted for label in each.tasks]
    try:
        seen = submissions.look([each.tasks[label] for each, label in every])
    except FeatxError as error:
        return str(error).partition(";")[0].partition(" / ")[0]
    for (each, label), task in zip(every, seen, strict=True):
        each.tasks[label] = task if task.state else replace(task, state=_FORGOTTEN)
    return ""


def _progress(folder: Path, beside: Submitted | None, *, asked: bool) -> Progress | None:
    plan, run = _read(folder / PLAN), _read(folder / "run.json")
    told = plan or run
    if told is None:
        return None
    name, key = str(told["method"]), str(told["key"])
    finished = finished_folds(folder, key)
    if plan:
        done = [fold for fold in plan["folds"] if fold in finished]
        missing = [fold for fold in plan["folds"] if fold not in finished]
    else:  # of an earlier version, that wrote no plan
        done, missing = list(finished), list(told["folds"]["missing"])
    published = run is not None and run["key"] == key and run["folds"]["missing"] == missing
    failed = failed_folds(folder, key, missing)
    count: Counter[str] = Counter()
    if beside:
        whole = unit_label(name, None)
        beside.done |= {unit_label(name, fold) for fold in done}
        beside.done |= set() if missing else {whole}
        for fold in missing:
            label = unit_label(name, fold)
            label = label if label in beside.tasks else whole
            task = beside.tasks.get(label)
            if task is not None and task.live:
                count["waiting" if task.state == "PENDING" else "running"] += 1
                failed.pop(fold, None)  # by an earlier task
            elif task is not None and (asked or fold in failed):
                failed.setdefault(fold, task.why)
                beside.told.add(label)
    return Progress(
        folder,
        name,
        len(done) + len(missing),
        len(done),
        count["running"],
        count["waiting"],
        {fold: failed[fold] for fold in missing if fold in failed},
        published,
    )


def _read(path: Path) -> dict[str, Any] | None:
    """Return a plan or a run's record; None where there is none of ours."""
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    ours = isinstance(told, Mapping) and told.get("format") == FORMAT
    return dict(told) if ours and {"method", "key", "folds"} <= set(told) else None

"""An extraction as the tasks of a Slurm array, a shard each, and a job that joins them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from featx.cluster import submissions
from featx.cluster.job import Job
from featx.cluster.submissions import Task
from featx.errors import FeatxError
from featx.extraction import Extraction, Plan, open_writer
from featx.extraction.side_by_side import check_unfinished, keep

#: A lost node may hold a lock for ever, which would keep the task that begins again elsewhere from
#: going on with its shard; two writers are kept apart without (`featx.store.writing.journal`).
_WITHOUT_LOCKS = "export HDF5_USE_FILE_LOCKING=FALSE"


@dataclass(frozen=True)
class Missing:
    """What is to be submitted.

    Attributes
    ----------
    array : Job
        A task a shard that is not there and that no live task makes.
    labels : dict of int to str
        What each task makes.
    merging : Job
        Joins the shards.
    live : list of Task
        Earlier submissions' tasks that make other shards.
    merges : Task or None
        An earlier submission's that joins them, where it waits for nothing else.
    """

    array: Job
    labels: dict[int, str]
    merging: Job
    live: list[Task]
    merges: Task | None


class Sharded:
    """A features file in shards, each made by a task.

    Parameters
    ----------
    settled : Plan
        Of the whole file; its device does not matter.
    out : Path
        The whole file.
    count : int
        Shards.
    written : dict
        ``dtype``, ``compression`` and ``max_pixels`` of `featx.extraction.run`.

    Raises
    ------
    FeatxError
        If the table has fewer rows than shards.
    """

    def __init__(self, settled: Plan, out: Path, count: int, written: dict[str, Any]) -> None:
        """Cut the table."""
        self.settled, self.out, self.count, self.written = settled, out, count, written
        self.parts = settled.cut(count, written["dtype"])
        self.label = f"merging {out.name}"

    def unfinished(self, *, resume: bool = True) -> dict[int, str]:
        """Return the shards that are not there, by what they hold, and what each is called.

        Where the whole file is there nothing is; it may come, and the shards go, at any moment.

        Raises
        ------
        FeatxError
            If one, finished or not, was made otherwise, or is there without `resume`.
        """
        kept = {key: self.written[key] for key in ("dtype", "compression")}
        try:
            found = {
                number: f"shard {part.shard} of {self.out.name}"
                for number, part in enumerate(self.parts, start=1)
                if not open_writer(part, self.out, resume=resume, **kept).finished()
            }
        except FeatxError:
            if not self.out.exists():
                raise
        return {} if self.out.exists() else found

    def missing(self, array: Job, merging: Job, *, resume: bool) -> Missing:
        """Find out which shards are to be made.

        Parameters
        ----------
        array, merging : Job
            The one makes the shard ``$TASK``, the other joins all.
        resume : bool
            Go on with an earlier extraction, and with its tasks.

        Raises
        ------
        FeatxError
            If an earlier one is in the way, or Slurm cannot be asked what became of its tasks.
        """
        check_unfinished(self.out, self.count)
        mine = submissions.live(array.folder)
        unfinished = self.unfinished(resume=resume)  # after: a task may end at any moment
        live = [mine[label] for label in unfinished.values() if label in mine]
        if live and not resume:
            raise FeatxError(
                f"the task {live[0].job} of an earlier submission makes the {live[0].label}; give "
                "--resume to wait for it, or cancel it"
            )
        labels = {number: label for number, label in unfinished.items() if label not in mine}
        asked = array.resources
        return Missing(
            array=replace(
                array,
                tasks=tuple(labels),
                resources=replace(asked, setup=(*asked.setup, _WITHOUT_LOCKS)),
            ),
            labels=labels,
            merging=merging,
            live=live,
            merges=None if labels else mine.get(self.label),
        )

    def submit(self, missing: Missing) -> list[Task]:
        """Submit what is missing, and a job that joins the shards when all are there.

        Returns
        -------
        list of Task
            All that is to be waited for, earlier submissions' tasks too.

        Raises
        ------
        FeatxError
            If Slurm refuses a job.
        """
        jobs = submissions.submit(missing.array, missing.labels) if missing.labels else []
        if missing.merges is None:
            # of an earlier array only those tasks that are needed: others may have failed
            needed = [*jobs, *(task.job for task in missing.live)]
            after = f"afterok:{':'.join(needed)}" if needed else ""
            jobs = [*jobs, *submissions.submit(missing.merging, self.label, after)]
        submitted = submissions.of_jobs(missing.array.folder, jobs)
        return [*missing.live, *submitted, *([missing.merges] if missing.merges else [])]

    def failed(self, ended: Sequence[Task]) -> dict[str, str]:
        """Return what kept the file from being made, by label; nothing where it is there.

        Parameters
        ----------
        ended : sequence of Task
            With the states that they were last seen in.
        """
        lost = self.unfinished().values()
        if self.out.exists():
            return {}
        why = {task.label: f"Slurm task {task.job} {task.why}" for task in ended}
        return {label: why.get(label, "not submitted") for label in lost or [self.label]}

    def finished(self, *, resume: bool) -> Extraction:
        """Check the whole file, remove shards that are left, and tell what it holds.

        Raises
        ------
        FeatxError
            Without `resume`, and if it is another extraction's or damaged.
        """
        files = [part.path(self.out) for part in self.parts]
        return keep(self.settled, self.out, files, resume=resume, **self.written)

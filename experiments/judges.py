"""Who judges labels: out-of-fold predictions of a run, or a network that has seen none of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
import pandas as pd

from featx.errors import FeatxError
from regress.predictions import Run, find_runs, read_run
from regress.probabilities import (
    Probabilities,
    has_probabilities,
    probabilities_sha256,
    read_probabilities,
)

#: The file of a fine-tuned network in its stage's folder.
_NETWORK = "network.safetensors"


class Judge(Protocol):
    """What `experiments.cleaning` needs of whoever judges.

    Attributes
    ----------
    quick : bool
        Whether its probabilities are there already.
    """

    quick: ClassVar[bool]

    @property
    def source(self) -> Path:
        """Where it lies."""
        ...

    @property
    def classes(self) -> np.ndarray:
        """What its probabilities are of: years, or names of groups; shape (k,)."""
        ...

    @property
    def caveats(self) -> Sequence[str]:
        """What a reader must know."""
        ...

    def describe(self) -> dict[str, Any]:
        """Return what it is, as JSON values; equal where its probabilities would be."""
        ...

    def unheard(self) -> np.ndarray:
        """Return why each row of the table is not to be judged, empty where it may be."""
        ...

    def probabilities(self, out: Path, *, resume: bool) -> tuple[Probabilities, np.ndarray]:
        """Return the table's rows' probabilities, and why a row has none (NaN).

        Parameters
        ----------
        out : Path
            Where what takes long to make is kept.
        resume : bool
            Take up what is kept there.
        """
        ...


@dataclass(frozen=True)
class OutOfFold:
    """A run's predictions: each image judged by the fold that has not seen its person.

    Attributes
    ----------
    run : Run
        Of ages or age groups, with class probabilities.
    table : pandas.DataFrame
        The image table whose labels are judged.
    given : Probabilities
        The run's, a row a row of its predictions.
    """

    run: Run
    table: pd.DataFrame
    given: Probabilities
    quick: ClassVar[bool] = True

    @property
    def source(self) -> Path:
        """The run's folder."""
        return self.run.folder

    @property
    def classes(self) -> np.ndarray:
        """Years, or names of groups."""
        return self.given.classes

    @property
    def caveats(self) -> Sequence[str]:
        """What the run does not prove."""
        features = self.run.info.get("features", {}).get("provenance", {})
        # a cascade under a protocol has proved that none of its stages has seen a test image
        if "cascade" in self.run.info or not features.get("fine_tuning"):
            return ()
        return (
            f"the run's features are of a fine-tuned network ({features.get('weights')}), and the "
            "run does not tell whether that was trained on these images",
        )

    def describe(self) -> dict[str, Any]:
        """Return what it is, as JSON values."""
        info = self.run.info
        return {
            "kind": "out-of-fold predictions",
            **{key: info.get(key) for key in ("method", "protocol", "seed", "split_hash")},
            "predictions_sha256": self.run.predictions_sha256,
            "probabilities_sha256": probabilities_sha256(self.run),
        }

    def unheard(self) -> np.ndarray:
        """Return why each row of the table is not to be judged, empty where it may be."""
        known = self.table["image"].isin(self.run.predictions["image"]).to_numpy()
        return np.where(known, "", "not predicted in the run").astype(object)

    def probabilities(self, out: Path, *, resume: bool) -> tuple[Probabilities, np.ndarray]:
        """Return the table's rows' probabilities, and why a row has none."""
        images = pd.Index(self.run.predictions["image"])
        rows = images.get_indexer(pd.Index(self.table["image"]))
        values = self.given.values[rows]
        values[rows < 0] = np.nan
        return Probabilities(self.given.classes, values), self.unheard()


def run_of(source: Path) -> Run | None:
    """Return the run that a folder is or holds; None where the source is a network.

    Raises
    ------
    FeatxError
        If it is neither, or holds no run of ages with class probabilities, or several.
    """
    if source.is_file() or (source / _NETWORK).is_file():
        return None
    if (source / "run.json").is_file():
        return read_run(source)
    if not any(source.rglob("run.json")):
        what = "holds neither a run nor a network" if source.exists() else "is not there"
        raise FeatxError(
            f"--by {source} {what}; give a run's folder, or a stage's of `featx finetune`, with "
            f"{_NETWORK}"
        )
    runs = [run for run in find_runs([source]) if run.task != "gender" and has_probabilities(run)]
    if len(runs) != 1:
        found = ", ".join(str(run.folder) for run in runs) or "none"
        raise FeatxError(
            f"--by {source}: give the folder of one run of ages with class probabilities; below it "
            f"there are {len(runs)}: {found}"
        )
    return runs[0]


def judge_by_run(run: Run, table: pd.DataFrame) -> OutOfFold:
    """Let a run's out-of-fold predictions judge.

    Raises
    ------
    FeatxError
        If it is of gender, has no class probabilities or none of the table's images, or names
        other ages for them than the table.
    """
    if run.task == "gender":
        raise FeatxError(f"--by {run.folder}: it predicts gender; give a run of ages or age groups")
    given = read_probabilities(run)
    told = run.predictions.set_index("image")["age"]
    both = table[table["image"].isin(told.index)]
    if both.empty:
        raise FeatxError(
            f"--by {run.folder}: it has predicted none of the table's {len(table)} images; give "
            "the run of a protocol on this table"
        )
    ages = both["age"].to_numpy(float)
    theirs = told.loc[both["image"]].to_numpy(float)
    other = np.flatnonzero(~np.isnan(ages) & ~np.isnan(theirs) & (ages != theirs))
    if len(other):
        row = int(other[0])
        raise FeatxError(
            f"--by {run.folder}: image {both['image'].iloc[row]!r} is {theirs[row]:g} years old "
            f"there and {ages[row]:g} in the table ({len(other)} such images); it is a run of "
            "another table"
        )
    return OutOfFold(run, table, given)

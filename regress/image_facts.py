"""What is known of predicted images beside their ages: gender, data set, and where the picture is.

Predictions tell gender where it was known when they were made; all else stands in the image table,
which runs name by its path. A table can have moved or changed since: then nothing is taken of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from featx.errors import FeatxError
from featx.file_hash import file_sha256
from featx.manifest import crop_paths, read_table, table_file
from featx.prepared import prepared
from regress.predictions import Run

#: Pictures of these may be shown: drawn ones, and a user's own from a table or a folder. All other
#: names are of sets whose terms allow research and no showing, or of sets whose terms are unknown.
SHOWABLE = ("csv", "drawn faces", "folder")


@dataclass(frozen=True)
class ImageFacts:
    """What the image tables of some runs tell.

    Attributes
    ----------
    table : pandas.DataFrame
        Indexed by image: ``gender`` (text, empty where unknown) and ``picture`` (the path of the
        crop or, where there is none, of the source; empty where unknown).
    datasets : tuple of str
        The names of the data sets, as far as the tables or the runs tell them.
    missing : str
        Why some table tells nothing; empty where each one does.
    given : Path or None
        The table that was given in place of those that the runs name.
    """

    table: pd.DataFrame
    datasets: tuple[str, ...]
    missing: str
    given: Path | None = None

    @property
    def may_be_shown(self) -> bool:
        """Whether no data set's terms forbid to show its pictures, as far as is known."""
        return bool(self.datasets) and set(self.datasets) <= set(SHOWABLE)


def image_facts(runs: Sequence[Run], table: str | Path | None = None) -> ImageFacts:
    """Read the image tables of some runs.

    Parameters
    ----------
    runs : sequence of Run
        Of the same images, more or less.
    table : str or Path, optional
        An image table, or the folder that holds ``images.csv``, in place of those that the runs
        name.

    Raises
    ------
    FeatxError
        If the given table cannot be read, or has none of the images.
    """
    predicted = pd.Index(
        np.unique(np.concatenate([run.predictions["image"].to_numpy(str) for run in runs]))
    )
    parts, missing = [], ""
    datasets = {name for run in runs for name in _told_datasets(_prepare(run))}
    wanted = [(table_file(table), "")] if table is not None else _named_tables(runs)
    for path, sha256 in wanted:
        try:
            part, names = _read(path, sha256, predicted)
        except FeatxError as error:
            if table is not None:
                raise
            missing = missing or str(error)
            continue
        parts.append(part)
        datasets |= names
    if not wanted:
        missing = "the runs do not say where their image table is"
    found = pd.concat(parts) if parts else pd.DataFrame({"gender": [], "picture": []}, dtype=str)
    if table is not None and found.empty:
        raise FeatxError(f"{table_file(table)} has none of the predicted images; give their table")
    found = found[~found.index.duplicated()].reindex(predicted, fill_value="")
    given = None if table is None else Path(table)
    return ImageFacts(found, tuple(sorted(datasets)), missing, given)


def genders(runs: Sequence[Run], facts: ImageFacts) -> pd.Series:
    """Return each predicted image's true gender, empty where unknown: text, indexed by image.

    What predictions tell comes before what an image table tells.
    """
    known = facts.table["gender"]
    for run in runs:
        if "gender" not in run.predictions:
            continue
        own = run.predictions.drop_duplicates("image").set_index("image")["gender"]
        own = own[own != ""]
        known = own.reindex(known.index).fillna(known)
    return known


def _named_tables(runs: Sequence[Run]) -> list[tuple[Path, str]]:
    """Return the image tables that runs name, each once, with their SHA-256 where that is told."""
    found: dict[tuple[Path, str], None] = {}
    for run in runs:
        features = run.info.get("features", {})
        provenance = features.get("provenance", {})
        named = features.get("tables") or features.get("context", {}).get("table") or []
        for path in [named] if isinstance(named, str) else named:
            found[Path(path), str(provenance.get("table_sha256", ""))] = None
    return list(found)


def _read(path: Path, sha256: str, images: pd.Index) -> tuple[pd.DataFrame, set[str]]:
    """Return what a table tells of some images, and the names of their data sets."""
    table = read_table(path)
    if sha256 and file_sha256(path) != sha256:
        raise FeatxError(f"{path} has changed since the features were extracted")
    table["picture"] = pd.Series(crop_paths(table, path.parent), dtype=object)  # of any name
    own = table[table["image"].isin(images)].set_index("image")[["gender", "picture", "dataset"]]
    told = _told_datasets(prepared(path.parent / "prepare.json"))
    # a folder's drawn faces may be laid out as those of a data set, whose reader read them
    names = told if told == {"drawn faces"} else told | (set(own["dataset"]) - {""})
    return own[["gender", "picture"]], names


def _prepare(run: Run) -> Any:
    """Return what a run tells of how its images were prepared."""
    return run.info.get("features", {}).get("provenance", {}).get("prepare")


def _told_datasets(record: Any) -> set[str]:
    """Return every name under the key ``dataset`` in nested records."""
    if isinstance(record, list | tuple):
        return {name for item in record for name in _told_datasets(item)}
    if not isinstance(record, dict):
        return set()
    own = {record["dataset"]} if isinstance(record.get("dataset"), str) else set()
    return own | {name for item in record.values() for name in _told_datasets(item)}

"""How far extractions and fine-tuning have come, as their files tell. No torch.

Only what is cheap is read: names, how many rows a journal holds, how many epochs a history.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from featx.errors import FeatxError

_SHARD = re.compile(r"(.+)\.shard-(\d+)-of-([1-9]\d*)(\.[^.]+)?")


@dataclass(frozen=True)
class Extraction:
    """A features file, there or to be.

    Attributes
    ----------
    file : Path
        Its name once it is whole.
    finished : bool
        Whether it is there.
    shards, shards_done : int
        In how many it is cut, 0 where it is not; and how many are there.
    begun : int
        Unfinished files, of shards or of the whole.
    rows_done, rows : int
        Of the finished file, or of the unfinished ones together.
    """

    file: Path
    finished: bool
    shards: int
    shards_done: int
    begun: int
    rows_done: int
    rows: int

    def __str__(self) -> str:
        """Return it in words."""
        rows = f"{self.rows_done:,} of {self.rows:,} rows" if self.rows else "no rows yet"
        if self.finished:
            return f"{self.file}: whole, {self.rows:,} rows"
        if not self.shards:
            return f"{self.file}: {rows} done"
        text = f"{self.file}: {self.shards_done:,} of {self.shards:,} shards done"
        if self.begun:
            text += f", {self.begun:,} begun ({rows})"
        return text + (", to be merged" if self.shards_done == self.shards else "")


@dataclass(frozen=True)
class Training:
    """A stage's folder.

    Attributes
    ----------
    folder : Path
        Of the stage.
    finished : bool
        Whether it has come to its end.
    epochs : int
        Those in its history.
    """

    folder: Path
    finished: bool
    epochs: int


def extractions(folder: Path, names: Iterable[str]) -> list[Extraction]:
    """Return the features files of a folder, and those that are to be.

    Parameters
    ----------
    folder : Path
        Where they lie.
    names : iterable of str
        Of its files.
    """
    cuts: dict[tuple[str, int], dict[int, Path]] = {}
    unfinished: dict[tuple[str, int], dict[int, Path]] = {}
    whole = []
    for name in sorted(names):
        begun = name.endswith(".partial")
        shard = _SHARD.fullmatch(name.removesuffix(".partial"))
        if shard:
            cut = f"{shard[1]}{shard[4] or ''}", int(shard[3])
            (unfinished if begun else cuts).setdefault(cut, {})[int(shard[2])] = folder / name
        elif begun and not name.startswith("."):
            unfinished.setdefault((name.removesuffix(".partial"), 0), {})[0] = folder / name
        elif name.endswith(".h5"):
            whole.append(name)
    found = [_whole(folder / name) for name in whole]
    told = {each.file for each in found if each is not None}
    for name, count in sorted({*cuts, *unfinished}):
        if folder / name not in told:  # else it was merged, and its shards are of no more interest
            done = cuts.get((name, count), {})
            begun_ = {k: v for k, v in unfinished.get((name, count), {}).items() if k not in done}
            found.append(_unfinished(folder / name, count, len(done), begun_.values()))
    return [each for each in found if each is not None]


def _whole(path: Path) -> Extraction | None:
    from featx.store.opening import open_features

    try:
        with open_features(path) as file:
            rows = len(file["image"])
    except (FeatxError, OSError, KeyError):  # some other HDF5 file
        return None
    return Extraction(path, True, 0, 0, 0, rows, rows)


def _unfinished(
    path: Path, shards: int, shards_done: int, begun: Iterable[Path]
) -> Extraction | None:
    from featx.store.writing import framing

    rows_done = rows = count = 0
    for partial in begun:
        try:
            with partial.open("rb") as stream:
                head = framing.read_head(stream)
                rows += len(head["images"]["image"])
                rows_done += framing.count_rows(stream)
            count += 1
        except (framing.UnusableError, OSError, KeyError, TypeError, ValueError):
            # begun this moment; or, by its name alone, some other program's
            count += bool(shards)
    if not (shards_done or count):
        return None
    return Extraction(path, False, shards, shards_done, count, rows_done, rows)


def training(folder: Path, names: Iterable[str]) -> Training | None:
    """Return how far the stage of a folder has come; None where it holds none.

    Parameters
    ----------
    folder : Path
        Perhaps a stage's.
    names : iterable of str
        Of its files.
    """
    names = set(names)
    try:
        if {"stage.json", "network.safetensors"} <= names:  # the latter is written last
            told = json.loads((folder / "stage.json").read_text(encoding="utf-8"))
            return Training(folder, True, int(told["provenance"]["epochs"]))
        if "history.csv" in names:
            lines = (folder / "history.csv").read_text(encoding="utf-8").splitlines()
            return Training(folder, False, len(lines) - 1) if "epoch" in lines[0] else None
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        return None
    return Training(folder, False, 0) if "state.pt" in names else None

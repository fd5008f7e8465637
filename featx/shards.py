"""Shards of a features file: which rows each has, and what its file is called. No torch.

A shard is a features file of some consecutive rows of an image table. Where a table is cut depends
on its number of rows and on the number of shards alone, so that machines that know nothing of each
other cut alike. Cuts lie at multiples of a power of two where the shards are long enough: batches
and HDF5 chunks then seldom straddle them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from featx.errors import FeatxError

#: Cuts lie at multiples of this many rows, or of half, a quarter … of it where the table is short.
#: It is the largest batch by default (`featx.devices.BATCH_SIZES`), which the others divide.
CUT_ROWS = 256

#: A shard has at least about so many times the rows that cuts are multiples of: no shard is longer
#: than another by more than a quarter.
_CUTS_A_SHARD = 4

#: Where a shard's features file tells that it is one: an attribute, among the provenance.
ATTRIBUTE = "shard"


@dataclass(frozen=True)
class Shard:
    """Some consecutive rows of an image table.

    Attributes
    ----------
    number, count : int
        Which shard (from 1) of how many.
    first, stop : int
        Its first row, and the row after its last; counted from 0.
    rows : int
        Of the whole table.
    config_hash : str
        Of the whole features file that it is a part of; empty where that isn't known yet.
    """

    number: int
    count: int
    first: int
    stop: int
    rows: int
    config_hash: str = ""

    def __str__(self) -> str:
        """Return it as ``--shard`` takes it."""
        return f"{self.number}/{self.count}"

    def __len__(self) -> int:
        """Return the number of rows."""
        return self.stop - self.first

    def path(self, whole: str | Path) -> Path:
        """Return the name of the shard's file beside the whole features file's."""
        whole = Path(whole)
        return whole.with_name(f"{whole.stem}.{self.tag}{whole.suffix}")

    @property
    def tag(self) -> str:
        """The part of the file's name that tells the shard; names sort in the order of rows."""
        return f"shard-{self.number:0{len(str(self.count))}}-of-{self.count}"

    def describe(self) -> dict[str, Any]:
        """Return the shard as its file tells it: rows are counted from 1, both ends included."""
        return {
            "number": self.number,
            "of": self.count,
            "first_row": self.first + 1,
            "last_row": self.stop,
            "rows_of_table": self.rows,
            "config_hash_of_whole": self.config_hash,
        }

    @classmethod
    def told(cls, provenance: Mapping[str, Any]) -> Shard | None:
        """Return the shard that a features file's provenance tells of; None for a whole file.

        Raises
        ------
        KeyError, TypeError, ValueError
            If it is told in a way that cannot be understood.
        """
        if ATTRIBUTE not in provenance:
            return None
        told = provenance[ATTRIBUTE]
        return cls(
            number=int(told["number"]),
            count=int(told["of"]),
            first=int(told["first_row"]) - 1,
            stop=int(told["last_row"]),
            rows=int(told["rows_of_table"]),
            config_hash=str(told["config_hash_of_whole"]),
        )


def cut(rows: int, count: int) -> list[Shard]:
    """Cut a table into shards.

    Parameters
    ----------
    rows : int
        Of the table.
    count : int
        Shards; each gets at least one row.

    Raises
    ------
    FeatxError
        If there are fewer rows than shards.
    """
    if rows < count:
        raise FeatxError(f"{count} shards, but the image table has {rows} rows; use fewer shards")
    unit = CUT_ROWS
    while unit > 1 and rows < _CUTS_A_SHARD * count * unit:
        unit //= 2
    units = -(-rows // unit)
    edges = [min(rows, unit * (number * units // count)) for number in range(count + 1)]
    return [
        Shard(number + 1, count, edges[number], edges[number + 1], rows) for number in range(count)
    ]


def find(text: str, rows: int) -> Shard:
    """Return the shard that ``--shard K/N`` names, of a table of some rows.

    Raises
    ------
    FeatxError
        If the text is not K/N with K from 1 to N, or the table has fewer than N rows.
    """
    read = re.fullmatch(r"([1-9]\d{0,8})/([1-9]\d{0,8})", text.strip())
    if read is None or int(read[1]) > int(read[2]):
        raise FeatxError(f"--shard {text}: give K/N, the K-th of N shards, with K from 1 to N")
    return cut(rows, int(read[2]))[int(read[1]) - 1]


def others(whole: str | Path, count: int) -> list[tuple[Path, int]]:
    """Return files of shards, finished or not, of other cuts, and of how many shards each is."""
    whole = Path(whole)
    name = re.compile(
        rf"{re.escape(whole.stem)}\.shard-\d+-of-(\d+){re.escape(whole.suffix)}(\.partial)?"
    )
    if not whole.parent.is_dir():
        return []
    return sorted(
        (path, int(found[1]))
        for path in whole.parent.iterdir()
        if (found := name.fullmatch(path.name)) and int(found[1]) != count
    )

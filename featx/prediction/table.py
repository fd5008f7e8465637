"""Predictions as a table: a row a face, and one for a picture without a face."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from featx.atomic import writing

#: Columns of ``predictions.csv`` for a face, after those of its picture.
FACE_COLUMNS = (
    *("box_left", "box_top", "box_right", "box_bottom", "score"),
    *("age", "age_sd", "age_low", "age_high", "age_group", "age_group_probability"),
    *("gender", "gender_probability"),
)


def write_csv(path: Path, records: Sequence[Mapping[str, Any]], kind: str) -> None:
    """Write a row a face; a picture without one keeps a row with its reason."""
    own = ("image",) if kind == "images" else ("frame", "seconds")
    with writing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(
            stream, [*own, "status", "reason", "face", *FACE_COLUMNS], lineterminator="\n"
        )
        writer.writeheader()
        for record in records:
            picture = {name: record[name] for name in (*own, "status", "reason")}
            for row in _rows(record):
                writer.writerow({**picture, **row})


def _rows(record: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    if not record["faces"]:
        yield {}
    for number, face in enumerate(record["faces"], start=1):
        row = {name: value for name, value in face.items() if name != "box"}
        sides = ("box_left", "box_top", "box_right", "box_bottom")
        yield {"face": number, **dict(zip(sides, face["box"], strict=True)), **row}

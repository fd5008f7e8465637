"""Adience: 19,487 faces of 2,284 people in eight groups of ages, five official folds."""

from __future__ import annotations

import io
import re
from pathlib import Path, PurePosixPath

import pandas as pd

from featx.archives import Files
from featx.datasets._registry import register_reader
from featx.errors import FeatxError
from featx.manifest import new_table

#: The eight groups, and the first and last age in years that belong to each. Age 13 belongs to the
#: third: the labels call it (8, 12), the authors' own page 8-13.
GROUPS = {
    "0-2": (0, 2),
    "4-6": (4, 6),
    "8-12": (8, 13),
    "15-20": (15, 20),
    "25-32": (25, 32),
    "38-43": (38, 43),
    "48-53": (48, 53),
    "60-100": (60, 100),
}

_FOLDS = re.compile(r"fold_(?P<frontal>frontal_)?(?P<fold>\d+)_data\.txt")
_NEEDED = ("user_id", "original_image", "face_id", "age", "gender")
_FACE = re.compile(r"(landmark_aligned|coarse_tilt_aligned)_face\.")
_GENDERS = {"f": "female", "m": "male"}
#: The transposed digits of (25, 32), 72 times in the official files.
_TYPOS: dict[tuple[int, ...], tuple[int, int]] = {(25, 23): (25, 32)}


@register_reader("adience")
def read_adience(path: str | Path) -> pd.DataFrame:
    """Read Adience's official folds (Eidinger, Enbar and Hassner 2014, IEEE TIFS 9(12)).

    A label that lies within one of the eight groups is read as that group, be it a span as
    ``(27, 32)`` or a plain age; one that lies between groups or touches several is excluded, as is
    ``None``. The row's reason says what was read otherwise than written.

    Parameters
    ----------
    path : str or Path
        A folder or an archive with ``fold_0_data.txt`` to ``fold_4_data.txt`` (where there are
        none, ``fold_frontal_0_data.txt`` …) and, at any depth, the pictures as
        ``USER/landmark_aligned_face.FACE.PICTURE`` or ``USER/coarse_tilt_aligned_face.…``.

    Returns
    -------
    pandas.DataFrame
        An image table in the order of the folds: `age_group` as ``8-12``, no `age`, `subject` the
        face id, `fold` 0 to 4. A row whose picture is missing is ``corrupt``. 117 rows of the
        official files name a face again; their ids end in ``#2``, ``#3``.

    Raises
    ------
    FeatxError
        If there are no fold files, or one is malformed.
    """
    files = Files(path)
    folds = _fold_files(files)
    if not folds:
        raise FeatxError(f"{path} holds no fold_0_data.txt; give the folder with the fold files")
    pictures = _pictures(files)
    rows = []
    for name, fold in folds:
        for row in _read_fold(files, name).to_dict("records"):
            group, told = read_label(row["age"])
            key = f"{row['user_id']}/{row['face_id']}.{row['original_image']}"
            there = pictures.get(key)
            place = there or f"{row['user_id']}/landmark_aligned_face.{key.partition('/')[2]}"
            status, reason = ("ok", told) if group else ("excluded", told)
            if group and not there:
                status, reason = "corrupt", "; ".join(filter(None, ("not there", told)))
            rows.append(
                {
                    "image": key,
                    "path": files.joined(place),
                    "subject": row["face_id"],
                    "age_group": group,
                    "gender": _GENDERS.get(row["gender"], ""),
                    "dataset": "adience",
                    "fold": fold,
                    "status": status,
                    "reason": reason,
                }
            )
    table = pd.DataFrame(rows)
    repeat = table.groupby("image").cumcount()  # a face that was marked twice in one picture
    table["image"] += [f"#{number + 1}" if number else "" for number in repeat]
    return new_table(table)


def read_label(label: str) -> tuple[str, str]:
    """Return the group that a label is of, and what is to be said about it.

    Parameters
    ----------
    label : str
        As in the fold files: ``(25, 32)``, ``(25, 23)``, ``35``, ``None``.

    Returns
    -------
    group : str
        As ``25-32``; empty where it is of none.
    told : str
        A reason, ``kind: detail``; empty for one of the eight labels.
    """
    numbers = tuple(map(int, re.findall(r"\d+", label)))
    if not numbers:
        return "", f"no age group: {label or 'empty'}"
    low, high = _TYPOS.get(numbers, (numbers[0], numbers[-1]))
    for group, (first, last) in GROUPS.items():
        if first <= low <= high <= last:
            usual = group == "-".join(map(str, numbers))
            return group, "" if usual else f"label read as its group: {label}"
    touched = [group for group, (first, last) in GROUPS.items() if low <= last and high >= first]
    kind = "label in several groups" if len(touched) > 1 else "label between groups"
    return "", f"{kind}: {label}"


def _fold_files(files: Files) -> list[tuple[str, str]]:
    found = [(name, _FOLDS.fullmatch(PurePosixPath(name).name)) for name in files.names]
    named = [(name, match) for name, match in found if match]
    whole = [(name, match["fold"]) for name, match in named if not match["frontal"]]
    return whole or [(name, match["fold"]) for name, match in named]


def _pictures(files: Files) -> dict[str, str]:
    """Return where the pictures lie, by ``USER/FACE.PICTURE``; aligned ones go before others."""
    found: dict[str, str] = {}
    for name in files.names:
        place = PurePosixPath(name)
        kind = _FACE.match(place.name)
        if kind:
            key = f"{place.parent.name}/{place.name[kind.end() :]}"
            if key not in found or kind[1] == "landmark_aligned":
                found[key] = name
    return found


def _read_fold(files: Files, name: str) -> pd.DataFrame:
    try:
        table = pd.read_csv(
            io.BytesIO(files.read(name)), sep="\t", dtype=str, keep_default_na=False
        ).fillna("")
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise FeatxError(f"{files.joined(name)} is no table: {str(error).strip()}") from None
    missing = [column for column in _NEEDED if column not in table]
    if missing:
        raise FeatxError(
            f"{files.joined(name)} has no column {missing[0]}; give the official fold files"
        )
    return table

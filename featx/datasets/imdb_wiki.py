"""IMDB-WIKI: 460,723 images from IMDb and 62,328 from Wikipedia, labelled by a .mat file."""

from __future__ import annotations

import datetime
import io
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pandas as pd
import scipy.io

from featx.archives import Files
from featx.cleaning import Rule, choose, clean
from featx.datasets._registry import register_reader
from featx.errors import FeatxError
from featx.manifest import new_table

#: König (2019), section 3: "Removing samples with age labels outside the 0-100 range, removing
#: samples with a face score below 1.0, removing samples with more than one face per image and
#: lastly, removing samples with missing gender label."
RULES = (
    Rule("age", "age outside 0-100", lambda rows: ~rows["age"].between(0, 100)),
    Rule("face-score", "face score below 1.0", lambda rows: ~(rows["face_score"] >= 1)),
    Rule("second-face", "a second face", lambda rows: rows["second_face_score"].notna()),
    Rule("gender", "gender missing", lambda rows: rows["gender"] == ""),
)

_COLUMNS = ("dob", "photo_taken", "full_path", "gender", "name", "face_score", "second_face_score")

# MATLAB counts days from year 0, Python's ordinals from 1 January of year 1.
_MATLAB_EPOCH = 366


@register_reader("imdb-wiki", rules=RULES)
def read_imdb_wiki(path: str | Path, without: Iterable[str] = ()) -> pd.DataFrame:
    """Read IMDB or WIKI, whole pictures or crops (Rothe, Timofte and Van Gool 2018, IJCV 126).

    The age is that in completed years on 1 July of the year in which the photograph was taken, for
    the day is not known.

    Parameters
    ----------
    path : str or Path
        A folder or an archive with ``imdb.mat`` or ``wiki.mat`` (or both) at any depth, and the
        pictures beside each: the published ``imdb_crop.tar`` as it is, for example.
    without : iterable of str
        Names of rules in `RULES` that are not applied.

    Returns
    -------
    pandas.DataFrame
        An image table in the order of the ``.mat`` files: `subject` is the name of the celebrity
        (IMDB) or of the article (WIKI), `dataset` ``imdb`` or ``wiki``. Rows that break a rule, or
        whose date of birth is none, are kept as ``excluded``; so is an age below 0 whatever the
        rules.

    Raises
    ------
    FeatxError
        If there is no such ``.mat`` file, or one is malformed.
    """
    rules = choose(RULES, without, "imdb-wiki")
    files = Files(path)
    found = [name for name in files.names if PurePosixPath(name).name in ("imdb.mat", "wiki.mat")]
    if not found:
        raise FeatxError(f"{path} holds no imdb.mat or wiki.mat; give the folder or .tar with one")
    rows = pd.concat([_labels(files, name) for name in found], ignore_index=True)
    unborn = rows["age"].isna() | (rows["age"] < 0)
    clean(rows, rules)
    left = unborn & (rows["status"] == "ok")
    rows.loc[left, ["status", "reason"]] = ["excluded", "no age that can be"]
    rows.loc[unborn, "age"] = np.nan
    return new_table(rows)


def _labels(files: Files, name: str) -> pd.DataFrame:
    dataset = PurePosixPath(name).stem
    try:
        record = scipy.io.loadmat(io.BytesIO(files.read(name)))[dataset][0, 0]
        columns = {key: record[key][0] for key in _COLUMNS}
        if any(len(column) != len(columns["dob"]) for column in columns.values()):
            raise ValueError("columns of different lengths")
        people = columns["name"]
        if "celeb_id" in record.dtype.names:  # of IMDB: from 1
            numbers = record["celeb_id"][0].astype(int)
            if numbers.min(initial=1) < 1:
                raise ValueError("a celeb_id below 1")
            people = record["celeb_names"][0][numbers - 1]
    except (KeyError, IndexError, ValueError, TypeError, NotImplementedError) as error:
        raise FeatxError(
            f"{files.joined(name)} is not the published metadata "
            f"({type(error).__name__}: {error}); fetch it again"
        ) from error
    pictures = [_text(cell) for cell in columns["full_path"]]
    beside = PurePosixPath(name).parent
    return pd.DataFrame(
        {
            "image": [f"{dataset}/{picture}" for picture in pictures],
            "path": [files.joined(str(beside / picture)) for picture in pictures],
            "subject": [_text(person) for person in people],
            "age": [
                _age(born, taken)
                for born, taken in zip(columns["dob"], columns["photo_taken"], strict=True)
            ],
            "gender": [{0.0: "female", 1.0: "male"}.get(float(g), "") for g in columns["gender"]],
            "dataset": dataset,
            "status": "ok",
            "reason": "",
            "face_score": columns["face_score"].astype(float),
            "second_face_score": columns["second_face_score"].astype(float),
        }
    )


def _text(cell: Any) -> str:
    """Return what a cell of a .mat file holds, as text."""
    inner = np.asarray(cell).ravel()
    if not len(inner):
        return ""
    return f"{inner[0]:g}" if isinstance(inner[0], np.number) else str(inner[0])


def _age(serial: float, taken: float) -> float:
    """Return completed years on 1 July of the year `taken`; NaN where `serial` is no date."""
    try:
        born = datetime.date.fromordinal(int(serial) - _MATLAB_EPOCH)
    except (ValueError, OverflowError):
        return np.nan
    return float(int(taken) - born.year - ((born.month, born.day) > (7, 1)))

"""Who is who across data sets: one celebrity has one name, however a data set spells it."""

from __future__ import annotations

import unicodedata

import numpy as np
import pandas as pd

#: The data sets whose subjects are the names of well-known people, much the same ones. The subjects
#: of all others are numbers or names of their own.
CELEBRITIES = frozenset({"imdb", "wiki", "agedb", "cacd"})

#: Letters that Unicode does not take apart into a plain one and an accent.
_PLAIN = str.maketrans({"ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "æ": "ae", "œ": "oe"})


def plain_name(name: str) -> str:
    """Return the letters and digits of a name, without case, accents, spaces and marks.

    ``Zoë Kravitz``, ``Zoe_Kravitz`` and ``ZoeKravitz`` are one.
    """
    parts = unicodedata.normalize("NFKD", name.casefold().translate(_PLAIN))
    return "".join(letter for letter in parts if letter.isalnum()) or name


def people(table: pd.DataFrame) -> np.ndarray:
    """Return who is on each row: text that is equal where the person is, over all data sets.

    Parameters
    ----------
    table : pandas.DataFrame
        With `dataset` and `subject`.

    Returns
    -------
    numpy.ndarray
        str objects, shape (rows,); empty where the subject is unknown.
    """
    pairs = table[["dataset", "subject"]].drop_duplicates()
    names = {
        (dataset, subject): _person(dataset, subject)
        for dataset, subject in zip(pairs["dataset"], pairs["subject"], strict=True)
    }
    rows = zip(table["dataset"], table["subject"], strict=True)
    return np.array([names[row] for row in rows], object)


def _person(dataset: str, subject: str) -> str:
    if not subject:
        return ""
    if dataset.lower() in CELEBRITIES:
        return f"celebrity\t{plain_name(subject)}"
    return f"{dataset}\t{subject}"


def one_spelling(table: pd.DataFrame) -> pd.Series:
    """Return each row's subject, spelt as it is where the person is first named.

    Parameters
    ----------
    table : pandas.DataFrame
        With `dataset` and `subject`.
    """
    keys = pd.Series(people(table), index=table.index)
    first = table["subject"].groupby(keys).transform("first")
    return first.where(keys.str.startswith("celebrity\t"), table["subject"])

"""What the labels of an image table say, counted, whatever became of the images."""

from __future__ import annotations

import re

import pandas as pd

#: The columns that are counted by value, and what people call them.
_COLUMNS = {"age_group": "age group", "gender": "gender", "fold": "fold"}


def label_counts(table: pd.DataFrame) -> dict[str, dict[str, int]]:
    """Count an image table's rows by each label that any of them has.

    Parameters
    ----------
    table : pandas.DataFrame
        An image table.

    Returns
    -------
    dict
        By ``age group``, ``gender`` and ``fold``: for each value its number of rows, groups
        youngest first, and under ``none`` those without; a label that no row has is not there.
        ``age`` has only ``known`` and ``none``; ``subjects`` how many are ``different``, and
        ``rows without``.
    """
    found: dict[str, dict[str, int]] = {}
    known = int(table["age"].notna().sum())
    if known:
        found["age"] = _with_none({"known": known}, table)
    for column, told in _COLUMNS.items():
        rows = table.loc[table[column] != "", column].value_counts()
        if len(rows):
            counts = {str(value): int(rows[value]) for value in sorted(rows.index, key=_place)}
            found[told] = _with_none(counts, table)
    people = table.loc[table["subject"] != "", "subject"]
    if len(people):
        found["subjects"] = {"different": people.nunique()}
        if len(people) < len(table):
            found["subjects"]["rows without"] = len(table) - len(people)
    return found


def _with_none(counts: dict[str, int], table: pd.DataFrame) -> dict[str, int]:
    rest = len(table) - sum(counts.values())
    return {**counts, "none": rest} if rest else counts


def _place(value: str) -> tuple[float, str]:
    """Return a key by which 4-6 goes before 15-20, and folds in their order."""
    number = re.match(r"\d+", value)
    return float(number[0]) if number else float("inf"), value

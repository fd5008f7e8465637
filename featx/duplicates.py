"""Byte-identical images, and whether their labels agree."""

from __future__ import annotations

import pandas as pd

# What one and the same picture can have only one of.
_LABELS = ("age", "age_group", "gender", "subject")

_CONFLICT = "conflicting labels: "


def mark_duplicates(table: pd.DataFrame) -> None:
    """Mark all but the first of each group of byte-identical images, in place.

    The first keeps its status; the others become ``duplicate`` and name it in `duplicate_of`, save
    that those of a corrupt file are corrupt themselves. Where ages, groups, genders or subjects
    differ within a group, the `reason` of each of its members says so. Rows that are excluded or
    have no `sha256` take no part.

    Parameters
    ----------
    table : pandas.DataFrame
        An image table.
    """
    taking_part = (table["sha256"] != "") & (table["status"] != "excluded")
    repeated = table["sha256"].duplicated(keep=False)  # spares the loop the lone images
    for _, group in table[taking_part & repeated].groupby("sha256", sort=False):
        first, others = group.iloc[0], list(group.index[1:])
        if first["status"] == "corrupt":
            table.loc[others, "status"] = "corrupt"
            table.loc[others, "reason"] = first["reason"]
            continue
        if not others:
            continue
        table.loc[others, "status"] = "duplicate"
        table.loc[others, "duplicate_of"] = first["image"]
        table.loc[others, "reason"] = f"byte-identical: to {first['image']}"
        conflict = _conflict(group)
        if conflict:
            said = table.loc[group.index, "reason"]
            table.loc[group.index, "reason"] = (said + "; ").where(said != "", "") + conflict


def conflicting(table: pd.DataFrame) -> int:
    """Count the groups of byte-identical images whose labels `mark_duplicates` found to differ."""
    return int(table.loc[has_conflict(table), "sha256"].nunique())


def has_conflict(table: pd.DataFrame) -> pd.Series:
    """Tell which rows have a byte-identical twin with other labels (bool, a value a row)."""
    return table["reason"].str.contains(_CONFLICT, regex=False)


def own_reason(reason: str) -> str:
    """Return a reason without what `mark_duplicates` said of conflicting labels."""
    return reason.split(_CONFLICT)[0].removesuffix("; ")


def _conflict(group: pd.DataFrame) -> str:
    differing = []
    for label in _LABELS:
        values = group[label].dropna() if label == "age" else group[label][group[label] != ""]
        distinct = [f"{value:g}" if label == "age" else value for value in values.unique()]
        if len(distinct) > 1:
            differing.append(f"{label} {', '.join(distinct)}")
    return _CONFLICT + "; ".join(differing) if differing else ""

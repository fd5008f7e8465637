"""The list of judged labels that a person can look through, change, and have applied."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from featx.atomic import writing
from featx.errors import FeatxError
from featx.manifest import floats, read_csv_text
from regress.label_cleaning import DROP, KEEP

#: Columns of ``review.csv``, in order. Of these `decision` and `reason` may be changed.
COLUMNS = (
    *("image", "picture", "age", "age_group", "bin", "bins"),
    *("probability", "expected_age", "decision", "reason"),
)

_BY_HAND = "review: dropped by hand"


def review_list(table: pd.DataFrame, judged: pd.DataFrame) -> pd.DataFrame:
    """Return the judged labels, the least believed first.

    Parameters
    ----------
    table : pandas.DataFrame
        An image table.
    judged : pandas.DataFrame
        What `regress.label_cleaning.judge_labels` made of it.

    Returns
    -------
    pandas.DataFrame
        `COLUMNS`, a row a judged image by rising probability, in the table's order where equal;
        `picture` is the crop or, where there is none, the source.
    """
    rows = np.flatnonzero((judged["decision"] != "").to_numpy())
    some = table.iloc[rows]
    listed = some[["image", "age", "age_group"]].join(judged.iloc[rows])
    ordered = listed.assign(picture="").sort_values("probability", kind="stable")
    return with_pictures(ordered[list(COLUMNS)].reset_index(drop=True), table)


def with_pictures(listed: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    """Return a review list whose `picture` leads where the table's crop or source does."""
    pictures = table["crop"].where(table["crop"] != "", table["path"])
    found = dict(zip(table["image"], pictures, strict=True))
    return listed.assign(picture=listed["image"].map(found))


def write_review(listed: pd.DataFrame, path: Path) -> None:
    """Write a review list as CSV, atomically: probabilities to six digits, ages as they are."""
    told = listed.assign(
        probability=listed["probability"].map("{:.6f}".format, na_action="ignore"),
        expected_age=listed["expected_age"].map("{:.2f}".format, na_action="ignore"),
    )
    with writing(path) as temporary:
        told.to_csv(temporary, index=False, lineterminator="\n")


def read_review(path: str | Path) -> pd.DataFrame:
    """Read a review list, as `write_review` wrote it or a person changed it.

    Returns
    -------
    pandas.DataFrame
        `COLUMNS`; those that a person took away are empty, save the needed ``image`` and
        ``decision``.

    Raises
    ------
    FeatxError
        If it is no such table, a decision is neither keep nor drop, or an image is there twice.
    """
    path = Path(path)
    listed = read_csv_text(path)
    for column in ("image", "decision"):
        if column not in listed:
            raise FeatxError(
                f"{path} has no column {column!r}; give the review.csv of `featx clean`, with "
                "commas between its columns"
            )
    listed["decision"] = listed["decision"].str.strip().str.lower()
    odd = np.flatnonzero(~listed["decision"].isin((KEEP, DROP)).to_numpy())
    if len(odd):
        raise FeatxError(
            f"{path}, line {odd[0] + 2}: the decision on image {listed['image'][odd[0]]!r} is "
            f"{listed['decision'][odd[0]]!r} ({len(odd)} such lines); write {KEEP} or {DROP}"
        )
    twice = np.flatnonzero(listed["image"].duplicated().to_numpy())
    if len(twice):
        raise FeatxError(
            f"{path}, line {twice[0] + 2}: image {listed['image'][twice[0]]!r} is there twice; "
            "delete one of its lines"
        )
    for column in ("age", "probability", "expected_age"):
        listed[column] = floats(listed[column]) if column in listed else np.nan
    return listed.reindex(columns=list(COLUMNS), fill_value="")


def apply_review(table: pd.DataFrame, listed: pd.DataFrame, where: str) -> pd.DataFrame:
    """Return an image table in which the images that a review list drops are excluded.

    Nothing else is changed. A dropped row's `reason` is the list's or, where that is empty, says
    that it was dropped by hand; what its reason said before stands behind it.

    Parameters
    ----------
    table : pandas.DataFrame
        The table that was judged.
    listed : pandas.DataFrame
        From `review_list` or `read_review`. Images that are not on it stay as they are.
    where : str
        The list's name, for messages.

    Raises
    ------
    FeatxError
        If an image of the list is not in the table, is not ok there, or has another label.
    """
    rows = pd.Index(table["image"]).get_indexer(pd.Index(listed["image"]))
    _refuse(rows < 0, "is not in the table", listed, where)
    here = table.iloc[rows]
    ages, told = here["age"].to_numpy(float), listed["age"].to_numpy(float)
    groups, told_groups = here["age_group"].to_numpy(object), listed["age_group"].to_numpy(object)
    other = (~np.isnan(told) & (ages != told)) | ((told_groups != "") & (groups != told_groups))
    unusable = (here["status"] != "ok").to_numpy()
    _refuse(unusable, "has a status other than ok in the table", listed, where)
    _refuse(other, "has another age in the table", listed, where)
    drop = np.flatnonzero((listed["decision"] == DROP).to_numpy())
    cleaned = table.copy()
    places = table.index[rows[drop]]
    reasons = listed["reason"].iloc[drop].where(lambda text: text != "", _BY_HAND).to_numpy(object)
    former = table.loc[places, "reason"].to_numpy(object)
    cleaned.loc[places, "status"] = "excluded"
    cleaned.loc[places, "reason"] = [
        f"{reason}; {before}" if before else reason
        for reason, before in zip(reasons, former, strict=True)
    ]
    return cleaned


def _refuse(wrong: np.ndarray, what: str, listed: pd.DataFrame, where: str) -> None:
    if wrong.any():
        first = listed["image"].iloc[int(np.flatnonzero(wrong)[0])]
        raise FeatxError(
            f"{where}: image {first!r} {what} ({int(wrong.sum())} such images); give the table "
            "that was judged"
        )


def summarise(table: pd.DataFrame, listed: pd.DataFrame, unjudged: Sequence[str]) -> dict[str, Any]:
    """Count what became of a table's labels.

    Parameters
    ----------
    table : pandas.DataFrame
        The image table.
    listed : pandas.DataFrame
        The review list.
    unjudged : sequence of str
        Why each image that is not on the list is not, where that is known.

    Returns
    -------
    dict
        ``n_total``, ``judged``, ``dropped``, ``not_judged``, ``why_not`` (counts by what stands
        before a reason's colon, the most frequent first) and ``bins`` (for each bin of a label,
        oldest last, ``judged`` and ``dropped``).
    """
    kinds = [reason.partition(":")[0] for reason in unjudged]
    why = pd.Series(kinds, dtype=object).value_counts()
    drop = listed["decision"] == DROP
    bins = sorted(set(listed["bin"]) - {""}, key=lambda name: (len(name.partition("-")[0]), name))
    return {
        "n_total": len(table),
        "judged": len(listed),
        "dropped": int(drop.sum()),
        "not_judged": len(table) - len(listed),
        "why_not": {str(reason): int(n) for reason, n in why.items()},
        "bins": {
            name: {
                "judged": int((listed["bin"] == name).sum()),
                "dropped": int((drop & (listed["bin"] == name)).sum()),
            }
            for name in bins
        },
    }

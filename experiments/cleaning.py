"""A noisy image table without the labels that a tentative model does not believe.

Nothing is deleted and no picture is copied: a new table stands beside a list that can be reviewed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from experiments.judges import Judge, judge_by_run, run_of
from featx import __version__
from featx.atomic import remove_leftovers, write_json
from featx.errors import FeatxError
from featx.file_hash import file_sha256
from featx.manifest import read_table, table_file, write_table
from featx.preparation import count
from featx.prepared import prepared
from regress.label_cleaning import Rule, default_bins, judge_labels
from regress.probabilities import Probabilities
from regress.review import (
    apply_review,
    read_review,
    review_list,
    summarise,
    with_pictures,
    write_review,
)

RECORD = "clean.json"

#: What an unfinished run may have left in its folder.
_OWN = ("images.csv", "review.csv", "prepare.json", "softmax.h5", "softmax.h5.partial")


@dataclass(frozen=True)
class Cleaning:
    """What is to be done, settled before anything is computed or written.

    Attributes
    ----------
    path : Path
        The image table.
    table : pandas.DataFrame
        As read, with paths that start from the output folder.
    out : Path
        The folder to write.
    settings : dict
        What determines the result, as JSON values.
    judge : Judge or None
        Who judges; None where a reviewed list is applied.
    rule : Rule or None
        By what.
    review : Path or None
        The reviewed list.
    """

    path: Path
    table: pd.DataFrame
    out: Path
    settings: dict[str, Any]
    judge: Judge | None = None
    rule: Rule | None = None
    review: Path | None = None

    @property
    def caveats(self) -> Sequence[str]:
        """What a reader must know."""
        return () if self.judge is None else self.judge.caveats


@dataclass(frozen=True)
class Cleaned:
    """A cleaned table, not written yet.

    Attributes
    ----------
    table, review : pandas.DataFrame
        The new image table, and the list of what was judged.
    counts : dict
        See `regress.review.summarise`.
    """

    table: pd.DataFrame
    review: pd.DataFrame
    counts: dict[str, Any]


def plan_judging(
    path: Path,
    source: Path,
    out: Path,
    *,
    bins: tuple[str, ...] | None = None,
    least: float = 0.4,
    neighbours: int = 1,
    leave_seen: bool = False,
    **options: Any,
) -> Cleaning:
    """Plan to judge a table's labels by a tentative model.

    Parameters
    ----------
    path : Path
        The image table, or the folder that holds it.
    source : Path
        A run's folder, whose out-of-fold predictions judge, or a fine-tuned network's file.
    out : Path
        The folder to write.
    bins, least, neighbours
        See `regress.label_cleaning.Rule`; by default `default_bins`.
    leave_seen, **options
        Of a network, see `experiments.network_judge.judge_by_network`.

    Raises
    ------
    FeatxError
        If the table or the source cannot be read, or the source may not judge: see `judge_by_run`
        and `judge_by_network`.
    """
    path, table, settings = _read(path)
    run = run_of(source)
    judge: Judge
    if run is not None:
        if leave_seen:
            raise FeatxError("--leave-seen goes with a network; a run's folds have seen nobody")
        judge = judge_by_run(run, table)
    else:
        from experiments.network_judge import judge_by_network

        judge = judge_by_network(source, path, table, leave_seen=leave_seen, **options)
    rule = Rule(bins or default_bins(judge.classes), least, neighbours)
    settings |= {
        "judge": judge.describe(),
        "bins": list(rule.bins),
        "least": least,
        "neighbours": neighbours,
    }
    return Cleaning(path, _moved(table, path.parent, out), out, settings, judge, rule)


def plan_review(path: Path, review: Path, out: Path) -> Cleaning:
    """Plan to exclude what a reviewed list drops.

    Raises
    ------
    FeatxError
        If a file cannot be read.
    """
    path, table, settings = _read(path)
    settings["review_sha256"] = file_sha256(review)
    return Cleaning(path, _moved(table, path.parent, out), out, settings, review=review)


def finished(plan: Cleaning, *, resume: bool) -> bool:
    """Tell whether the output folder holds the finished result of the same plan.

    Raises
    ------
    FeatxError
        If it is not empty (and not `resume`), or holds anything else.
    """
    out = plan.out
    if out.exists() and not out.is_dir():
        raise FeatxError(f"{out} is a file; give a folder")
    if not out.exists() or not any(out.iterdir()):
        return False
    if not resume:
        raise FeatxError(f"{out} is not empty; add --resume to go on with it, or give another -o")
    if not (out / RECORD).is_file():
        foreign = [f.name for f in out.iterdir() if f.name not in _OWN and f.name[0] != "."]
        if foreign:
            raise FeatxError(
                f"{out} holds {foreign[0]}, no output of featx clean to resume; give another -o"
            )
        return False
    try:
        former = json.loads((out / RECORD).read_text(encoding="utf-8"))["settings"]
    except (OSError, ValueError, KeyError, TypeError):
        raise FeatxError(f"{out / RECORD} is damaged; give another -o") from None
    if former != json.loads(json.dumps(plan.settings)):
        raise FeatxError(f"{out} was made from another table, judge, list or rule; give another -o")
    return True


def preview(plan: Cleaning) -> Cleaned:
    """Return what would come of a plan, without computing or writing anything that takes long.

    Where the judge is not quick, who would be judged is true, and the decisions mean nothing.
    """
    if plan.judge is None or plan.judge.quick:
        return carry_out(plan, resume=False)
    missing = plan.judge.unheard()
    k = len(plan.judge.classes)
    even = np.where((missing == "")[:, None], np.full((1, k), 1 / k), np.nan)
    assert plan.rule is not None
    return _judged(plan, Probabilities(plan.judge.classes, even), missing, plan.rule)


def carry_out(plan: Cleaning, *, resume: bool) -> Cleaned:
    """Judge the labels, or read the reviewed list, and make the new table; nothing is written.

    Save by a network, which keeps its probabilities in the output folder.

    Raises
    ------
    FeatxError
        If no image can be judged, or a network cannot be run; as `judge_labels`, `read_review` and
        `apply_review`.
    """
    if plan.judge is not None:
        assert plan.rule is not None
        if not plan.judge.quick:
            _check_any(plan, preview(plan))
        given, missing = plan.judge.probabilities(plan.out, resume=resume)
        cleaned = _judged(plan, given, missing, plan.rule)
        _check_any(plan, cleaned)
        return cleaned
    assert plan.review is not None
    review = read_review(plan.review)
    table = apply_review(plan.table, review, str(plan.review))
    review = with_pictures(review, plan.table)
    left = plan.table[~plan.table["image"].isin(review["image"])]
    usable = left["status"] == "ok"
    why = ("status " + left["status"]).where(~usable, "not on the list")
    return Cleaned(table, review, summarise(plan.table, review, why.tolist()))


def _check_any(plan: Cleaning, cleaned: Cleaned) -> None:
    if not len(cleaned.review):
        why = ", ".join(f"{n}: {reason}" for reason, n in cleaned.counts["why_not"].items())
        raise FeatxError(f"{plan.path}: no image can be judged ({why or 'it has no rows'})")


def _judged(plan: Cleaning, given: Probabilities, missing: np.ndarray, rule: Rule) -> Cleaned:
    judged = judge_labels(plan.table, given, rule, missing.tolist())
    review = review_list(plan.table, judged)
    table = apply_review(plan.table, review, "the judgement")
    unjudged = judged["reason"][judged["decision"] == ""].tolist()
    return Cleaned(table, review, summarise(plan.table, review, unjudged))


def write_cleaned(plan: Cleaning, cleaned: Cleaned) -> None:
    """Write the table, the list and their record; the record comes last and marks them as whole.

    Raises
    ------
    FeatxError
        If they cannot be written.
    """
    out = plan.out
    write_table(cleaned.table, out / "images.csv")
    write_review(cleaned.review, out / "review.csv")
    told = prepared(plan.path.parent / "prepare.json")
    if isinstance(told, dict):  # the crops are the same; networks learn from it how they were made
        counts = count(cleaned.table)
        write_json(out / "prepare.json", {**told, **counts, "cleaned": plan.settings})
    source = plan.review or (plan.judge and plan.judge.source)
    write_json(
        out / RECORD,
        {
            "featx": __version__,
            "table": str(plan.path.absolute()),
            "source": str(source),
            "settings": plan.settings,
            "caveats": list(plan.caveats),
            "counts": cleaned.counts,
        },
    )
    remove_leftovers(out)


def _read(path: Path) -> tuple[Path, pd.DataFrame, dict[str, Any]]:
    path = table_file(path)
    table = read_table(path)
    return path, table, {"table_sha256": file_sha256(path)}


def _moved(table: pd.DataFrame, folder: Path, out: Path) -> pd.DataFrame:
    """Return the table with relative paths that lead to the same files from another folder."""
    way = os.path.relpath(folder.resolve(), out.resolve())
    moved = table.copy()
    for column in ("path", "crop"):
        moved[column] = [
            name if not name or Path(name).is_absolute() or way == "." else f"{way}/{name}"
            for name in table[column]
        ]
    return moved

"""Rules by which labelled images are left out of a noisy set, each with a name and a count."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from featx.errors import FeatxError, unknown


@dataclass(frozen=True)
class Rule:
    """One reason to leave images out.

    Attributes
    ----------
    name : str
        For ``--without-rule``.
    reason : str
        Written to the row; rows are counted by it.
    broken_by : callable
        From the labels (a table) to bool, a value a row: True where the image is left out.
    """

    name: str
    reason: str
    broken_by: Callable[[pd.DataFrame], pd.Series]


def choose(rules: Sequence[Rule], without: Iterable[str], dataset: str) -> list[Rule]:
    """Return the rules that are in force.

    Raises
    ------
    FeatxError
        If a rule to be left out is none of the data set's.
    """
    names = [rule.name for rule in rules]
    without = list(without)
    for name in without:
        if not names:
            raise FeatxError(f"--without-rule {name}: {dataset} has no cleaning rules")
        if name not in names:
            raise unknown(f"cleaning rule of {dataset}", name, names)
    return [rule for rule in rules if rule.name not in without]


def clean(rows: pd.DataFrame, rules: Sequence[Rule]) -> None:
    """Exclude the rows that break a rule, in place.

    The rules are applied one after the other, as a paper lists them: a row is counted under the
    first that it breaks.

    Parameters
    ----------
    rows : pandas.DataFrame
        With the columns that the rules look at; `status` and `reason` are changed.
    rules : sequence of Rule
        In order.
    """
    for rule in rules:
        broken = rule.broken_by(rows).to_numpy(bool) & (rows["status"] == "ok").to_numpy(bool)
        rows.loc[np.flatnonzero(broken), ["status", "reason"]] = ["excluded", rule.reason]

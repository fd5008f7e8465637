"""Which labels a tentative model does not believe: bins of ages, and how likely they are.

Kjærran, Bugge and Vennerød (2021), AgeNet, section 3.2.4: "An image was classified as mislabelled
and thus removed if the model predicted less than a 40% chance that the image belonged to the
labelled bin or its two adjacent bins."
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from featx.errors import FeatxError
from regress.expected_age import class_years
from regress.grouping import group_bounds, group_of
from regress.probabilities import Probabilities

#: AgeNet's ten bins (section 3.2.3), the last to the oldest of UTKFace.
AGENET_BINS = (
    *("0-2", "3-6", "7-12", "13-17", "18-22"),
    *("23-26", "27-33", "34-44", "45-59", "60-116"),
)

KEEP, DROP = "keep", "drop"


@dataclass(frozen=True)
class Rule:
    """When a label is not believed.

    Attributes
    ----------
    bins : tuple of str
        First and last ages in years, both included, youngest first, as ``3-6``.
    least : float
        The label's bin and its neighbours must together have this probability.
    neighbours : int
        How many bins count on either side; the first and the last bin have those that there are.

    Raises
    ------
    FeatxError
        If `least` or `neighbours` is out of range.
    """

    bins: tuple[str, ...]
    least: float = 0.4
    neighbours: int = 1

    def __post_init__(self) -> None:
        """Check the numbers."""
        if not 0 < self.least <= 1:
            raise FeatxError(f"--least {self.least:g}: give a probability above 0, and at most 1")
        if self.neighbours < 0:
            raise FeatxError(f"--neighbours {self.neighbours}: give 0 or more bins on either side")

    def span(self, number: int) -> tuple[int, int]:
        """Return the first and the last bin that count for a label's bin, by their places."""
        last = len(self.bins) - 1
        return max(0, number - self.neighbours), min(last, number + self.neighbours)

    def told_span(self, number: int) -> str:
        """Return the bins that count for a label's bin in words."""
        first, last = self.span(number)
        return self.bins[first] if first == last else f"{self.bins[first]} to {self.bins[last]}"

    def reason(self, number: int, probability: float) -> str:
        """Return why a label in a bin is not believed."""
        first, last = self.span(number)
        noun, verb = ("bin", "has") if first == last else ("bins", "have")
        told = f"{probability:.2f}"
        if float(told) >= self.least:  # 0.3996 is no 0.40 that would be under 0.40
            told = f"{probability:.6f}"
        least = f"{self.least:.2f}" if round(self.least, 2) == self.least else f"{self.least:g}"
        return f"tentative model: {noun} {self.told_span(number)} {verb} {told}, under {least}"


def default_bins(classes: np.ndarray) -> tuple[str, ...]:
    """Return the bins of class probabilities: their own groups, or of single years AgeNet's ten."""
    return tuple(classes.tolist()) if _named(classes) else AGENET_BINS


def judge_labels(
    table: pd.DataFrame, given: Probabilities, rule: Rule, missing: Sequence[str] | None = None
) -> pd.DataFrame:
    """Say of each label whether the class probabilities of its image bear it out.

    Parameters
    ----------
    table : pandas.DataFrame
        With `status`, `age` (years, NaN where unknown) and `age_group`, a row an image. A group
        stands before an age, as in training.
    given : Probabilities
        A row an image of the table, in its order; NaN where there are none.
    rule : Rule
        When a label is not believed.
    missing : sequence of str, optional
        Why a row has no probabilities, for those that have none.

    Returns
    -------
    pandas.DataFrame
        With the table's index: ``bin``, that of the label; ``bins``, those that count;
        ``probability`` of these together; ``expected_age`` in years, Σ a·p(a) of the classes' ages
        or of their groups' middles; ``decision``, ``keep``, ``drop``, or empty where the label is
        not judged; ``reason`` of a drop, or why it is not judged. What does not apply is empty or
        NaN.

    Raises
    ------
    FeatxError
        If a class is of several bins.
    """
    numbers = np.arange(len(rule.bins))
    of_class = _bin_of_class(given.classes, rule.bins)
    in_bins = given.values @ (of_class[:, None] == numbers).astype(float)
    expected = given.values @ class_years(given.classes)
    place = label_bins(table, rule.bins)
    counting = np.abs(numbers - place[:, None]) <= rule.neighbours
    hindered = [
        (table["status"] != "ok").to_numpy(),
        place < 0,
        np.isnan(expected),
        ~np.isin(place, of_class),
    ]
    why = [
        ("status " + table["status"]).to_numpy(object),
        np.array("the label is in none of the bins", object),
        np.array("no class probabilities" if missing is None else list(missing), object),
        np.array("the model tells no age of the label's bin", object),
    ]
    judged = ~np.any(hindered, axis=0)
    together = np.where(judged, (in_bins * counting).sum(axis=1), np.nan)
    drop = together < rule.least
    reason = np.select(hindered, why, default="").astype(object)
    for row in np.flatnonzero(drop):
        reason[row] = rule.reason(int(place[row]), float(together[row]))
    spans = [rule.told_span(number) for number in range(len(rule.bins))]
    return pd.DataFrame(
        {
            "bin": np.array([*rule.bins, ""], object)[place],
            "bins": np.array([*spans, ""], object)[place],
            "probability": together,
            "expected_age": expected,
            "decision": np.select([drop, judged], [DROP, KEEP], ""),
            "reason": reason,
        },
        index=table.index,
    )


def label_bins(table: pd.DataFrame, bins: Sequence[str]) -> np.ndarray:
    """Return the place of the bin that each label lies in, -1 for none: int64 (rows,).

    Parameters
    ----------
    table : pandas.DataFrame
        With `age` and `age_group`. A row's group counts where it has one: it must lie within the
        bin. An age counts by its completed years.
    bins : sequence of str
        As of `Rule`.
    """
    ages = table["age"].to_numpy(float)
    place = np.full(len(table), -1)
    place[~np.isnan(ages)] = group_of(ages[~np.isnan(ages)], bins)
    groups = table["age_group"].to_numpy(object)
    for group in set(groups) - {""}:
        place[groups == group] = _bin_of_group(group, bins)
    return place


def _bin_of_group(group: str, bins: Sequence[str]) -> int:
    try:
        ((low, high),) = group_bounds([group])
    except FeatxError:  # a label such as "adult"
        return -1
    spans = group_bounds(bins)
    holding = np.flatnonzero((spans[:, 0] <= low) & (high <= spans[:, 1]))
    return int(holding[0]) if len(holding) else -1


def _bin_of_class(classes: np.ndarray, bins: Sequence[str]) -> np.ndarray:
    """Return the place of each class's bin, -1 where it lies outside all: int64 (classes,)."""
    if not _named(classes):
        return group_of(classes, bins)
    spans = group_bounds(bins)
    for name, (low, high) in zip(classes, group_bounds(classes), strict=True):
        touching = (spans[:, 0] <= high) & (low <= spans[:, 1])
        if touching.any() and _bin_of_group(str(name), bins) < 0:
            raise FeatxError(
                f"the model's class {name} lies only in part in the bin "
                f"{bins[int(touching.argmax())]}: give --bins that hold its classes whole "
                f"({', '.join(classes)})"
            )
    return np.array([_bin_of_group(str(name), bins) for name in classes])


def _named(classes: np.ndarray) -> bool:
    return classes.dtype.kind == "U"

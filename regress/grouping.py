"""Runs of ages, or of finer age groups, read as runs of given age groups."""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from featx.errors import FeatxError
from regress.predictions import Run

_SPAN = re.compile(r"\s*(\d{1,3})\s*-\s*(\d{1,3})\s*")


def parse_groups(text: str, option: str = "--groups") -> tuple[str, ...]:
    """Read groups as ``0-12,15-20,25-100``: first and last age in years, both included.

    `option` is where they were given, for messages.

    Raises
    ------
    FeatxError
        If a span is malformed, or the spans are fewer than two, overlap or are out of order.
    """
    spans = []
    for part in text.split(","):
        found = _SPAN.fullmatch(part)
        if found is None or int(found[1]) > int(found[2]):
            raise FeatxError(f"{option} {text}: {part.strip()!r} is no span of ages, as 15-20")
        spans.append((int(found[1]), int(found[2])))
    if len(spans) < 2 or any(a[1] >= b[0] for a, b in itertools.pairwise(spans)):
        raise FeatxError(f"{option} {text}: give two spans or more, in order and without overlap")
    return tuple(f"{low}-{high}" for low, high in spans)


def into_groups(run: Run, groups: tuple[str, ...]) -> Run:
    """Return a run as one of age groups.

    An age counts by its completed years. Images whose true age, or whose true group, is in none of
    the groups are left out and counted (``outside_groups``); a prediction that is in none goes to
    the nearest, the younger of two that are equally near. A predicted age stays in the table as
    ``predicted_age``.

    Parameters
    ----------
    run : Run
        Of ages, or of groups.
    groups : tuple of str
        From `parse_groups`.

    Raises
    ------
    FeatxError
        If no image is in a group, or the run is of neither ages nor age groups.
    """
    if run.task not in ("age", "age-group"):
        raise FeatxError(f"{run.folder} predicts {run.task}, which has no groups of ages")
    if run.groups == groups:
        return run
    table = run.predictions
    if run.groups:
        true, guess = (group_bounds(table[name]) for name in run.columns)
        nearest = _nearest(guess, groups, 0)
    else:
        true = np.repeat(np.floor(table["age"].to_numpy(float))[:, None], 2, axis=1)
        nearest = nearest_group(table["predicted_age"], groups)
    bounds = group_bounds(groups)
    holding = (true[:, None, 0] >= bounds[None, :, 0]) & (true[:, None, 1] <= bounds[None, :, 1])
    inside = holding.any(axis=1)
    if not inside.any():
        raise FeatxError(f"{run.folder}: no image is in one of the groups {', '.join(groups)}")
    names = np.array(groups)
    kept = pd.DataFrame(
        {
            **{name: table[name] for name in ("image", "subject", "fold", "age")},
            "age_group": names[holding.argmax(axis=1)],
            "predicted_group": names[nearest],
            **({} if run.groups else {"predicted_age": table["predicted_age"]}),
        }
    )
    kept = kept.iloc[np.flatnonzero(inside)].reset_index(drop=True)
    info = {
        **run.info,
        "task": "age-group",
        "groups": list(groups),
        "outside_groups": int((~inside).sum()),
    }
    return dataclasses.replace(run, info=info, predictions=kept)


def group_bounds(groups: Iterable[str]) -> np.ndarray:
    """Return first and last ages of groups in years, both included, float64 (n, 2).

    Raises
    ------
    FeatxError
        If a name is no span of ages.
    """
    bounds = []
    for name in groups:
        span = _SPAN.fullmatch(name)
        if span is None:
            raise FeatxError(f"the group {name!r} is no span of ages, as 15-20")
        bounds.append((float(span[1]), float(span[2])))
    return np.array(bounds, float).reshape(-1, 2)


def group_of(ages: ArrayLike, groups: Sequence[str]) -> np.ndarray:
    """Return the place in `groups` of the one that holds each age, -1 for none: int64 (n,).

    An age counts by its completed years: 20.7 lies in 15-20, and 21 does not.
    """
    years = np.floor(np.asarray(ages, float))[:, None]
    bounds = group_bounds(groups)
    inside = (years >= bounds[:, 0]) & (years <= bounds[:, 1])
    return np.where(inside.any(axis=1), inside.argmax(axis=1), -1)


def nearest_group(ages: ArrayLike, groups: Sequence[str]) -> np.ndarray:
    """Return the place in `groups` of the one that holds each age or is nearest to it: int64 (n,).

    An age counts by its completed years, and is as far from a group as from the first day of it or
    from that after its last; of two groups that are equally near it is the younger.
    """
    years = np.asarray(ages, float)
    # a predicted 20.7 is still 20 years: a group of ages ends where the next year begins
    return _nearest(np.repeat(years[:, None], 2, axis=1), groups, 1)


def _nearest(spans: np.ndarray, groups: Sequence[str], year: int) -> np.ndarray:
    """Return the nearest group of each span of ages; `year` is the length of a group's last."""
    bounds = group_bounds(groups)
    ends = bounds[None, :, 1] + year
    below, above = bounds[None, :, 0] - spans[:, None, 1], spans[:, None, 0] - ends
    within = (below <= 0) & ((above < 0) if year else (above <= 0))
    return np.where(within, -1.0, np.maximum(below, above)).argmin(axis=1)


def have_gaps(groups: Sequence[str]) -> bool:
    """Tell whether there are ages between the first and the last of some groups in none of them."""
    bounds = group_bounds(groups)
    return bool((bounds[1:, 0] > bounds[:-1, 1] + 1).any())

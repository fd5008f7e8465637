"""Runs of ages, or of finer age groups, read as runs of given age groups."""

from __future__ import annotations

import dataclasses
import itertools
import re

import numpy as np
import pandas as pd

from featx.errors import FeatxError
from regress.predictions import Run

_SPAN = re.compile(r"\s*(\d{1,3})\s*-\s*(\d{1,3})\s*")


def parse_groups(text: str) -> tuple[str, ...]:
    """Read groups as ``0-12,15-20,25-100``: first and last age in years, both included.

    Raises
    ------
    FeatxError
        If a span is malformed, or the spans are fewer than two, overlap or are out of order.
    """
    spans = []
    for part in text.split(","):
        found = _SPAN.fullmatch(part)
        if found is None or int(found[1]) > int(found[2]):
            raise FeatxError(f"--groups {text}: {part.strip()!r} is no span of ages, as 15-20")
        spans.append((int(found[1]), int(found[2])))
    if len(spans) < 2 or any(a[1] >= b[0] for a, b in itertools.pairwise(spans)):
        raise FeatxError(f"--groups {text}: give two spans or more, in order and without overlap")
    return tuple(f"{low}-{high}" for low, high in spans)


def into_groups(run: Run, groups: tuple[str, ...]) -> Run:
    """Return a run as one of age groups.

    An age counts by its completed years. Images whose true age, or whose true group, is in none of
    the groups are left out and counted (``outside_groups``); a prediction that is in none goes to
    the nearest, the younger of two that are equally near.

    Parameters
    ----------
    run : Run
        Of ages, or of groups.
    groups : tuple of str
        From `parse_groups`.

    Raises
    ------
    FeatxError
        If no image is in a group.
    """
    if run.groups == groups:
        return run
    table = run.predictions
    if run.groups:
        true, guess = (_spans(table[name]) for name in ("age_group", "predicted_group"))
    else:
        true = np.repeat(np.floor(table["age"].to_numpy(float))[:, None], 2, axis=1)
        guess = np.repeat(table["predicted_age"].to_numpy(float)[:, None], 2, axis=1)
    bounds = _spans(pd.Series(groups))
    holding = (true[:, None, 0] >= bounds[None, :, 0]) & (true[:, None, 1] <= bounds[None, :, 1])
    inside = holding.any(axis=1)
    if not inside.any():
        raise FeatxError(f"{run.folder}: no image is in one of the groups {', '.join(groups)}")
    # a predicted 20.7 is still 20 years: a group of ages ends where the next year begins
    ends = bounds[None, :, 1] + (0 if run.groups else 1)
    below, above = bounds[None, :, 0] - guess[:, None, 1], guess[:, None, 0] - ends
    within = (below <= 0) & ((above <= 0) if run.groups else (above < 0))
    nearest = np.where(within, -1.0, np.maximum(below, above)).argmin(axis=1)
    names = np.array(groups)
    kept = pd.DataFrame(
        {
            **{name: table[name] for name in ("image", "subject", "fold", "age")},
            "age_group": names[holding.argmax(axis=1)],
            "predicted_group": names[nearest],
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


def _spans(groups: pd.Series) -> np.ndarray:
    """Return first and last ages of groups in years, float64 (n, 2)."""
    return groups.str.split("-", expand=True).to_numpy(float)

"""The images with the largest errors as the page lists them, with or without their pictures."""

from __future__ import annotations

from typing import Any

import pandas as pd

from regress.image_facts import SHOWABLE, ImageFacts
from regress.report.formats import NOTHING, number, signed
from regress.report.thumbnails import thumbnail


def worst_section(worst: pd.DataFrame, facts: ImageFacts, images: bool | None) -> dict[str, Any]:
    """Return what the page tells of the worst images.

    Parameters
    ----------
    worst : pandas.DataFrame
        From `regress.worst_images.worst_images`.
    facts : ImageFacts
        Of these images among others.
    images : bool or None
        Whether to show the pictures; None for where no data set's terms forbid it.

    Returns
    -------
    dict
        ``rows`` (image, cells, picture as a ``data:`` URI or empty), ``any_picture``, and ``why``,
        which says what was left out and what shows it; empty where nothing was.
    """
    show = facts.may_be_shown if images is None else images
    pictures, failures = {}, {}
    if show:
        known = facts.table["picture"].reindex(worst["image"], fill_value="")
        for image, path in known[known != ""].items():
            try:
                pictures[image] = thumbnail(path)
            except OSError as error:
                failures[image] = f"{path}: {error}"
    rows = [
        (
            row["image"],
            [
                row["subject"] or NOTHING,
                number(row["age"], 0 if row["age"] == round(row["age"]) else 1),
                number(row["predicted_age"], 1),
                signed(row["error"], 1),
                number(row["median_absolute_error"], 1),
            ],
            pictures.get(row["image"], ""),
        )
        for row in worst.to_dict("records")
    ]
    why = _absent(facts, len(worst) - len(pictures), failures) if show else _hidden(facts, images)
    return {"rows": rows, "any_picture": bool(pictures), "why": why}


def _hidden(facts: ImageFacts, images: bool | None) -> str:
    """Say why no picture was asked for."""
    if images is not None:
        return "The pictures are left out, as --no-images asked for."
    others = [name for name in facts.datasets if name not in SHOWABLE]
    if not others:
        return (
            "The pictures are left out, since it is not recorded which data set they are of, and "
            "its terms may forbid to show them; --images shows them."
        )
    return (
        f"The pictures are left out: sets of faces such as {', '.join(others)} are given for "
        "research, and their terms may forbid to show them; --images shows them."
    )


def _absent(facts: ImageFacts, n: int, failures: dict[Any, str]) -> str:
    """Say why some pictures are not there."""
    if not n:
        return ""
    first = next(iter(failures.values()), "")
    reason = first or facts.missing or "the image table does not have them"
    remedy = "" if first else "; --table names the image table"
    return f"The pictures of {n} of these images were not found: {reason}{remedy}."

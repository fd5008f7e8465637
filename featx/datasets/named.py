"""Collections whose labels are in their images' names: what their readers have in common."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from featx.datasets.listing import LAST_ENDING, ImageFiles, image_ids
from featx.errors import FeatxError
from featx.manifest import new_table

#: From a name's parts to columns of the image table; None where the parts make no sense.
Labels = Callable[[re.Match[str]], dict[str, Any] | None]


def read_named(
    path: str | Path,
    dataset: str,
    pattern: re.Pattern[str],
    labels: Labels,
    example: str,
    *,
    ending: re.Pattern[str] = LAST_ENDING,
    below: str = "",
    folders: int = 0,
) -> pd.DataFrame:
    """Read a collection from its images' names.

    Parameters
    ----------
    path : str or Path
        A folder or an archive; the images may lie at any depth.
    dataset : str
        The name for the column `dataset`.
    pattern : re.Pattern
        What a whole name looks like, without its ending, and with the folders before it that
        `folders` asks for.
    labels : callable
        Gives the columns, from the match.
    example : str
        A name of the right form, for messages.
    ending : re.Pattern
        What is taken off the names.
    below : str
        Where folders of this name (in any case) hold images, only those are taken.
    folders : int
        How many of the folders that an image lies in tell of it, too.

    Returns
    -------
    pandas.DataFrame
        An image table sorted by path. Names of another form are kept as ``excluded``.

    Raises
    ------
    FeatxError
        If there is no image there.
    """
    files = ImageFiles(path)
    inside = [name for name in files.names if below and below in name.lower().split("/")[:-1]]
    files.names = inside or files.names
    if not files:
        raise FeatxError(f"{path} holds no images; those of {dataset} are named like {example}")
    rows = []
    for name, image in image_ids(files, ending):
        told = "/".join(name.split("/")[-1 - folders :])
        found = pattern.fullmatch(ending.sub("", told))
        known = labels(found) if found else None
        rows.append(
            {
                "image": image,
                "path": files.joined(name),
                "dataset": dataset,
                "status": "excluded" if known is None else "ok",
                "reason": f"malformed name: not like {example}" if known is None else "",
                **(known or {}),
            }
        )
    return new_table(pd.DataFrame(rows))

"""Training and validation images of a stage, apart by person and by picture."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from sklearn.model_selection import GroupShuffleSplit

from featx.errors import FeatxError
from featx.identities import people
from featx.training.images.samples import Samples


def clusters(table: pd.DataFrame) -> np.ndarray:
    """Number the sets of images that belong together: one person's, or of the same bytes.

    Parameters
    ----------
    table : pandas.DataFrame
        With `dataset`, `subject` and `sha256`, each empty where unknown.

    Returns
    -------
    numpy.ndarray
        int, shape (rows,): rows that share a person or their bytes, directly or through others,
        have the same number.
    """
    n = len(table)
    keys = []
    for column in ("subject", "sha256"):
        names = people(table) if column == "subject" else table[column].to_numpy(object)
        keys.append(np.where(names != "", f"{column}\t" + names, ""))
    rows = np.concatenate([np.flatnonzero(key != "") for key in keys])
    codes, _ = pd.factorize(np.concatenate([key[key != ""] for key in keys]))
    size = n + (int(codes.max()) + 1 if len(codes) else 0)
    edges = coo_array((np.ones(len(rows), bool), (rows, n + codes)), shape=(size, size))
    return connected_components(edges, directed=False)[1][:n]


def split_off(samples: Samples, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw a validation set of whole clusters (see `clusters`).

    Parameters
    ----------
    samples : Samples
        To be split.
    share : float
        Of the clusters that goes to validation, above 0 and below 1.
    seed : int
        Of the draw.

    Returns
    -------
    train, validation : numpy.ndarray
        Row positions, sorted, int64.

    Raises
    ------
    FeatxError
        If either side would be empty.
    """
    groups = clusters(samples.table)
    n = len(np.unique(groups))
    if n < 2 or not 0 < round(share * n) < n:
        raise FeatxError(
            f"a validation share of {share:g} of {n} subject{'s' if n != 1 else ''} leaves one "
            "side empty; change data.validation or add images"
        )
    splitter = GroupShuffleSplit(n_splits=1, test_size=round(share * n), random_state=seed)
    train, validation = next(splitter.split(np.zeros(len(samples)), groups=groups))
    return np.sort(train), np.sort(validation)

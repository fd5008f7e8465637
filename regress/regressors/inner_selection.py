"""Inner folds in which no subject stands on both sides: where hyper-parameters are chosen."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sklearn.model_selection import GroupKFold

from featx.errors import FeatxError

Folds = list[tuple[np.ndarray, np.ndarray]]


def inner_folds(groups: Sequence | np.ndarray | None, n_images: int, n_folds: int) -> Folds:
    """Return the inner folds for some training images.

    Groups are spread over the folds by `sklearn.model_selection.GroupKFold`: deterministic, and
    as even in images as whole groups allow. Where there are fewer groups than `n_folds`, each
    group is a fold.

    Parameters
    ----------
    groups : array-like of shape (n_images,), or None
        The subject of each image (or of each cluster of subjects who share a byte-identical
        image). None: every image is a group of its own.
    n_images : int
        How many training images there are.
    n_folds : int
        How many folds to make, at least 2.

    Returns
    -------
    list of (train, test)
        Row numbers, int64.

    Raises
    ------
    FeatxError
        If `n_folds` is under 2, `groups` has another length than the images, or there is only
        one group, so that nothing can be held out.
    """
    if n_folds < 2:
        raise FeatxError(f"inner_folds is {n_folds}: inner selection needs at least 2")
    labels = np.arange(n_images) if groups is None else np.asarray(groups)
    if labels.shape != (n_images,):
        raise FeatxError(
            f"groups has shape {labels.shape} for {n_images} training images: give one subject "
            "an image"
        )
    n_groups = len(np.unique(labels))
    if n_groups < 2:
        raise FeatxError(
            "only one subject among the training images: nothing can be held out to choose "
            "hyper-parameters by; give a single value for each, or data with more subjects"
        )
    splitter = GroupKFold(n_splits=min(n_folds, n_groups))
    folds = list(splitter.split(np.empty((n_images, 0)), groups=labels))
    for train, test in folds:
        shared = np.intersect1d(labels[train], labels[test])
        if len(shared):
            raise FeatxError(
                f"subjects on both sides of an inner fold: {', '.join(map(str, shared[:5]))}"
            )
    return folds

"""In which order images are trained on, whatever the number of processes."""

from __future__ import annotations

import numpy as np


def epoch_batches(
    n: int, batch_size: int, *, seed: int, epoch: int, processes: int = 1
) -> list[np.ndarray]:
    """Return an epoch's batches: a new random order of all images, each once.

    A last batch with fewer than two images a process joins the batch before it, for batch
    normalisation cannot work on one image.

    Parameters
    ----------
    n : int
        Images.
    batch_size : int
        Images a batch, all processes together.
    seed, epoch : int
        The order is a function of these two, so a stopped epoch can be taken up in its midst.
    processes : int
        That share each batch.

    Returns
    -------
    list of numpy.ndarray
        int64 row positions.
    """
    order = np.random.default_rng(np.random.SeedSequence([seed, epoch])).permutation(n)
    cuts = list(range(batch_size, n, batch_size))
    if cuts and n - cuts[-1] < 2 * processes:
        cuts.pop()
    return np.split(order, cuts)


def share(batch: np.ndarray, rank: int, processes: int) -> np.ndarray:
    """Return one process's part of a batch; the parts differ by at most one image."""
    return np.array_split(batch, processes)[rank]

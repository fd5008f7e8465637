"""In which order images are trained on, whatever the number of processes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Epoch:
    """What one process does in an epoch.

    Attributes
    ----------
    number : int
        From 0.
    batches : list of numpy.ndarray
        int64 row positions, of all processes together.
    own : list of numpy.ndarray
        This process's part of each.
    """

    number: int
    batches: list[np.ndarray]
    own: list[np.ndarray]

    def __len__(self) -> int:
        """Return the number of batches."""
        return len(self.batches)


def epoch_batches(
    n: int, batch_size: int, *, seed: int, epoch: int, processes: int = 1
) -> list[np.ndarray]:
    """Return an epoch's batches: a new random order of all images, each once.

    The batches are of one size, or of two that differ by one image: no batch is a small remainder.
    Batch normalisation's running statistics give every batch the same weight, and a last one of two
    images would spoil them at the end of every epoch.

    Parameters
    ----------
    n : int
        Images.
    batch_size : int
        The most images a batch, all processes together; only where `n` leaves a batch fewer than
        two images a process, which batch normalisation cannot work on, are there fewer batches.
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
    count = -(-n // batch_size)
    if n < 2 * processes * count:
        count = max(1, n // (2 * processes))
    return np.array_split(order, count)


def share(batch: np.ndarray, rank: int, processes: int) -> np.ndarray:
    """Return one process's part of a batch; the parts differ by at most one image."""
    return np.array_split(batch, processes)[rank]

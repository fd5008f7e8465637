"""Whether predictions of classes are right as often as their probabilities say."""

from __future__ import annotations

import numpy as np
import pandas as pd

from regress.compare import CONFIDENCE
from regress.compare_groups import GroupComparison
from regress.inference import ratio_limits
from regress.predictions import Run
from regress.probabilities import has_probabilities, read_probabilities

EDGES = np.linspace(0, 1, 11)


def has_confidence(run: Run) -> bool:
    """Tell whether a run has probabilities of the very classes that it predicts.

    One whose ages or finer groups are read as groups has none: its classes are others.
    """
    return has_probabilities(run) and read_probabilities(run).classes.tolist() == list(run.groups)


def confidence_table(comparison: GroupComparison) -> pd.DataFrame:
    """Return how often predictions are right, in ten equal bins of their probability.

    The probability is that of the class that is predicted. Intervals are percentile bootstraps over
    subjects.

    Returns
    -------
    pandas.DataFrame
        A row a method and bin that has images: ``probability_from``, ``probability_below`` (the
        last bin holds 1 too), ``n_images``, ``confidence`` (mean probability), ``accuracy``,
        ``low``, ``high``. No row where no method has probabilities.
    """
    rows: list[dict[str, object]] = []
    sums, counts = [], []
    for name, run in zip(comparison.names, comparison.runs, strict=True):
        if not has_confidence(run):
            continue
        confidence, right = confidences(run)
        bins = (np.searchsorted(EDGES, confidence, side="right") - 1).clip(0, len(EDGES) - 2)
        found = np.unique(bins)
        inside = (bins[:, None] == found).astype(float)
        images = run.predictions["image"]
        sums.append(comparison.wrong.total_of(images, right[:, None] * inside))
        counts.append(comparison.wrong.total_of(images, inside))
        rows += [
            {
                "method": name,
                "probability_from": EDGES[k].round(2),
                "probability_below": EDGES[k + 1].round(2),
                "n_images": int((bins == k).sum()),
                "confidence": confidence[bins == k].mean(),
                "accuracy": right[bins == k].mean(),
            }
            for k in found
        ]
    if not rows:
        return pd.DataFrame()
    low, high = ratio_limits(
        np.hstack(sums), np.hstack(counts), comparison.bootstrap, comparison.seed, CONFIDENCE
    )
    return pd.DataFrame(rows).assign(low=low, high=high)


def confidences(run: Run) -> tuple[np.ndarray, np.ndarray]:
    """Return each image's probability of the class that is predicted, and whether it is right.

    Both float64, shape (images,).
    """
    given = read_probabilities(run)
    truth, guess = (run.predictions[column].to_numpy(str) for column in run.columns)
    place = pd.Index(given.classes).get_indexer(pd.Index(guess))
    return given.values[np.arange(len(guess)), place].clip(0, 1), (truth == guess).astype(float)


def expected_calibration_error(bins: pd.DataFrame) -> float:
    """Return the expected calibration error of one method, by its rows of `confidence_table`.

    Σ n_b/n · |accuracy − confidence| over the bins.

    References
    ----------
    Guo, Pleiss, Sun and Weinberger, On calibration of modern neural networks, ICML 2017, eq. 3.
    """
    weight = bins["n_images"] / bins["n_images"].sum()
    return float((weight * (bins["accuracy"] - bins["confidence"]).abs()).sum())

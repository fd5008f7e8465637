"""The images that the best method is most wrong about."""

from __future__ import annotations

import numpy as np
import pandas as pd

from regress.compare import Comparison

N_WORST = 20


def worst_images(comparison: Comparison, n: int = N_WORST) -> pd.DataFrame:
    """Return the images with the largest absolute error of the best method, the largest first.

    Whether an image is hard, or its label is wrong, rather than this method bad at it, shows in the
    median of the errors of all methods that predicted it.

    Parameters
    ----------
    comparison : Comparison
        Of ages.
    n : int
        How many at most.

    Returns
    -------
    pandas.DataFrame
        ``image``, ``subject`` (empty where unknown), ``age`` and ``predicted_age`` of the best
        method, its ``error`` (predicted minus true) and the ``median_absolute_error`` of all
        methods, in years.
    """
    errors = comparison.errors
    table = comparison.runs[0].predictions
    order = np.argsort(-errors.error[:, 0], kind="stable")
    order = order[errors.present[order, 0]][:n]
    median = np.nanmedian(np.where(errors.present, errors.error, np.nan)[order], axis=1)
    rows = table.set_index("image").loc[errors.images[order]].reset_index()
    rows["subject"] = rows["subject"].where(errors.named[order], "")
    return pd.DataFrame(
        {
            **{name: rows[name] for name in ("image", "subject", "age", "predicted_age")},
            "error": rows["predicted_age"] - rows["age"],
            "median_absolute_error": median,
        }
    )

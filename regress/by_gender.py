"""Errors apart by the images' true gender, each with its interval, and their difference."""

from __future__ import annotations

import numpy as np
import pandas as pd

from regress.compare import CONFIDENCE, Comparison
from regress.inference import bootstrap_ratios, percentile_interval
from regress.predictions import GENDERS

UNKNOWN = "unknown"


def errors_by_gender(comparison: Comparison, gender: pd.Series) -> pd.DataFrame:
    """Return the mean absolute error of each method on the images of each gender.

    Intervals are percentile bootstraps over subjects with the same draws for all, so that those of
    the differences are paired.

    Parameters
    ----------
    comparison : Comparison
        Of ages.
    gender : pandas.Series
        Text by image, empty where unknown; from `regress.image_facts.genders`.

    Returns
    -------
    pandas.DataFrame
        A row a method and gender: ``n_images``, ``n_subjects`` (``n_images`` alone where subjects
        are unknown), ``mae``, ``mae_low``, ``mae_high`` and ``bias`` (predicted minus true) in
        years. Images of unknown gender have rows ``unknown``. Where a method predicted both
        genders, a row ``female - male`` has the difference of the two errors. No row at all where
        no gender is known.
    """
    errors = comparison.errors
    told = gender.reindex(errors.images, fill_value="").to_numpy(object)
    names = [*GENDERS, *sorted(set(told) - {"", *GENDERS})]
    told = np.where(told == "", UNKNOWN, told)
    if not np.isin(told, names).any():
        return pd.DataFrame()
    kinds = [name for name in (*names, UNKNOWN) if (told == name).any()]
    masks = [told == name for name in kinds]
    sums = np.stack([errors.total(errors.error * mask[:, None]) for mask in masks], axis=2)
    counts = np.stack([errors.total(1.0 * errors.present * mask[:, None]) for mask in masks], 2)
    n_methods = len(errors.names)
    shape = (len(sums), n_methods * len(kinds))
    if len(sums) > 1:
        drawn = bootstrap_ratios(
            sums.reshape(shape), counts.reshape(shape), comparison.bootstrap, comparison.seed
        ).reshape(-1, n_methods, len(kinds))
    else:
        drawn = np.full((1, n_methods, len(kinds)), np.nan)
    low, high = (
        limit.reshape(n_methods, len(kinds))
        for limit in percentile_interval(drawn.reshape(len(drawn), -1), CONFIDENCE)
    )
    rows = []
    for m, (name, run) in enumerate(zip(comparison.names, comparison.runs, strict=True)):
        table = run.predictions
        signed = (table["predicted_age"] - table["age"]).to_numpy(float)
        own = pd.Series(told, errors.images).reindex(table["image"]).to_numpy(object)
        for k, kind in enumerate(kinds):
            n = counts[:, m, k].sum()
            if n:
                rows.append(
                    {
                        "method": name,
                        "gender": kind,
                        "n_images": int(n),
                        f"n_{errors.unit}s": int((counts[:, m, k] > 0).sum()),
                        "mae": sums[:, m, k].sum() / n,
                        "mae_low": low[m, k],
                        "mae_high": high[m, k],
                        "bias": signed[own == kind].mean(),
                    }
                )
        rows += _difference(name, rows, kinds, drawn[:, m])
    return pd.DataFrame(rows)


def _difference(
    name: str, rows: list[dict[str, object]], kinds: list[str], drawn: np.ndarray
) -> list[dict[str, object]]:
    """Return the row of the difference of a method's two errors, where it has both."""
    mae = {row["gender"]: row["mae"] for row in rows if row["method"] == name}
    if not set(GENDERS) <= set(mae):
        return []
    first, second = (kinds.index(gender) for gender in GENDERS)
    low, high = percentile_interval((drawn[:, first] - drawn[:, second])[:, None], CONFIDENCE)
    return [
        {
            "method": name,
            "gender": " - ".join(GENDERS),
            "mae": mae[GENDERS[0]] - mae[GENDERS[1]],  # type: ignore[operator]
            "mae_low": low[0],
            "mae_high": high[0],
        }
    ]

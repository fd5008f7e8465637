"""The numbers behind the figures as files: which there are, and those no table of the page has."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import pandas as pd

from regress.compare import Comparison


def data_files(unit: str, further: Collection[str]) -> list[tuple[str, str]]:
    """Return a report's CSV files, each with what it holds.

    Parameters
    ----------
    unit : str
        What is independent, ``subject`` or ``image``.
    further : collection of str
        Names of tables that not every report has.
    """
    always = [
        ("table", "the ranking"),
        ("tests", "the paired tests of all pairs"),
        ("by_subject", f"the box plots: the error of each method on each {unit}"),
        ("predicted_against_true", "the scatter plots: true and predicted ages, a column a method"),
        ("by_age", "the errors by age"),
        ("cumulative_score", "the cumulative scores"),
    ]
    sometimes = [
        ("ranks", "the mean ranks"),
        ("by_gender", "the errors by gender"),
        ("coverage", "observed against nominal coverage"),
        ("pit", "the histograms of the probability integral transform"),
        ("crps", "the scores of the predicted distributions"),
        ("worst_images", "the images with the largest errors"),
    ]
    listed = always + [(name, what) for name, what in sometimes if name in further]
    return [(f"{name}.csv", what) for name, what in listed]


def predictions_table(comparison: Comparison) -> pd.DataFrame:
    """Return a row an image: its subject, empty where unknown, true age, and each predicted age."""
    errors = comparison.errors
    told = pd.concat([run.predictions[["image", "subject"]] for run in comparison.runs])
    subject = told.drop_duplicates("image").set_index("image")["subject"].reindex(errors.images)
    given = {
        name: run.predictions.set_index("image")["predicted_age"].reindex(errors.images).to_numpy()
        for name, run in zip(comparison.names, comparison.runs, strict=True)
    }
    labels = {
        "image": errors.images,
        "subject": np.where(errors.named, subject.to_numpy(object), ""),
        "age": errors.truth,
    }
    return pd.concat([pd.DataFrame(labels), pd.DataFrame(given)], axis=1)

import re

import numpy as np
import pandas as pd
import pytest

from regress.compare import compare
from regress.report.page import write_report
from regress.report.tables import write_tables


def test_every_csv_of_a_report_is_listed_and_every_figure_has_one(comparison, tmp_path):
    page = write_report(comparison, tmp_path).read_text(encoding="utf-8")
    listed = re.findall(r"<dt><code>(\w+\.csv)</code></dt>", page)
    assert sorted(listed) == sorted(path.name for path in tmp_path.glob("*.csv"))
    data = {
        "errors_by_subject": "by_subject.csv",
        "error_by_age": "by_age.csv",
        "mean_ranks": "ranks.csv",
    }
    for figure in (tmp_path / "figures").glob("*.png"):
        assert data.get(figure.stem, f"{figure.stem}.csv") in listed


def test_predictions_and_cumulative_scores_are_those_of_the_runs(runs, tmp_path):
    half = {"b": {"folds": {"planned": 12, "done": 11, "missing": ["3"]}}}
    made = runs(["a", "b"], changes=half)
    write_tables(compare(made, bootstrap=200), tmp_path)
    table = pd.read_csv(
        tmp_path / "predicted_against_true.csv", dtype={"image": str, "subject": str}
    ).set_index("image")
    for run in made:
        own = run.predictions.set_index("image")
        np.testing.assert_allclose(table.loc[own.index, run.method], own["predicted_age"])
        assert table.loc[own.index, "subject"].tolist() == own["subject"].tolist()
        assert table[run.method].notna().sum() == len(own)
    scores = pd.read_csv(tmp_path / "cumulative_score.csv").set_index(["method", "years"])[
        "percent"
    ]
    for run in made:
        error = (run.predictions["predicted_age"] - run.predictions["age"]).abs()
        for years in (0.0, 2.5, 5.0, 20.0):
            assert scores[run.method, years] == pytest.approx(100 * (error <= years).mean())

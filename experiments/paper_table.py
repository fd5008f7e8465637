"""An experiment's outcome as a table: what was measured here beside what the paper reports."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from experiments.experiment_file import Experiment
from experiments.running import Outcome
from experiments.settings import Settings
from featx.atomic import write_json, writing

_WORDS = {
    "mae": "MAE (years)",
    "mae_mean_of_folds": "MAE, mean of folds",
    "mae_median_of_folds": "MAE, median of folds",
    "mae_upper_quartile_of_folds": "MAE, upper quartile of folds",
    "mae_lower_quartile_of_folds": "MAE, lower quartile of folds",
    "r2": "R²",
    "r2_mean_of_folds": "R², mean of folds",
    "accuracy": "accuracy",
    "accuracy_mean_of_folds": "accuracy, mean of folds",
    "accuracy_sd_of_folds": "accuracy, sd of folds",
    "one_off": "1-off",
    "one_off_mean_of_folds": "1-off, mean of folds",
    "one_off_sd_of_folds": "1-off, sd of folds",
    "expected_exact": "exact by expected age",
    "expected_one_off": "1-off by expected age",
    "aabd": "AABD (groups)",
    "mae_expected_value": "MAE of the expected value (years)",
    "images": "images",
    "seconds": "seconds",
}


def paper_table(experiment: Experiment, outcomes: Sequence[Outcome]) -> pd.DataFrame:
    """Return the table as text: the row's name, each measure here and in the paper, what is open.

    Returns
    -------
    pandas.DataFrame
        Columns ``row``; for each measure one or, where the paper gives it, two, the second ending
        in ``(the paper's)``; ``not run, or not wholly``.
    """
    told = {measure for outcome in outcomes for measure in outcome.row.paper}
    rows = []
    for outcome in outcomes:
        cells = {"row": outcome.row.name}
        for measure in experiment.columns:
            word = _WORDS[measure]
            cells[word] = _number(measure, outcome.measures.get(measure))
            if measure in told:
                cells[f"{word} (the paper's)"] = _number(measure, outcome.row.paper.get(measure))
        cells["not run, or not wholly"] = outcome.reason
        rows.append(cells)
    return pd.DataFrame(rows)


def write_paper_table(
    experiment: Experiment, outcomes: Sequence[Outcome], settings: Settings, stem: Path
) -> str:
    """Write the table as Markdown, CSV and JSON; return the Markdown.

    Parameters
    ----------
    stem : Path
        The files' common name, without ``.md``, ``.csv``, ``.json``.
    """
    table = paper_table(experiment, outcomes)
    text = _markdown(experiment, outcomes, settings, table)
    with writing(stem.with_suffix(".md")) as temporary:
        temporary.write_text(text, encoding="utf-8")
    with writing(stem.with_suffix(".csv")) as temporary:
        table.to_csv(temporary, index=False, lineterminator="\n")
    write_json(
        stem.with_suffix(".json"),
        {
            "title": experiment.title,
            "source": experiment.source,
            "departures": list(_departures(settings)),
            "rows": [
                {
                    "name": outcome.row.name,
                    # a single fold has no spread: JSON has no NaN
                    "measures": {k: v for k, v in outcome.measures.items() if v == v},
                    "paper": dict(outcome.row.paper),
                    "run": str(outcome.run) if outcome.run else None,
                    "reason": outcome.reason,
                }
                for outcome in outcomes
            ],
        },
    )
    return text


def _markdown(
    experiment: Experiment, outcomes: Sequence[Outcome], settings: Settings, table: pd.DataFrame
) -> str:
    lines = [f"# {experiment.title}", "", experiment.source, ""]
    lines.append("| " + " | ".join(table.columns) + " |")
    lines.append("|" + " --- |" * len(table.columns))
    for cells in table.itertuples(index=False):
        lines.append("| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |")
    notes = [*(f"{o.row.name}: {o.row.note}" for o in outcomes if o.row.note), *experiment.notes]
    departures = _departures(settings)
    if departures:
        notes.append(f"Departures from the experiment's files: {', '.join(departures)}.")
    if notes:
        lines += ["", *(f"- {note}" for note in notes)]
    return "\n".join(lines) + "\n"


def _departures(settings: Settings) -> list[str]:
    options = [f"{name}={value}" for name, value in settings.options.items()]
    folds = [f"only the folds {', '.join(settings.folds)}"] if settings.folds else []
    return [*settings.changes, *options, *folds]


def _number(measure: str, value: float | None) -> str:
    if value is None or value != value:
        return "-"
    if measure in ("images", "seconds"):
        return f"{value:.0f}"
    share = measure.startswith(("accuracy", "one_off", "expected_"))
    return f"{100 * value:.2f} %" if share else f"{value:.2f}"

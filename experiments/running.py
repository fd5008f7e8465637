"""A paper's table from whatever data a user has: what can be run is run, the rest says why not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from experiments.experiment_file import Experiment, Row
from experiments.measures import measures
from experiments.needs import missing_needs
from experiments.rows import compute_part, make_row, prepare_row
from experiments.settings import Settings
from experiments.smoke import quick
from featx.cluster import Part
from featx.errors import FeatxError
from regress.predictions import read_run


@dataclass(frozen=True)
class Outcome:
    """What became of a row: its measures and the run's folder, or the reason why it has none."""

    row: Row
    measures: dict[str, float]
    run: Path | None
    reason: str


def run_experiment(
    experiment: Experiment, settings: Settings, rows: Sequence[str] = ()
) -> list[Outcome]:
    """Make every row that can be made; finished parts of an earlier run are kept.

    Parameters
    ----------
    experiment : Experiment
        From `read_experiment`.
    settings : Settings
        How.
    rows : sequence of str
        Names of the rows wanted; all by default.

    Returns
    -------
    list of Outcome
        A row each, in order; rows that were not wanted say so.

    Raises
    ------
    FeatxError
        If a wanted row is not there.
    """
    _check_rows(experiment, rows)
    outcomes: list[Outcome] = []
    for row in quick(experiment.rows) if settings.smoke else experiment.rows:
        if rows and row.name not in rows:
            outcomes.append(Outcome(row, {}, None, "not asked for"))
            continue
        settings.say(f"{row.name}:")
        try:
            missing = missing_needs(experiment, row, settings)
            if missing:
                raise FeatxError(missing)
            members = {outcome.row.name: outcome.run for outcome in outcomes}
            folder = make_row(row, experiment, settings, members)
            run, left = read_run(folder), _left(folder)
            if not len(run.predictions):
                raise FeatxError(left)
            outcomes.append(Outcome(row, measures(run), folder, left))
        except FeatxError as error:
            outcomes.append(Outcome(row, {}, None, str(error)))
        settings.say(f"  {outcomes[-1].reason or 'done'}")
    return outcomes


def wanted_rows(experiment: Experiment, settings: Settings, rows: Sequence[str] = ()) -> list[Row]:
    """Return the rows that are wanted and whose data and weights are there; say of others why not.

    Raises
    ------
    FeatxError
        If a wanted row is not in the table, or none can be made.
    """
    _check_rows(experiment, rows)
    found = []
    for row in quick(experiment.rows) if settings.smoke else experiment.rows:
        if rows and row.name not in rows:
            continue
        missing = missing_needs(experiment, row, settings)
        if missing:
            settings.say(f"{row.name}: {missing}")
        else:
            found.append(row)
    if not found:
        raise FeatxError(f"{experiment.name}: no row can be made; the reasons are above")
    return found


def prepare(experiment: Experiment, settings: Settings, rows: Sequence[str] = ()) -> None:
    """Make what the folds of all rows are computed from: shared networks, and features.

    Raises
    ------
    FeatxError
        At the first row that cannot be made; what was made before it stays.
    """
    for row in wanted_rows(experiment, settings, rows):
        settings.say(f"{row.name}:")
        prepare_row(row, experiment, settings)


def run_part(
    experiment: Experiment, settings: Settings, rows: Sequence[str], part: Part
) -> dict[str, str]:
    """Compute a part of the folds of one row; return why some failed.

    Raises
    ------
    FeatxError
        As `experiments.rows.compute_part`, or if there is not one row.
    """
    if len(rows) != 1:
        raise FeatxError(f"--part {part} is of one row; give one --row")
    (row,) = wanted_rows(experiment, settings, rows)
    return compute_part(row, experiment, settings, part)


def _check_rows(experiment: Experiment, rows: Sequence[str]) -> None:
    names = [row.name for row in experiment.rows]
    strange = sorted(set(rows) - set(names))
    if strange:
        raise FeatxError(f"--row {strange[0]}: the rows are {', '.join(names)}")


def _left(folder: Path) -> str:
    """Say which folds a run lacks; empty where it has them all."""
    folds = read_run(folder).info["folds"]
    if not folds["missing"]:
        return ""
    reasons = sorted(set(folds["failed"].values()))
    failed = f", {len(folds['failed'])} failed: {reasons[0]}" if reasons else ""
    return f"{folds['done']} of {folds['planned']} folds{failed}"

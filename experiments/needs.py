"""What a row names: its cascade or network, and the files and folders that have to be there."""

from __future__ import annotations

from pathlib import Path

from experiments.experiment_file import Experiment, Row
from experiments.settings import Settings
from experiments.smoke import shortened
from featx.errors import FeatxError
from featx.training.config.cascade_file import Cascade, read_cascade


def missing_needs(experiment: Experiment, row: Row, settings: Settings) -> str:
    """Say which of the things that a row names are not there, and how to come by them.

    Where its cascade cannot be read, or does not take the changes, that is what is said.
    """
    try:
        named = _named(experiment, row, settings)
    except FeatxError as error:
        return str(error)
    missing = []
    for path in named:
        if path in experiment.needs and not (settings.data / path).exists():
            missing.append(f"{settings.data / path} is not there ({experiment.needs[path]})")
    return "; ".join(missing)


def _named(experiment: Experiment, row: Row, settings: Settings) -> list[str]:
    if row.of_rows:
        return []
    named = [row.regression.table] if row.regression else []
    if row.tested_on is not None:
        named.append(row.tested_on.table)
    if row.cascade is None:
        return [*named, row_network(row, settings)[1]]
    cascade = row_cascade(row, experiment, settings)
    tables = [table for stage in cascade.stages for table in stage.data.tables]
    return [*named, cascade.weights, *tables]


def row_cascade(row: Row, experiment: Experiment, settings: Settings) -> Cascade:
    """Read a row's cascade, with the row's and the settings' changes and up to its last stage.

    Paths in it are looked for below the data folder.

    Raises
    ------
    FeatxError
        As `read_cascade`, and if there is no stage of the name.
    """
    assert row.cascade is not None
    changes = (*row.changes, *settings.changes)
    cascade = read_cascade(experiment.file.parent / row.cascade, changes)
    names = [stage.name for stage in cascade.stages]
    if row.after is not None and row.after not in names:
        raise FeatxError(f"{experiment.file}: {row.name}: {row.cascade} has no stage {row.after}")
    count = len(names) if row.after is None else 1 + names.index(row.after)
    changed = {"file": settings.data / Path(row.cascade).name, "stages": cascade.stages[:count]}
    cascade = cascade.model_copy(update=changed)
    return shortened(cascade) if settings.smoke else cascade


def row_network(row: Row, settings: Settings) -> tuple[str, str]:
    """Return backbone and weights of a network without a cascade."""
    assert row.backbone is not None
    assert row.weights is not None
    given = dict(change.split("=", 1) for change in settings.changes if "=" in change)
    return given.get("backbone", row.backbone), given.get("weights", row.weights)

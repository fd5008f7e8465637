"""What a search leaves behind: every trial in a table and in TensorBoard, the best as a cascade."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from optuna.trial import FrozenTrial

from featx.atomic import writing
from featx.training.config.cascade_file import Cascade, read_cascade
from featx.training.images.stage_data import beside, resolve_paths

#: What a trial that failed by its settings is marked with; one that was interrupted is not.
FAILURE = "failure"

#: Under which a trial keeps what else its best epoch's validation showed.
MEASURES = "measures"


def write_trials(trials: Mapping[str, Sequence[FrozenTrial]], path: Path) -> None:
    """Write a table with a row a trial.

    Parameters
    ----------
    trials : mapping of str to sequence of FrozenTrial
        By phase; where the name of the phase is empty, the table has no such column.
    path : Path
        CSV.
    """
    rows = [
        {
            **({"phase": phase} if phase else {}),
            "trial": trial.number,
            **trial.params,
            "validation_loss": trial.value,
            **trial.user_attrs.get(MEASURES, {}),
            "state": trial.state.name.lower(),
            "reason": trial.user_attrs.get(FAILURE, ""),
        }
        for phase, each in trials.items()
        for trial in each
    ]
    table = pd.DataFrame(rows)
    last = ["state", "reason"]  # a first trial that failed has no measures, which would come last
    table = table[[column for column in table if column not in last] + last] if rows else table
    with writing(path) as temporary:
        table.to_csv(temporary, index=False, lineterminator="\n")


def log_hparams(trials: Mapping[str, Sequence[FrozenTrial]], folder: Path) -> None:
    """Write the settings and scores of all trials that have some, for TensorBoard's HParams.

    Parameters
    ----------
    trials : mapping of str to sequence of FrozenTrial
        By phase.
    folder : Path
        Of it a folder below is made for every trial; what is there is replaced.
    """
    from torch.utils.tensorboard import SummaryWriter

    for phase, each in trials.items():
        shutil.rmtree(folder / phase, ignore_errors=True)
        for trial in each:
            if trial.value is None:
                continue
            settings = {**({"phase": phase} if phase else {}), **trial.params}
            scores = {"validation_loss": trial.value, **trial.user_attrs.get(MEASURES, {})}
            with SummaryWriter(str(folder / phase / str(trial.number))) as writer:
                writer.add_hparams(settings, scores, run_name=".")


def plain_cascade(cascade: Cascade, changes: Sequence[str], folder: Path) -> dict[str, Any]:
    """Return the changed cascade for a file in `folder`, whose relative paths start from there."""

    def find(path: str) -> str:
        return os.path.relpath(beside(cascade.folder, path), folder)

    changed = read_cascade(cascade.file, changes)
    stages = tuple(
        stage.model_copy(update={"data": resolve_paths(stage.data, find)})
        for stage in changed.stages
    )
    found = changed.weights_found
    weights = os.path.relpath(found, folder) if Path(found).is_file() else found
    moved = changed.model_copy(update={"weights": weights, "stages": stages})
    return moved.model_dump(mode="json", exclude_defaults=True)

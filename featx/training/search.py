"""Hyper-parameters of a stage by search: the paper's grid, or Optuna's samplers."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import optuna
import pandas as pd
import yaml
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from featx.atomic import write_text, writing
from featx.errors import FeatxError
from featx.training.cascade import run_cascade, start_network
from featx.training.cascade_file import Cascade, describe, read_cascade
from featx.training.data import beside, resolve_paths
from featx.training.planning import StagePlan, plan_stages
from featx.training.processes import Processes
from featx.training.search_file import Range, Search
from featx.training.stage import NETWORK, STATE, run_stage
from featx.weights import LoadedNetwork

#: What a trial that failed by its settings is marked with; one that was interrupted is not.
_FAILURE = "failure"
_RETRY_OF = "retry_of"


def run_search(
    search: Search,
    out: Path,
    processes: Processes,
    *,
    resume: bool = False,
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Try settings of a stage and write which is best by its lowest validation loss.

    Parameters
    ----------
    search : Search
        What is tried.
    out : Path
        ``study.log`` (Optuna's journal), ``trials.csv``, ``best.yaml`` (the cascade with the best
        settings), ``tensorboard/`` (HParams), and the stages before the searched one.
    processes : Processes
        One; trials don't train together.
    resume : bool
        Go on with the study that `out` holds.
    say : callable
        Told each trial in a line.

    Returns
    -------
    dict
        The best settings.

    Raises
    ------
    FeatxError
        If the search names no stage or setting of the cascade, `out` holds another study, or no
        trial came to an end.
    """
    cascade = read_cascade(beside(search.file.parent, search.cascade))
    number = _stage_number(search, cascade)
    _check_space(search, cascade, number)
    study = _study(search, out, resume)
    plans = plan_stages(cascade)
    parent = start_network(cascade)
    if number:
        parent = run_cascade(cascade, plans[:number], out, processes, resume=True, say=say)
    _retry_interrupted(study)
    grid = _grid(search)
    if not study.get_trials():
        for settings in grid:
            study.enqueue_trial(settings)
    missing = (len(grid) or search.trials or 0) - len(_finished(study))

    def objective(trial: optuna.Trial) -> float:
        settings = {key: _suggest(trial, key, values) for key, values in search.space.items()}
        try:
            plan = _plan(search, cascade, number, settings)
            return _loss(trial, plan, parent, out / "trials" / str(trial.number), processes)
        except FeatxError as error:
            trial.set_user_attr(_FAILURE, str(error))
            raise

    def tell(study: optuna.Study, trial: FrozenTrial) -> None:
        value = "no loss" if trial.value is None else f"validation loss {trial.value:.4f}"
        state = trial.state.name.lower()
        say(f"trial {trial.number}: {_settings(trial.params)}: {value} ({state})")

    if missing > 0:
        study.optimize(objective, n_trials=missing, catch=FeatxError, callbacks=[tell])
    return _publish(study, search, cascade, number, out)


def _stage_number(search: Search, cascade: Cascade) -> int:
    names = [stage.name for stage in cascade.stages]
    if search.stage is None:
        return len(names) - 1
    if search.stage not in names:
        raise FeatxError(
            f"{search.file}: {search.cascade} has no stage {search.stage!r}; it has "
            f"{', '.join(names)}"
        )
    return names.index(search.stage)


def _changes(search: Search, number: int, settings: dict[str, Any]) -> list[str]:
    given = {**settings, "epochs": search.epochs}
    return [f"stages.{number}.{key}={json.dumps(value)}" for key, value in given.items()]


def _check_space(search: Search, cascade: Cascade, number: int) -> None:
    """Try the first value of every setting on the cascade file, so that a slip is told at once."""
    first = {
        key: values.low if isinstance(values, Range) else values[0]
        for key, values in search.space.items()
    }
    read_cascade(cascade.file, _changes(search, number, first))
    if cascade.stages[number].data.validation is None:
        raise FeatxError(
            f"{search.file}: stage {cascade.stages[number].name} has no validation set to judge by"
        )


def _study(search: Search, out: Path, resume: bool) -> optuna.Study:
    journal = out / "study.log"
    if journal.exists() and not resume:
        raise FeatxError(f"{out} holds an earlier search; add --resume, or give another -o")
    out.mkdir(parents=True, exist_ok=True)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        study_name="search",
        storage=JournalStorage(JournalFileBackend(str(journal))),
        pruner={
            "none": optuna.pruners.NopPruner(),
            "median": optuna.pruners.MedianPruner(),
            "hyperband": optuna.pruners.HyperbandPruner(max_resource=search.epochs),
        }[search.pruner],
        load_if_exists=True,
    )
    seed = search.seed + len(study.get_trials())  # a resumed search draws other settings
    kind = optuna.samplers.TPESampler if search.sampler == "tpe" else optuna.samplers.RandomSampler
    study.sampler = kind(seed=seed)
    described = json.dumps(describe(search), sort_keys=True)
    if study.user_attrs.setdefault("search", described) != described:
        raise FeatxError(f"{out} holds a search of other settings; give another -o")
    study.set_user_attr("search", described)
    return study


def _finished(study: optuna.Study) -> list[FrozenTrial]:
    """Return the trials that need not be made again."""
    over = study.get_trials(states=(TrialState.COMPLETE, TrialState.PRUNED))
    failed = study.get_trials(states=(TrialState.FAIL,))
    return sorted(
        [*over, *(trial for trial in failed if _FAILURE in trial.user_attrs)],
        key=lambda trial: trial.number,
    )


def _retry_interrupted(study: optuna.Study) -> None:
    """Put the settings of trials that were killed, or stopped by Ctrl-C, first in the queue."""
    retried = {trial.user_attrs.get(_RETRY_OF) for trial in study.get_trials()}
    for trial in study.get_trials(states=(TrialState.RUNNING, TrialState.FAIL)):
        if _FAILURE in trial.user_attrs:
            continue
        if trial.state == TrialState.RUNNING:
            study.tell(trial.number, state=TrialState.FAIL)
        if trial.params and trial.number not in retried:
            study.enqueue_trial(trial.params, user_attrs={_RETRY_OF: trial.number})


def _grid(search: Search) -> list[dict[str, Any]]:
    """Return every combination of a grid's values, as many as are wanted, in the file's order."""
    if search.sampler != "grid":
        return []
    values = [cast("tuple[Any, ...]", values) for values in search.space.values()]
    combinations = itertools.islice(itertools.product(*values), search.trials)
    return [dict(zip(search.space, each, strict=True)) for each in combinations]


def _suggest(trial: optuna.Trial, key: str, values: tuple[Any, ...] | Range) -> Any:
    if not isinstance(values, Range):
        return trial.suggest_categorical(key, values)
    if isinstance(values.low, int) and isinstance(values.high, int):
        return trial.suggest_int(key, values.low, values.high, log=values.log)
    return trial.suggest_float(key, values.low, values.high, log=values.log)


def _plan(search: Search, cascade: Cascade, number: int, settings: dict[str, Any]) -> StagePlan:
    changed = read_cascade(cascade.file, _changes(search, number, settings))
    return plan_stages(changed)[number]


def _loss(
    trial: optuna.Trial, plan: StagePlan, parent: LoadedNetwork, folder: Path, processes: Processes
) -> float:
    """Train a stage and return its lowest validation loss; its weights are not kept."""
    losses: list[float] = []

    def after_epoch(row: dict[str, float]) -> None:
        losses.append(row["validation_loss"])
        trial.report(losses[-1], int(row["epoch"]))
        if trial.should_prune():
            raise optuna.TrialPruned

    try:
        run_stage(plan, parent, folder, processes, on_epoch=after_epoch)
    finally:
        for leftover in (NETWORK, STATE):
            (folder / leftover).unlink(missing_ok=True)
    return min(losses)


def _settings(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in settings.items())


def _publish(
    study: optuna.Study, search: Search, cascade: Cascade, number: int, out: Path
) -> dict[str, Any]:
    trials = _finished(study)
    rows = [
        {
            "trial": trial.number,
            **trial.params,
            "validation_loss": trial.value,
            "state": trial.state.name.lower(),
            "reason": trial.user_attrs.get(_FAILURE, ""),
        }
        for trial in trials
    ]
    with writing(out / "trials.csv") as temporary:
        pd.DataFrame(rows).to_csv(temporary, index=False, lineterminator="\n")
    _log_hparams(trials, out / "tensorboard")
    if not study.get_trials(states=(TrialState.COMPLETE,)):
        raise FeatxError(f"none of {len(trials)} trials came to an end; see {out / 'trials.csv'}")
    best = study.best_trial.params
    changes = _changes(search, number, best)[:-1]  # the epochs of a trial are not the stage's
    settled = _plain_cascade(cascade, changes, out)
    write_text(out / "best.yaml", yaml.safe_dump(settled, sort_keys=False))
    return best


def _plain_cascade(cascade: Cascade, changes: list[str], folder: Path) -> dict[str, Any]:
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


def _log_hparams(trials: list[FrozenTrial], folder: Path) -> None:
    from torch.utils.tensorboard import SummaryWriter

    for trial in trials:
        if trial.value is None:
            continue
        with SummaryWriter(str(folder / str(trial.number))) as writer:
            writer.add_hparams(trial.params, {"validation_loss": trial.value}, run_name=".")

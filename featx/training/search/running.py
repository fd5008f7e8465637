"""Hyper-parameters of a stage by search: the paper's grid, or Optuna's samplers, in phases."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
import yaml
from optuna.trial import FrozenTrial

from featx.atomic import write_text
from featx.backbones import get_backbone
from featx.errors import FeatxError
from featx.training.cascade import run_cascade, start_network
from featx.training.config.cascade_file import Cascade, read_cascade
from featx.training.images.stage_data import head_specs
from featx.training.planning import plan_stages
from featx.training.processes import Processes
from featx.training.rehearsal import check_memory
from featx.training.search.changes import changes, changes_start, searched
from featx.training.search.file import Search, SettledPhase
from featx.training.search.narrowing import narrow
from featx.training.search.results import (
    FAILURE,
    MEASURES,
    log_hparams,
    plain_cascade,
    write_trials,
)
from featx.training.search.space import Space, Value, in_words, label, settings_of, suggest
from featx.training.search.study import ended, finished, open_storage, open_study
from featx.training.shortage import telling_shortage
from featx.training.stage import NETWORK, STATE, run_stage
from featx.weights import LoadedNetwork


@dataclass(frozen=True)
class _Setting:
    """What all trials of a search have in common; `parent` is None where each has its own."""

    cascade: Cascade
    number: int
    parent: LoadedNetwork | None
    out: Path
    processes: Processes
    say: Callable[[str], None]


def run_search(
    search: Search,
    out: Path,
    processes: Processes,
    *,
    resume: bool = False,
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, Value]:
    """Try settings of a stage and write which is best by its lowest validation loss.

    Parameters
    ----------
    search : Search
        What is tried.
    out : Path
        ``study.log`` (Optuna's journal, a study a phase), ``trials.csv``, ``best.yaml`` (the
        cascade with the best settings of all phases), ``tensorboard/`` (HParams), and the stages
        before the searched one.
    processes : Processes
        One; trials don't train together.
    resume : bool
        Go on with the studies that `out` holds.
    say : callable
        Told each phase and each trial in a line.

    Returns
    -------
    dict
        The best settings.

    Raises
    ------
    FeatxError
        If the search names no stage, setting or option of the cascade, `out` holds another search,
        or no trial of a phase came to an end.
    """
    cascade, number = searched(search)
    storage = open_storage(search, out, resume)
    plans = plan_stages(cascade)
    parent = None if changes_start(search, cascade, number) else start_network(cascade)
    if number:
        parent = run_cascade(cascade, plans[:number], out, processes, resume=True, say=say)
    for state in (out / "trials").rglob(STATE):  # of trials that were killed: they begin anew
        state.unlink()
    setting = _Setting(cascade, number, parent, out, processes, say)
    trials: dict[str, list[FrozenTrial]] = {}
    best: tuple[float, dict[str, Value]] | None = None
    space: Space = search.space
    before: list[dict[str, Value]] = []
    for phase in search.settled:
        if phase.around:
            space = narrow(space, before[: phase.around.best], phase.around)
        drawn = sum(map(len, trials.values()))
        study = open_study(storage, search, phase, space, drawn)
        _run_phase(setting, phase, study, space)
        trials[phase.name] = finished(study)
        write_trials(trials, out / "trials.csv")
        log_hparams({phase.name: trials[phase.name]}, out / "tensorboard")
        over = ended(study)
        if not over:
            raise _nothing(phase, trials[phase.name], out)
        before = [settings_of(trial.params, space) for trial in over]
        if best is None or over[0].value < best[0]:
            best = over[0].value, before[0]
            settled = plain_cascade(cascade, changes(cascade, number, best[1]), out)
            write_text(out / "best.yaml", yaml.safe_dump(settled, sort_keys=False))
    assert best is not None  # there is a phase, and of each a trial came to an end
    return best[1]


def _run_phase(setting: _Setting, phase: SettledPhase, study: optuna.Study, space: Space) -> None:
    """Make the trials of a phase that are still to be made."""
    missing = phase.models(space) - len(finished(study))
    if missing <= 0:
        return
    if phase.name:
        setting.say(f"{phase.name}: {missing} to be trained, {phase.sampler}")
    if phase.around:
        for key, values in space.items():
            setting.say(f"{phase.name}: {key}: {in_words(values)}")

    def objective(trial: optuna.Trial) -> float:
        try:
            return _loss(setting, phase, trial, suggest(trial, space))
        except FeatxError as error:
            trial.set_user_attr(FAILURE, str(error))
            raise

    def tell(study: optuna.Study, trial: FrozenTrial) -> None:
        value = "no loss" if trial.value is None else f"validation loss {trial.value:.4f}"
        state = trial.state.name.lower()
        reason = trial.user_attrs.get(FAILURE)
        told = f"trial {trial.number}: {_settings(trial.params)}: {value} ({state})"
        who = f"{phase.name}, " if phase.name else ""
        setting.say(who + told + (f": {reason}" if reason else ""))

    study.optimize(objective, n_trials=missing, catch=FeatxError, callbacks=[tell])


# --------------------------------------------------------------------------- one trial


def _loss(
    setting: _Setting, phase: SettledPhase, trial: optuna.Trial, settings: dict[str, Value]
) -> float:
    """Train a stage and return its lowest validation loss; its weights are not kept."""
    number, device = setting.number, setting.processes.device
    changed = read_cascade(
        setting.cascade.file,
        [
            *changes(setting.cascade, number, settings),
            f"stages.{number}.epochs={phase.epochs}",  # a trial's, not the stage's
        ],
    )
    plan = plan_stages(changed)[number]
    specs = head_specs(plan.stage, plan.data.train, get_backbone(plan.backbone))
    check_memory(plan.backbone, specs, plan.stage, device, shared=setting.parent is not None)
    rows: list[dict[str, float]] = []

    def after_epoch(row: dict[str, float]) -> None:
        rows.append(row)
        trial.report(row["validation_loss"], int(row["epoch"]))
        if trial.should_prune():
            raise optuna.TrialPruned

    folder = setting.out / "trials" / phase.name / str(trial.number)
    try:
        with telling_shortage(f"trial {trial.number}", "for these settings", device):
            parent = setting.parent or start_network(changed)
            run_stage(plan, parent, folder, setting.processes, on_epoch=after_epoch)
    finally:
        for leftover in (NETWORK, STATE):
            (folder / leftover).unlink(missing_ok=True)
        if rows:
            trial.set_user_attr(MEASURES, _measures(min(rows, key=_by_loss)))
    return _by_loss(min(rows, key=_by_loss))


def _by_loss(row: Mapping[str, float]) -> float:
    return row["validation_loss"]


def _measures(row: Mapping[str, float]) -> dict[str, float]:
    """Return the validation's other scores after an epoch, as the accuracy."""
    kept = [key for key in row if key.startswith("validation_") and key != "validation_loss"]
    return {key: row[key] for key in kept}


def _settings(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {label(value)}" for key, value in settings.items())


def _nothing(phase: SettledPhase, trials: Sequence[FrozenTrial], out: Path) -> FeatxError:
    where = f" of the phase {phase.name}" if phase.name else ""
    reasons = [trial.user_attrs[FAILURE] for trial in trials if FAILURE in trial.user_attrs]
    last = f" (the last: {reasons[-1]})" if reasons else ""
    return FeatxError(
        f"none of {len(trials)} trials{where} came to an end{last}; see {out / 'trials.csv'}"
    )

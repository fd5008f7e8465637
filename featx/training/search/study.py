"""A search's studies in Optuna's journal: opened, taken up, and read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from featx.errors import FeatxError
from featx.training.config.cascade_file import describe
from featx.training.search.file import Search, SettledPhase
from featx.training.search.results import FAILURE
from featx.training.search.space import Space, grid, in_words, label

_RETRY_OF = "retry_of"


def open_storage(search: Search, out: Path, resume: bool) -> JournalStorage:
    """Open the journal of a search in a folder, which is made where it is not there.

    Raises
    ------
    FeatxError
        If there is a journal that is not to be resumed, or that is of another search.
    """
    journal = out / "study.log"
    if journal.exists() and not resume:
        raise FeatxError(f"{out} holds an earlier search; add --resume, or give another -o")
    out.mkdir(parents=True, exist_ok=True)
    optuna.logging.set_verbosity(optuna.logging.ERROR)  # a failed trial is told by its reason
    storage = JournalStorage(JournalFileBackend(str(journal)))
    for study in storage.get_all_studies():
        if study.user_attrs.get("search", _described(search)) != _described(search):
            raise FeatxError(f"{out} holds a search of other settings; give another -o")
    return storage


def open_study(
    storage: JournalStorage, search: Search, phase: SettledPhase, space: Space, drawn: int
) -> optuna.Study:
    """Open a phase's study, with the trials that are still to be made in its queue.

    A phase has a study of its own, for Optuna lets no list of values change within one, and losses
    after more or fewer epochs would mislead its sampler.

    Parameters
    ----------
    storage : JournalStorage
        As from `open_storage`.
    search, phase : Search, SettledPhase
        What is searched.
    space : mapping
        The phase's own.
    drawn : int
        How many settings were drawn in the phases before.
    """
    study = optuna.create_study(
        study_name=phase.name or "search",
        storage=storage,
        pruner={
            "none": optuna.pruners.NopPruner(),
            "median": optuna.pruners.MedianPruner(),
            "hyperband": optuna.pruners.HyperbandPruner(max_resource=phase.epochs),
        }[phase.pruner],
        load_if_exists=True,
    )
    study.set_user_attr("search", _described(search))
    study.set_user_attr("space", {key: in_words(values) for key, values in space.items()})
    # a resumed search draws other settings
    seed = search.seed + drawn + len(study.get_trials())
    kind = optuna.samplers.TPESampler if phase.sampler == "tpe" else optuna.samplers.RandomSampler
    study.sampler = kind(seed=seed)
    _retry_interrupted(study)
    if phase.sampler == "grid":
        begun = [_params(trial) for trial in study.get_trials()]
        for settings in grid(space, phase.trials):
            params = {key: label(value) for key, value in settings.items()}
            if params not in begun:
                study.enqueue_trial(params)
    return study


def _described(search: Search) -> str:
    told = describe(search)
    if search.phases is None:
        told.pop("phases")  # as before there were any
    return json.dumps(told, sort_keys=True)


def _params(trial: FrozenTrial) -> dict[str, Any]:
    """Return a trial's settings, also those that it has waited with or not come to."""
    return {**trial.system_attrs.get("fixed_params", {}), **trial.params}


def finished(study: optuna.Study) -> list[FrozenTrial]:
    """Return the trials that need not be made again."""
    over = study.get_trials(states=(TrialState.COMPLETE, TrialState.PRUNED))
    failed = study.get_trials(states=(TrialState.FAIL,))
    return sorted(
        [*over, *(trial for trial in failed if FAILURE in trial.user_attrs)],
        key=lambda trial: trial.number,
    )


def ended(study: optuna.Study) -> list[Any]:
    """Return the trials that came to an end, the one with the lowest loss first."""
    return sorted(
        study.get_trials(states=(TrialState.COMPLETE,)),
        key=lambda trial: (trial.value, trial.number),
    )


def _retry_interrupted(study: optuna.Study) -> None:
    """Put the settings of trials that were killed, or stopped by Ctrl-C, first in the queue."""
    retried = {trial.user_attrs.get(_RETRY_OF) for trial in study.get_trials()}
    for trial in study.get_trials(states=(TrialState.RUNNING, TrialState.FAIL)):
        if FAILURE in trial.user_attrs:
            continue
        if trial.state == TrialState.RUNNING:
            study.tell(trial.number, state=TrialState.FAIL)
        if _params(trial) and trial.number not in retried:
            study.enqueue_trial(_params(trial), user_attrs={_RETRY_OF: trial.number})

"""Fine-tuned networks under a protocol: every fold trains its own, and is tested by it.

A cascade's early stages run once, its last stage once a fold, on the fold's training subjects only.
The predictions are written as `featx regress` writes them, so that `featx compare` puts the
networks beside any regressor on any features. On each fold's network regressors can be fitted too.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from itertools import takewhile
from pathlib import Path
from typing import Any

from experiments.fold_networks import FoldWork, run_fold
from experiments.fold_plan import EndToEnd
from experiments.fold_results import (
    finished_early,
    folders,
    folds_key,
    publish_method,
    unfinished,
)
from featx.cluster import Part, end_workers, run, signal_workers
from featx.devices import resolve_device, spread_devices
from featx.errors import FeatxError, Interrupted
from featx.progress import tracking
from featx.training.cascade import run_cascade
from featx.training.loop import SAVE_EVERY
from featx.training.processes import Processes
from featx.training.stage import NETWORK
from featx.training.stopping import Request, asked, deferred
from featx.weights import LoadedNetwork
from regress.fold_records import finished_folds, forget
from regress.predictions import label_columns
from regress.protocols import Fold
from regress.publishing import start_folder


def run_end_to_end(
    plan: EndToEnd,
    out: Path,
    *,
    device: str = "auto",
    jobs: int = 1,
    resume: bool = False,
    keep_networks: bool = False,
    stages: Path | None = None,
    progress: bool = False,
    save_every: float = SAVE_EVERY,
    say: Callable[[str], None] = lambda line: None,
) -> list[dict[str, Any]]:
    """Train the early stages, then every fold's network, and write all methods' predictions.

    Parameters
    ----------
    plan : EndToEnd
        From `plan_end_to_end`.
    out : Path
        Early stages go below it, the folds' networks into ``folds/``, predictions into ``runs/``.
    device : str
        Where to train.
    jobs : int
        Folds at a time, each in a process of its own, in turn on every GPU of ``auto`` or ``cuda``.
    resume : bool
        Keep finished stages and folds.
    keep_networks : bool
        Keep each fold's network file; without it only its predictions stay.
    stages : Path, optional
        Where the networks of stages are kept that each fold trains before the target; below `out`
        by default. Runs that have stages in common share them there.
    save_every : float
        Seconds of training between two saved states, of early stages and folds.

    Returns
    -------
    list of dict
        The content of each method's ``run.json``.

    Raises
    ------
    FeatxError
        If `out` holds an earlier run and `resume` is false, or an early stage fails. A fold that
        fails is recorded, and does not lose the others.
    Interrupted
        Inside `featx.training.stopping.stoppable`, when a signal has come; no fold counts as failed
        by it.
    """
    for folder in folders(plan, out):
        start_folder(folder, resume)
    alone = Processes(0, 1, resolve_device(device))
    parent = train_early(
        plan, out, alone, resume=resume, progress=progress, save_every=save_every, say=say
    )
    failed = _train_folds(
        plan,
        parent,
        out,
        device=device,
        jobs=jobs,
        keep_networks=keep_networks,
        stages=stages,
        progress=progress,
        save_every=save_every,
    )
    return [publish_method(plan, method, parent, out, failed) for method in plan.methods]


def train_early(
    plan: EndToEnd,
    out: Path,
    processes: Processes,
    *,
    resume: bool = False,
    progress: bool = False,
    save_every: float = SAVE_EVERY,
    say: Callable[[str], None] = lambda line: None,
) -> LoadedNetwork:
    """Train the early stages, by one process or several; return what the folds start from.

    Raises
    ------
    FeatxError
        As `run_cascade`.
    """
    return run_cascade(
        plan.cascade,
        plan.early,
        out,
        processes,
        resume=resume,
        progress=progress,
        say=say,
        save_every=save_every,
    )


def train_part(
    plan: EndToEnd,
    part: Part,
    out: Path,
    *,
    device: str = "auto",
    jobs: int = 1,
    keep_networks: bool = False,
    progress: bool = False,
    save_every: float = SAVE_EVERY,
) -> tuple[list[str], dict[str, str]]:
    """Train a part of the folds, beside other parts on other machines, and publish nothing.

    Each fold's files have one writer, and finished folds are kept. Parameters are as of
    `run_end_to_end`.

    Returns
    -------
    tuple of (folds, failed)
        The part's folds, and why some failed.

    Raises
    ------
    FeatxError
        If an early stage is not finished.
    """
    parent = finished_early(plan, out)
    for folder in folders(plan, out):
        start_folder(folder, resume=True)
    mine = replace(plan, folds=part.of(plan.folds))
    failed = _train_folds(
        mine,
        parent,
        out,
        device=device,
        jobs=jobs,
        keep_networks=keep_networks,
        apart=True,
        progress=progress,
        save_every=save_every,
    )
    return [fold.name for fold in mine.folds], failed


def _train_folds(
    plan: EndToEnd,
    parent: LoadedNetwork,
    out: Path,
    *,
    device: str,
    jobs: int,
    keep_networks: bool,
    progress: bool,
    save_every: float,
    stages: Path | None = None,
    apart: bool = False,
) -> dict[str, str]:
    """Train the plan's folds that are not finished, and return why some failed."""
    key = folds_key(plan, parent)
    todo = unfinished(plan, parent, out)
    for folder in folders(plan, out):
        names = [fold.name for fold in todo]
        forget(folder, set(names) - set(finished_folds(folder, key, names)))  # former failures
    jobs = max(1, min(jobs, len(todo)))
    start = plan.cascade.backbone, plan.cascade.weights_found
    if plan.early:
        last = plan.early[-1]
        start = last.backbone, str(out / last.folder_name / NETWORK)
    work = FoldWork(
        start,
        plan.repeated,
        plan.target,
        plan.images[label_columns(plan.images)],
        plan.methods,
        plan.options,
        plan.seed,
        out,
        stages or out / "stages",
        key,
        keep_networks,
        save_every,
        jobs,
        apart,
    )
    failed: dict[str, str] = {}
    already = len(plan.folds) - len(todo)
    with tracking("folds", len(plan.folds), "fold", already) as advance:
        for name, reason in _run_folds(work, todo, device, progress):
            if reason:
                failed[name] = reason
            advance(1)
    return failed


def _run_folds(
    work: FoldWork, todo: list[Fold], device: str, progress: bool
) -> Iterator[tuple[str, str | None]]:
    """Yield each fold's name and why it failed; after a signal, let those in hand save and stop."""
    alone = work.jobs == 1
    devices = [device] if alone else spread_devices(device)
    stops: list[Interrupted] = []
    tasks = (
        (work, fold, devices[number % len(devices)], progress and alone)
        for number, fold in takewhile(lambda _: not stops and not asked(), enumerate(todo))
    )
    with nullcontext() if alone else deferred(tell=_tell_workers):
        try:
            for name, outcome in run(run_fold, tasks, work.jobs):
                if isinstance(outcome, Interrupted):
                    if not stops and not alone:
                        _tell_workers(Request[outcome.signal])
                    stops.append(outcome)
                else:
                    yield name, outcome
        except FeatxError:
            if not asked():  # else it is processes that the signal has met before their first fold
                raise
        finally:
            if not alone and (stops or asked()):
                end_workers()
        if stops:
            raise stops[0]


def _tell_workers(request: Request) -> None:
    signal_workers(signal.Signals[request.name])

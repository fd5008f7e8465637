"""Fine-tuned networks under a protocol: every fold trains its own, and is tested by it.

A cascade's early stages run once, its last stage once a fold, on the fold's training subjects only.
The predictions are written as `featx regress` writes them, so that `featx compare` puts the
networks beside any regressor on any features. On each fold's network regressors can be fitted too.
"""

from __future__ import annotations

import hashlib
import json
import signal
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from itertools import takewhile
from pathlib import Path
from typing import Any

from experiments.fold_networks import FoldWork, run_fold
from experiments.fold_plan import EndToEnd, FoldMethod
from experiments.run_record import network_record, task_record
from featx import __version__
from featx.cluster import Part, end_workers, run, signal_workers
from featx.devices import resolve_device, spread_devices
from featx.errors import FeatxError, Interrupted
from featx.progress import tracking
from featx.training.cascade import finished_cascade, run_cascade
from featx.training.cascade_file import describe
from featx.training.loop import SAVE_EVERY
from featx.training.planning import StagePlan
from featx.training.processes import Processes
from featx.training.stage import NETWORK
from featx.training.stopping import Request, asked, deferred
from featx.weights import LoadedNetwork
from regress.predictions import FORMAT, failed_folds, finished_folds, forget
from regress.protocols import Fold
from regress.publishing import publish, start_folder


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
    for folder in _folders(plan, out):
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
    return [_publish(plan, method, parent, out, failed) for method in plan.methods]


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
    parent = _finished_early(plan, out)
    for folder in _folders(plan, out):
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


def gather_folds(plan: EndToEnd, out: Path) -> list[dict[str, Any]]:
    """Publish the folds that are there, training nothing; return as `run_end_to_end`.

    Raises
    ------
    FeatxError
        If an early stage is not finished: then no fold can be.
    """
    parent = _finished_early(plan, out)
    key = _key(plan, parent)
    names = [fold.name for fold in plan.folds]
    failed: dict[str, str] = {}
    for folder in _folders(plan, out):
        start_folder(folder, resume=True)
        failed |= failed_folds(folder, key, names)
    return [_publish(plan, method, parent, out, failed) for method in plan.methods]


def _folders(plan: EndToEnd, out: Path) -> list[Path]:
    return [out / "runs" / method.stem for method in plan.methods]


def _finished_early(plan: EndToEnd, out: Path) -> LoadedNetwork:
    try:
        return finished_cascade(plan.cascade, plan.early, out)
    except FeatxError as error:
        raise FeatxError(
            f"{error}; train the early stages with the same command and --early-only"
        ) from None


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
    key = _key(plan, parent)
    names = [fold.name for fold in plan.folds]
    done = [finished_folds(folder, key, names) for folder in _folders(plan, out)]
    todo = [fold for fold in plan.folds if not all(fold.name in found for found in done)]
    for folder, found in zip(_folders(plan, out), done, strict=True):
        forget(folder, [fold.name for fold in todo if fold.name not in found])  # former failures
    jobs = max(1, min(jobs, len(todo)))
    start = plan.cascade.backbone, plan.cascade.weights_found
    if plan.early:
        last = plan.early[-1]
        start = last.backbone, str(out / last.folder_name / NETWORK)
    work = FoldWork(
        start,
        plan.repeated,
        plan.target,
        plan.images[["image", "subject", "age"]],
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


def _stage_source(plan: StagePlan) -> list[Any]:
    """Return what a stage's networks are computed from, beside their parent and their fold."""
    stage = describe(plan.stage)
    stage["data"].pop("tables", None)  # where they lie; the digest tells what they hold
    return [stage, plan.seed, plan.data.digest()]


def _key(plan: EndToEnd, parent: LoadedNetwork) -> str:
    stages = [_stage_source(each) for each in (*plan.repeated, plan.target)]
    source = [FORMAT, __version__, parent.sha256, plan.protocol, plan.seed, plan.split, stages]
    return hashlib.sha256(json.dumps(source, sort_keys=True, default=str).encode()).hexdigest()


def _publish(
    plan: EndToEnd, method: FoldMethod, parent: LoadedNetwork, out: Path, failed: dict[str, str]
) -> dict[str, Any]:
    stage = plan.target.stage
    samples = plan.target.data.train
    info = {
        "method": method.name,
        "layer": method.layer or "network",
        "regressor": method.spec or "end-to-end",
        "parameters": {"stage": describe(stage), **plan.options},
        "protocol": plan.protocol,
        "seed": plan.seed,
        "split_hash": plan.split,
        **task_record(method.task, stage.groups),
        "cascade": str(plan.cascade.file),
        "features": network_record(parent, plan.cascade.file, method.view, stage.data.tables),
        "counts": {
            "total": samples.n_total,
            "evaluated": len(samples),
            "without_subject": int((samples.table["subject"] == "").sum()),
        },
    }
    key = _key(plan, parent)
    return publish(out / "runs" / method.stem, key, plan.planned, failed, info)

"""Fine-tuned networks under a protocol: every fold trains its own, and is tested by it.

A cascade's early stages run once, its last stage once a fold, on the fold's training subjects only.
The predictions are written as `featx regress` writes them, so that `featx compare` puts the
networks beside any regressor on any features. On each fold's network regressors can be fitted too.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from experiments.fold_networks import FoldWork, run_fold
from experiments.fold_plan import EndToEnd, FoldMethod
from experiments.run_record import network_record, task_record
from featx import __version__
from featx.cluster import run
from featx.devices import resolve_device, spread_devices
from featx.progress import tracking
from featx.training.cascade import run_cascade
from featx.training.cascade_file import describe
from featx.training.loop import SAVE_EVERY
from featx.training.planning import StagePlan
from featx.training.processes import Processes
from featx.training.stage import NETWORK
from featx.weights import LoadedNetwork
from regress.predictions import FORMAT, finished_folds
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
    """
    alone = Processes(0, 1, resolve_device(device))
    folders = {method.name: out / "runs" / method.stem for method in plan.methods}
    for folder in folders.values():
        start_folder(folder, resume)
    parent = run_cascade(
        plan.cascade,
        plan.early,
        out,
        alone,
        resume=resume,
        progress=progress,
        say=say,
        save_every=save_every,
    )
    key = _key(plan, parent)
    done = [finished_folds(folder, key) for folder in folders.values()]
    todo = [fold for fold in plan.folds if not all(fold.name in found for found in done)]
    failed: dict[str, str] = {}
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
    )
    devices = spread_devices(device) if jobs > 1 else [device]
    tasks = (
        (work, fold, devices[number % len(devices)], progress and jobs == 1)
        for number, fold in enumerate(todo)
    )
    with tracking("folds", len(plan.folds), "fold", len(plan.folds) - len(todo)) as advance:
        for name, reason in run(run_fold, tasks, jobs):
            if reason:
                failed[name] = reason
            advance(1)
    return [_publish(plan, method, parent, out, key, failed) for method in plan.methods]


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
    plan: EndToEnd, method: FoldMethod, parent: LoadedNetwork, out: Path, key: str, failed: Any
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
    return publish(out / "runs" / method.stem, key, plan.planned, failed, info)

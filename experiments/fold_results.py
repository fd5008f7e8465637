"""The folds of a cascade under a protocol as they lie in a folder, and their published tables."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from experiments.fold_plan import EndToEnd, FoldMethod
from experiments.run_record import network_record, task_record
from featx import __version__
from featx.errors import FeatxError
from featx.training.cascade import finished_cascade
from featx.training.config.cascade_file import describe
from featx.training.planning import StagePlan
from featx.weights import LoadedNetwork
from regress.fold_records import failed_folds, finished_folds
from regress.predictions import FORMAT
from regress.protocols import Fold
from regress.publishing import publish, start_folder


def gather_folds(plan: EndToEnd, out: Path) -> list[dict[str, Any]]:
    """Publish the folds that are there, training nothing; return as `run_end_to_end`.

    Raises
    ------
    FeatxError
        If an early stage is not finished: then no fold can be.
    """
    parent = finished_early(plan, out)
    key = folds_key(plan, parent)
    names = [fold.name for fold in plan.folds]
    failed: dict[str, str] = {}
    for folder in folders(plan, out):
        start_folder(folder, resume=True)
        failed |= failed_folds(folder, key, names)
    return [publish_method(plan, method, parent, out, failed) for method in plan.methods]


def unfinished(plan: EndToEnd, parent: LoadedNetwork, out: Path) -> list[Fold]:
    """Return the folds of which some method's predictions are not there."""
    key = folds_key(plan, parent)
    names = [fold.name for fold in plan.folds]
    done = [finished_folds(folder, key, names) for folder in folders(plan, out)]
    return [fold for fold in plan.folds if not all(fold.name in found for found in done)]


def folders(plan: EndToEnd, out: Path) -> list[Path]:
    """Return each method's folder."""
    return [out / "runs" / method.stem for method in plan.methods]


def finished_early(plan: EndToEnd, out: Path) -> LoadedNetwork:
    """Return the network that all folds start from.

    Raises
    ------
    FeatxError
        If an early stage is not finished.
    """
    try:
        return finished_cascade(plan.cascade, plan.early, out)
    except FeatxError as error:
        raise FeatxError(
            f"{error}; train the early stages with the same command and --early-only"
        ) from None


def _stage_source(plan: StagePlan) -> list[Any]:
    """Return what a stage's networks are computed from, beside their parent and their fold."""
    stage = describe(plan.stage)
    stage["data"].pop("tables", None)  # where they lie; the digest tells what they hold
    return [stage, plan.seed, plan.data.digest()]


def folds_key(plan: EndToEnd, parent: LoadedNetwork) -> str:
    """Return a hash of all that the folds' predictions are computed from."""
    stages = [_stage_source(each) for each in (*plan.repeated, plan.target)]
    source = [FORMAT, __version__, parent.sha256, plan.protocol, plan.seed, plan.split, stages]
    return hashlib.sha256(json.dumps(source, sort_keys=True, default=str).encode()).hexdigest()


def publish_method(
    plan: EndToEnd, method: FoldMethod, parent: LoadedNetwork, out: Path, failed: dict[str, str]
) -> dict[str, Any]:
    """Write a method's tables, and ``run.json``, whose content is returned."""
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
    key = folds_key(plan, parent)
    return publish(out / "runs" / method.stem, key, plan.planned, failed, info)

"""A network tested on a data set that it has not seen: trained on others, and on all of them.

No image and no person of the test set is among those of any stage, trained on or validated on.
The predictions are written as `featx regress` writes them, as one fold named ``all``.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from experiments.own_head import beside_labels, estimate, spec_of
from experiments.run_record import network_record, task_record
from experiments.start_weights import check_start
from featx import __version__
from featx.backbones import get_backbone
from featx.devices import resolve_device
from featx.errors import FeatxError
from featx.heads import Task
from featx.manifest import read_table
from featx.training.config.cascade_file import Cascade, describe
from featx.training.images.labels import bounds, drop_uncovered
from featx.training.images.pixels import PixelStore
from featx.training.images.samples import Samples, apply_filter, check_disjoint, read_samples
from featx.training.images.stage_data import head_specs
from featx.training.planning import StagePlan, plan_stages
from featx.training.shortage import telling_shortage
from featx.views import View
from featx.weights import load_network
from regress.fold_pieces import write_fold
from regress.fold_records import finished_folds
from regress.methods import plain
from regress.predictions import FORMAT, label_columns
from regress.protocols import Fold, split_hash, with_subjects
from regress.publishing import publish, start_folder

FOLD = "all"
PROTOCOL = "cross-dataset"


@dataclass(frozen=True)
class CrossDataset:
    """A cascade and the images that its last network is tested on, planned.

    Attributes
    ----------
    cascade : Cascade
        As read.
    stages : list of StagePlan
        All of its stages, on all of their data.
    table : Path
        The prepared folder of the test set.
    test : Samples
        Its usable images: those that have a label of the task, in one of `groups` if there are any.
    by_status : dict
        How many rows the table has of each status.
    groups : tuple of str
        The age groups that are told; none where ages are told as such, or genders.
    task, view
        What is told, and the crops that are averaged over.
    """

    cascade: Cascade
    stages: list[StagePlan]
    table: Path
    test: Samples
    by_status: dict[str, int]
    groups: tuple[str, ...]
    task: Task
    view: View

    @property
    def last(self) -> StagePlan:
        """The stage whose network is tested."""
        return self.stages[-1]

    @property
    def trained_on(self) -> list[str]:
        """The data sets that the last stage is trained on."""
        return list(dict.fromkeys(self.last.data.train.table["dataset"]))


def plan_cross_dataset(
    cascade: Cascade,
    table: Path,
    *,
    groups: Sequence[str] = (),
    task: Task = "age",
    view: View = "centre",
) -> CrossDataset:
    """Read all data, and prove that no stage sees a test image or a person of the test set.

    Parameters
    ----------
    cascade : Cascade
        All of its stages are trained once.
    table : Path
        The prepared folder of the test set.
    groups : sequence of str
        The age groups of its labels; by default those that the network tells, if it tells groups.
        Ages outside them are left out.
    task, view
        See `CrossDataset`.

    Raises
    ------
    FeatxError
        As `plan_stages` and `read_samples`; if a stage, or the network that the cascade starts
        from, shares people or byte-identical images with the test set; if the last stage has no
        such task or view; if the test set has no label of the task, or only groups where ages are
        told.
    """
    stages = plan_stages(cascade)
    last = stages[-1]
    where = f"stage {last.stage.name} of {cascade.file.name}"
    specs = head_specs(last.stage, last.data.train, get_backbone(last.backbone))
    spec = spec_of(specs, task, where)
    if view not in last.stage.views:
        raise FeatxError(f"{where} has the views {', '.join(last.stage.views)}, not {view}")
    told = tuple(groups) or spec.groups if task == "age" else ()
    try:
        samples = apply_filter(read_samples([table]), None, (task,))
        if told:
            samples = drop_uncovered(samples, [sum(bounds(g)) / 2 for g in told], told)
        elif task == "age":
            samples = _with_ages(samples, where)
    except FeatxError as error:
        raise FeatxError(f"{table}: {error}") from None
    check_start(cascade, samples, f"the test set {table}")
    for plan in stages:
        for side in (plan.data.train, plan.data.validation):
            if side is not None:
                check_disjoint(side, samples, f"stage {plan.stage.name} and the test set {table}")
    by_status = dict(Counter(read_table(table)["status"]))
    return CrossDataset(cascade, stages, table, samples, by_status, told, task, view)


def _with_ages(samples: Samples, where: str) -> Samples:
    known = np.flatnonzero(samples.table["age"].notna())
    if not len(known):
        raise FeatxError(
            f"no image has an age, and {where} tells ages; give the age groups of the labels "
            "(tested_on.groups)"
        )
    return samples.take(known)


def run_cross_dataset(
    plan: CrossDataset,
    network: Path,
    out: Path,
    *,
    device: str = "auto",
    told: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Let the trained network tell about every image of the test set, and write what it says.

    Parameters
    ----------
    plan : CrossDataset
        From `plan_cross_dataset`.
    network : Path
        What its last stage made.
    out : Path
        The run's folder. What it holds of the same network and images is kept.
    device : str
        Where to compute.
    told : dict, optional
        What else ``run.json`` tells.

    Returns
    -------
    dict
        The content of ``run.json``. ``seconds`` are those of the predictions, without the training.

    Raises
    ------
    FeatxError
        If an image cannot be read, or memory does not suffice.
    """
    start = time.perf_counter()
    loaded = load_network(plan.last.backbone, str(network))
    images = with_subjects(plan.test.table)
    source = [FORMAT, __version__, loaded.sha256, plan.test.digest(), plan.groups]
    source += [plan.task, plan.view]
    key = hashlib.sha256(json.dumps(source).encode()).hexdigest()
    start_folder(out, resume=True)
    if FOLD not in finished_folds(out, key):
        where = resolve_device(device)
        rows = np.arange(len(plan.test))
        remedy = "to use the network on it; give another --device"
        short = telling_shortage("the test set", remedy, where)
        with short, PixelStore(plan.test.files, loaded.preprocessing) as store:
            said = estimate(loaded, store, rows, task=plan.task, view=plan.view, device=where)
        table = pd.DataFrame(images[label_columns(images)]).assign(
            fold=FOLD, **beside_labels(plan.test, said, plan.task, plan.groups)
        )
        record = {
            "fold": FOLD,
            "key": key,
            "n_train": len(plan.last.data.train),
            "n_test": len(plan.test),
            "report": plain({"network_sha256": loaded.sha256, **said.report}),
            "seconds": round(time.perf_counter() - start, 3),
        }
        write_fold(out, table, record, said.piece)
    five = " · five crops" if plan.view == "five" else ""
    info = {
        "method": f"trained on {', '.join(plan.trained_on)}{five}",
        "layer": "network",
        "regressor": PROTOCOL,
        "parameters": {"stage": describe(plan.last.stage)},
        "protocol": PROTOCOL,
        "seed": plan.cascade.seed,
        "split_hash": split_hash(images, [Fold(FOLD, np.array([], int), np.arange(len(images)))]),
        **task_record(plan.task, plan.groups),
        "features": network_record(loaded, plan.cascade.file, plan.view, [plan.table]),
        "counts": {
            "total": plan.test.n_total,
            "evaluated": len(plan.test),
            "by_status": plan.by_status,
            "without_subject": int((plan.test.table["subject"] == "").sum()),
        },
        **(told or {}),
    }
    return publish(out, key, [FOLD], {}, info)

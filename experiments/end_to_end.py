"""Fine-tuned networks under a protocol: every fold trains its own, and is tested by it.

A cascade's early stages run once, its last stage once a fold, on the fold's training subjects only.
The predictions are written as `featx regress` writes them, so that `featx compare` puts the
networks beside any regressor on any features. On each fold's network regressors can be fitted too.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from regress.publishing import start_folder

from featx import __version__
from featx.atomic import write_json
from featx.cluster import run
from featx.devices import resolve_device
from featx.errors import FeatxError
from featx.progress import tracking
from featx.training.cascade import StagePlan, plan_stages, run_cascade, run_stage, start_network
from featx.training.cascade_file import Cascade, describe
from featx.training.data import split_stage
from featx.training.inference import predict
from featx.training.pixels import PixelStore
from featx.training.processes import Processes
from featx.training.samples import check_disjoint
from featx.weights import LoadedNetwork, load_network
from regress.predictions import FORMAT, finished_folds, fold_stem, write_fold
from regress.protocols import Fold, plan_folds, split_hash, with_subjects
from regress.regressors import make_regressor


@dataclass(frozen=True)
class FoldMethod:
    """What is predicted in every fold: the network itself, or a regressor on one of its layers.

    Attributes
    ----------
    layer, spec : str
        Of the regressor; both empty for the network's own head.
    """

    layer: str = ""
    spec: str = ""

    @property
    def name(self) -> str:
        """The name under which it is shown."""
        return f"{self.layer} · {self.spec} · fold networks" if self.spec else "end to end"

    @property
    def stem(self) -> str:
        """The name of its folder."""
        return fold_stem(
            f"{self.layer}.{self.spec.replace(':', '.')}" if self.spec else "end-to-end"
        )


@dataclass(frozen=True)
class EndToEnd:
    """A cascade under a protocol, planned.

    Attributes
    ----------
    cascade : Cascade
        As read.
    early : list of StagePlan
        Run once.
    target : StagePlan
        Its data is the whole target set; each fold takes its part of it.
    images : pandas.DataFrame
        The target's rows as the protocol sees them.
    folds : list of Fold
        Those to be run.
    planned : int
        Folds of the protocol, of which `folds` may be a selection.
    split : str
        The split hash of the whole protocol.
    methods : list of FoldMethod
        The network's own head first.
    """

    cascade: Cascade
    protocol: str
    seed: int
    early: list[StagePlan]
    target: StagePlan
    images: pd.DataFrame
    folds: list[Fold]
    planned: int
    split: str
    methods: list[FoldMethod]
    options: dict[str, Any]


def plan_end_to_end(
    cascade: Cascade,
    protocol: str,
    *,
    only: Sequence[str] = (),
    layers: Sequence[str] = (),
    regressors: Sequence[str] = (),
    options: dict[str, Any] | None = None,
) -> EndToEnd:
    """Read all data, plan the folds, and prove that no early stage sees a test image.

    Parameters
    ----------
    cascade : Cascade
        Its last stage is the target.
    protocol : str
        See `regress.protocols`.
    only : sequence of str
        The names of the folds to be run; all by default.
    layers, regressors : sequence of str
        Each regressor is fitted on each layer of every fold's network too.
    options : dict, optional
        Of the regressors, as for `featx regress`.

    Raises
    ------
    FeatxError
        As `plan_stages` and `plan_folds`; if an early stage shares people or byte-identical images
        with the target; if there is no fold of a name.
    """
    *early, target = plan_stages(cascade, split_last=False)
    samples = target.data.train
    for plan in early:
        for side in (plan.data.train, plan.data.validation):
            if side is not None:
                check_disjoint(side, samples, f"the target, stage {target.stage.name}")
    images = with_subjects(samples.table)
    folds = plan_folds(protocol, images, cascade.seed)
    split = split_hash(images, folds)
    chosen = [fold for fold in folds if not only or fold.name in only]
    unknown = sorted(set(only) - {fold.name for fold in folds})
    if unknown:
        raise FeatxError(
            f"--fold {unknown[0]}: {protocol} has no such fold; its folds are "
            f"{', '.join(fold.name for fold in folds[:5])}, …"
        )
    for spec in regressors:
        make_regressor(spec, options or {}, cascade.seed)
    methods = [FoldMethod()] + [FoldMethod(la, spec) for la in layers for spec in regressors]
    return EndToEnd(
        cascade,
        protocol,
        cascade.seed,
        early,
        target,
        images,
        chosen,
        len(folds),
        split,
        methods,
        dict(options or {}),
    )


def run_end_to_end(
    plan: EndToEnd,
    out: Path,
    *,
    device: str = "auto",
    jobs: int = 1,
    resume: bool = False,
    keep_networks: bool = False,
    progress: bool = False,
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
        Folds at a time, each in a process of its own; several share a GPU.
    resume : bool
        Keep finished stages and folds.
    keep_networks : bool
        Keep each fold's network file; without it only its predictions stay.

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
        plan.cascade, plan.early, out, alone, resume=resume, progress=progress, say=say
    )
    weights = str(out / plan.early[-1].folder_name / "network.safetensors") if plan.early else ""
    key = _key(plan, parent)
    done = [finished_folds(folder, key) for folder in folders.values()]
    todo = [fold for fold in plan.folds if not all(fold.name in found for found in done)]
    failed: dict[str, str] = {}
    tasks = (
        (plan, weights, fold, out, device, key, keep_networks, progress and jobs == 1)
        for fold in todo
    )
    with tracking("folds", len(plan.folds), "fold", len(plan.folds) - len(todo)) as advance:
        for name, reason in run(_run_fold, tasks, jobs):
            if reason:
                failed[name] = reason
            advance(1)
    return [
        _publish(plan, method, parent, folders[method.name], key, failed) for method in plan.methods
    ]


def _key(plan: EndToEnd, parent: LoadedNetwork) -> str:
    target = describe(plan.target.stage)
    target["data"].pop("tables", None)
    source = [
        FORMAT,
        __version__,
        parent.sha256,
        target,
        plan.protocol,
        plan.seed,
        plan.target.seed,
        plan.split,
        plan.target.data.digest(),
    ]
    return hashlib.sha256(json.dumps(source, sort_keys=True, default=str).encode()).hexdigest()


def _parent(plan: EndToEnd, weights: str) -> LoadedNetwork:
    if weights:
        return load_network(plan.cascade.backbone, weights)
    return start_network(plan.cascade)


@lru_cache(maxsize=1)
def _decoded(files: tuple[str, ...], backbone: str, weights: str) -> PixelStore:
    """Return the target's pixels, decoded once a process."""
    preprocessing = load_network(backbone, weights).preprocessing
    store = PixelStore(files, preprocessing)
    store.load()
    return store


def _run_fold(
    plan: EndToEnd,
    weights: str,
    fold: Fold,
    out: Path,
    device: str,
    key: str,
    keep_network: bool,
    progress: bool,
) -> tuple[str, str | None]:
    """Train one fold's network and write every method's predictions of its test images."""
    folders = [out / "runs" / method.stem for method in plan.methods]
    try:
        _fold(plan, weights, fold, out, device, key, keep_network, progress)
    except Exception as error:  # one failed fold must not lose the others
        reason = str(error) if isinstance(error, FeatxError) else f"{type(error).__name__}: {error}"
        text = " ".join(reason.split())
        for folder in folders:
            record = {"fold": fold.name, "key": key, "error": text}
            write_json(folder / "folds" / f"{fold_stem(fold.name)}.json", record)
        return fold.name, text
    return fold.name, None


def _fold(
    plan: EndToEnd,
    weights: str,
    fold: Fold,
    out: Path,
    device: str,
    key: str,
    keep_network: bool,
    progress: bool,
) -> None:
    start = time.perf_counter()
    parent = _parent(plan, weights)
    samples, stage = plan.target.data.train, plan.target.stage
    store = _decoded(tuple(samples.files), plan.cascade.backbone, weights or _start(plan.cascade))
    seed = plan.target.seed
    data = split_stage(samples.take(fold.train), stage.data, seed, stage.name)
    check_disjoint(data.train, samples.take(fold.test), f"the test of fold {fold.name}")
    folder = out / "folds" / fold_stem(fold.name)
    alone = Processes(0, 1, resolve_device(device))
    network = run_stage(
        StagePlan(plan.target.number, stage, data, seed),
        parent,
        folder,
        alone,
        resume=True,
        progress=progress,
        store=store,
        rows=(data.train.positions, data.validation.positions if data.validation else None),
    )
    trained = time.perf_counter() - start
    for method in plan.methods:
        begin = time.perf_counter()
        if method.spec:
            predicted, probabilities, report = _regress(plan, method, network, store, fold, alone)
        else:
            predicted, probabilities, report = _own_head(network, store, fold, alone)
        record = {
            "fold": fold.name,
            "key": key,
            "n_train": len(fold.train),
            "n_test": len(fold.test),
            "report": report | {"network_sha256": network.sha256},
            "seconds": round(trained + time.perf_counter() - begin, 3),
        }
        table = plan.images.iloc[fold.test][["image", "subject", "age"]].copy()
        table["fold"], table["predicted_age"] = fold.name, predicted
        write_fold(out / "runs" / method.stem, table, record, probabilities)
    if not keep_network:
        for leftover in (folder / "network.safetensors",):
            leftover.unlink(missing_ok=True)


def _own_head(
    network: LoadedNetwork, store: PixelStore, fold: Fold, where: Processes
) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray] | None, dict[str, Any]]:
    assert network.head is not None
    head = network.module.get_submodule(network.backbone.head)
    module = network.module.to(where.device)
    given = predict(module, head, network.preprocessing, store, fold.test, device=where.device)
    classes = np.asarray(network.head.classes, float)
    probable = None if given.probabilities is None else (classes, given.probabilities)
    last = network.provenance["last_epoch"]
    return given.ages, probable, {"epochs": network.provenance["epochs"], **last}

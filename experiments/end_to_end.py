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
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from featx import __version__
from featx.backbones import Preprocessing
from featx.cluster import run
from featx.devices import resolve_device
from featx.engine import Engine
from featx.errors import FeatxError
from featx.heads import Head
from featx.layers import resolve
from featx.progress import tracking
from featx.provenance import prepared
from featx.training.cascade import run_cascade, start_network
from featx.training.cascade_file import Cascade, Stage, describe
from featx.training.data import names_tables, split_stage
from featx.training.inference import BATCH, predict
from featx.training.pixels import PixelStore
from featx.training.planning import StagePlan, plan_stages
from featx.training.processes import Processes
from featx.training.samples import check_disjoint, label
from featx.training.stage import NETWORK, run_stage
from featx.weights import LoadedNetwork, load_network
from regress.evaluate import plain
from regress.predictions import FORMAT, finished_folds, fold_stem, write_failure, write_fold
from regress.protocols import Fold, plan_folds, split_hash, with_subjects
from regress.publishing import publish, start_folder
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
    planned : list of str
        The names of all folds of the protocol, of which `folds` may be a selection.
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
    planned: list[str]
    split: str
    methods: list[FoldMethod]
    options: dict[str, Any]


def plan_end_to_end(
    cascade: Cascade,
    protocol: str,
    *,
    only: Sequence[str] = (),
    layers: Sequence[str] = ("gap",),
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
        Each regressor is fitted on each layer of every fold's network too; not with age groups.
    options : dict, optional
        Of the regressors, as for `featx regress`.

    Raises
    ------
    FeatxError
        As `plan_stages` and `plan_folds`; if an early stage shares people or byte-identical images
        with the target; if there is no fold of a name; if regressors are to learn age groups.
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
    if regressors and _groups(target.stage):
        raise FeatxError(
            f"--regressor {regressors[0]}: regressors learn ages, and stage {target.stage.name} "
            "has age groups; leave it out"
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
        [fold.name for fold in folds],
        split,
        methods,
        dict(options or {}),
    )


def _groups(stage: Stage) -> tuple[str, ...]:
    """Return the age groups that a stage's head tells apart; none where it tells ages."""
    classes = stage.head.classes
    return classes if isinstance(classes, tuple) and stage.head.kind != "regression" else ()


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
    weights = str(out / plan.early[-1].folder_name / NETWORK) if plan.early else ""
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
    return [_publish(plan, method, parent, out, key, failed) for method in plan.methods]


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
def _decoded(files: tuple[str, ...], preprocessing: Preprocessing) -> PixelStore:
    """Return the target's pixels, decoded once a process."""
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
    try:
        _fold(plan, weights, fold, out, device, key, keep_network, progress)
    except Exception as error:  # one failed fold must not lose the others
        reason = str(error) if isinstance(error, FeatxError) else f"{type(error).__name__}: {error}"
        text = " ".join(reason.split())
        for method in plan.methods:
            write_failure(out / "runs" / method.stem, fold.name, key, text)
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
    data = split_stage(samples.take(fold.train), stage.data, plan.target.seed, stage.name)
    test = samples.take(fold.test)
    for side in (data.train, data.validation):
        if side is not None:
            check_disjoint(side, test, f"the test of fold {fold.name}")
    store = _decoded(tuple(samples.files), parent.preprocessing)
    where = Processes(0, 1, resolve_device(device))
    folder = out / "folds" / fold_stem(fold.name)
    network = run_stage(
        StagePlan(plan.target.number, stage, data, plan.target.seed),
        parent,
        folder,
        where,
        resume=True,
        progress=progress,
        # validation images of tables of their own are not among the target's
        shared=None if names_tables(stage.data) else store,
    )
    trained = time.perf_counter() - start
    for method in plan.methods:
        begin = time.perf_counter()
        if method.spec:
            estimate = _by_regressor(plan, method, network, store, fold, where)
        else:
            estimate = _by_own_head(network, store, fold, where)
        table = plan.images.iloc[fold.test][["image", "subject", "age"]].assign(fold=fold.name)
        groups = _groups(stage)
        if groups:
            assert network.head is not None
            assert estimate.probabilities is not None
            true = label(test, network.head.classes, groups)
            table["age_group"] = np.array(groups)[true.index]
            table["predicted_group"] = np.array(groups)[estimate.probabilities[1].argmax(1)]
        else:
            table["predicted_age"] = estimate.ages
        record = {
            "fold": fold.name,
            "key": key,
            "n_train": len(fold.train),
            "n_test": len(fold.test),
            "report": plain({"network_sha256": network.sha256, **estimate.report}),
            "seconds": round(trained + time.perf_counter() - begin, 3),
        }
        write_fold(out / "runs" / method.stem, table, record, estimate.probabilities)
    if not keep_network:
        (folder / NETWORK).unlink()


@dataclass(frozen=True)
class _Estimate:
    """Ages in years, (n,); (classes, probabilities) where there are any; what else to record."""

    ages: np.ndarray
    probabilities: tuple[np.ndarray, np.ndarray] | None
    report: dict[str, Any]


def _by_own_head(
    network: LoadedNetwork, store: PixelStore, fold: Fold, where: Processes
) -> _Estimate:
    head = network.module.get_submodule(network.backbone.head)
    assert isinstance(head, Head)
    module = network.module.to(where.device)
    given = predict(module, head, network.preprocessing, store, fold.test, device=where.device)
    classes = np.array(head.spec.groups or head.spec.classes)
    probable = None if given.probabilities is None else (classes, given.probabilities)
    told = network.provenance
    return _Estimate(given.ages, probable, {"epochs": told["epochs"], **told["last_epoch"]})


def _by_regressor(
    plan: EndToEnd,
    method: FoldMethod,
    network: LoadedNetwork,
    store: PixelStore,
    fold: Fold,
    where: Processes,
) -> _Estimate:
    train = _features(network, method.layer, store, fold.train, where)
    regressor = make_regressor(method.spec, plan.options, plan.seed)
    ages = plan.images["age"].to_numpy(float)
    groups = plan.images["subject"].to_numpy(str)
    regressor.fit(train, ages[fold.train], groups=groups[fold.train])
    features = _features(network, method.layer, store, fold.test, where)
    probable = None
    if hasattr(regressor, "predict_proba"):
        probable = np.asarray(regressor.classes_, float), regressor.predict_proba(features)
    report = getattr(regressor, "report_", {})
    return _Estimate(np.asarray(regressor.predict(features), float), probable, report)


def _features(
    network: LoadedNetwork, layer: str, store: PixelStore, rows: np.ndarray, where: Processes
) -> np.ndarray:
    """Return a layer of some images, averaged over each and its mirror image, as `extract` does."""
    requests = resolve([layer], network.backbone, network.module, has_head=network.has_head)
    engine = Engine(network, requests, where.device, mirror=True)
    parts = []
    for start in range(0, len(rows), BATCH):
        some = rows[start : start + BATCH]
        pixels = store.take(some).permute(0, 2, 3, 1)
        parts.append(engine(pixels, [str(row) for row in some])[requests[0].name])
    return np.concatenate(parts)


def _publish(
    plan: EndToEnd, method: FoldMethod, parent: LoadedNetwork, out: Path, key: str, failed: Any
) -> dict[str, Any]:
    stage = plan.target.stage
    samples = plan.target.data.train
    groups = _groups(stage)
    info = {
        "method": method.name,
        "layer": method.layer or "network",
        "regressor": method.spec or "end-to-end",
        "parameters": {"stage": describe(stage), **plan.options},
        "protocol": plan.protocol,
        "seed": plan.seed,
        "split_hash": plan.split,
        **({"task": "age-group", "groups": list(groups)} if groups else {}),
        "cascade": str(plan.cascade.file),
        "features": {
            "file": plan.cascade.file.name,
            "provenance": {
                "backbone": parent.backbone.name,
                "weights": parent.weights,
                "weights_sha256": parent.sha256,
                "preprocessing": plain(asdict(parent.preprocessing)),
                "mirror": True,
                "fine_tuning": plain(parent.provenance),
                "prepare": [prepared(Path(t) / "prepare.json") for t in stage.data.tables],
            },
        },
        "counts": {
            "total": samples.n_total,
            "evaluated": len(samples),
            "without_subject": int((samples.table["subject"] == "").sum()),
        },
    }
    return publish(out / "runs" / method.stem, key, plan.planned, failed, info)

"""One fold: its own network, and what that makes of the subjects that it has not seen."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from experiments.fold_plan import FoldMethod
from experiments.own_head import Estimate, beside_labels, estimate
from featx.backbones import Preprocessing
from featx.devices import resolve_device
from featx.errors import FeatxError, Interrupted
from featx.extraction.engine import Engine
from featx.layers import resolve
from featx.training.images.pixels import PixelStore
from featx.training.images.samples import Samples, check_disjoint
from featx.training.images.stage_data import StageData, leave_out, names_tables, split_stage
from featx.training.inference import BATCH
from featx.training.planning import StagePlan, stage_key
from featx.training.processes import Processes
from featx.training.shortage import telling_shortage
from featx.training.stage import NETWORK, run_stage, start_preprocessing
from featx.training.stopping import at_once, listen
from featx.weights import LoadedNetwork, load_network
from regress.fold_pieces import write_fold
from regress.fold_records import finished_folds, fold_stem, write_failure
from regress.methods import plain
from regress.predictions import label_columns
from regress.protocols import Fold
from regress.regressors import make_regressor


@dataclass(frozen=True)
class FoldWork:
    """What every fold of a protocol is computed from, and no more: each process is sent it.

    Attributes
    ----------
    start : tuple of str
        Backbone and weights of the network that all folds start from.
    repeated : list of StagePlan
        Stages that each fold trains before the target, on whole sets.
    target : StagePlan
        Its data is the whole target set.
    images : pandas.DataFrame
        ``image``, ``subject`` and ``age`` of the same rows, as the protocol sees them.
    methods : list of FoldMethod
        What is predicted.
    options : dict
        Of the regressors.
    seed : int
        The cascade's.
    out : Path
        The protocol's folder.
    stages : Path
        Where the networks of repeated stages are kept.
    key : str
        What the predictions are computed from.
    keep_networks : bool
        Keep each fold's network file.
    save_every : float
        Seconds of training between two states.
    jobs : int
        How many folds are computed side by side on this machine.
    apart : bool
        Whether other machines compute other folds meanwhile: then the networks of repeated stages
        are not shared with them, but kept in the fold's own folder until it is done.
    """

    start: tuple[str, str]
    repeated: list[StagePlan]
    target: StagePlan
    images: pd.DataFrame
    methods: list[FoldMethod]
    options: dict[str, Any]
    seed: int
    out: Path
    stages: Path
    key: str
    keep_networks: bool
    save_every: float
    jobs: int
    apart: bool = False


def _split(plan: StagePlan, samples: Samples, test: Samples, fold: Fold) -> StageData:
    """Split a fold's images of a stage, and prove them apart from its test images."""
    data = split_stage(samples, plan.stage, plan.seed)
    for side in (data.train, data.validation):
        if side is not None:
            check_disjoint(side, test, f"the test of fold {fold.name}")
    return data


@lru_cache(maxsize=1)
def _decoded(files: tuple[str, ...], preprocessing: Preprocessing, sharers: int) -> PixelStore:
    """Return the target's pixels, decoded once a process."""
    store = PixelStore(files, preprocessing, sharers=sharers)
    store.load()
    return store


def run_fold(
    work: FoldWork, fold: Fold, device: str, progress: bool
) -> tuple[str, str | Interrupted | None]:
    """Train one fold's network and write every method's predictions of its test images.

    Returns
    -------
    tuple of (name, outcome)
        None where the fold is done, why it failed, or what has stopped it: then it is not failed,
        and in a process of its own no other fold begins.
    """
    if work.jobs > 1:
        listen()
    try:
        with at_once():
            _fold(work, fold, device, progress)
    except Interrupted as stop:
        return fold.name, stop
    except Exception as error:  # one failed fold must not lose the others
        reason = str(error) if isinstance(error, FeatxError) else f"{type(error).__name__}: {error}"
        text = " ".join(reason.split())
        for folder in (work.out / "runs" / method.stem for method in work.methods):
            if not finished_folds(folder, work.key, [fold.name]):  # a regressor may fail alone
                write_failure(folder, fold.name, work.key, text)
        return fold.name, text
    return fold.name, None


def _fold(work: FoldWork, fold: Fold, device: str, progress: bool) -> None:
    start = time.perf_counter()
    samples, stage = work.target.data.train, work.target.stage
    test = samples.take(fold.test)
    where = Processes(0, 1, resolve_device(device), work.jobs)
    parent = load_network(*work.start, seed=work.seed)
    own_folder = work.out / "folds" / fold_stem(fold.name)
    repeated = own_folder / "stages" if work.apart else work.stages
    for earlier in work.repeated:
        rest = leave_out(earlier.data.train, test)
        own = replace(earlier, data=_split(earlier, rest, test, fold))
        # named by all that determines it: other runs in this folder share it
        folder = repeated / f"{own.stage.name}-{stage_key(own, parent)[:12]}"
        parent = run_stage(
            own, parent, folder, where, resume=True, progress=progress, save_every=work.save_every
        )
    data = _split(work.target, samples.take(fold.train), test, fold)
    preprocessing = start_preprocessing(work.target, parent)
    store = _decoded(tuple(samples.files), preprocessing, where.local)
    network = run_stage(
        replace(work.target, data=data),
        parent,
        own_folder,
        where,
        resume=True,
        progress=progress,
        # validation images of tables of their own are not among the target's
        shared=None if names_tables(stage.data) else store,
        save_every=work.save_every,
    )
    trained = time.perf_counter() - start
    remedy = f"to use its network; run fewer folds at once (--jobs, here {work.jobs})"
    for method in work.methods:
        begin = time.perf_counter()
        with telling_shortage(method.name, remedy, where.device):
            if method.spec:
                said = _by_regressor(work, method, network, store, fold, where)
            else:
                said = estimate(
                    network,
                    store,
                    fold.test,
                    task=method.task,
                    view=method.view,
                    device=where.device,
                )
        table = work.images.iloc[fold.test][label_columns(work.images)].assign(
            fold=fold.name, **beside_labels(test, said, method.task, said.groups)
        )
        record = {
            "fold": fold.name,
            "key": work.key,
            "n_train": len(fold.train),
            "n_test": len(fold.test),
            "report": plain({"network_sha256": network.sha256, **said.report}),
            "seconds": round(trained + time.perf_counter() - begin, 3),
        }
        write_fold(work.out / "runs" / method.stem, table, record, said.piece)
    if not work.keep_networks:
        (own_folder / NETWORK).unlink()
        if work.apart:
            shutil.rmtree(own_folder / "stages", ignore_errors=True)


def _by_regressor(
    work: FoldWork,
    method: FoldMethod,
    network: LoadedNetwork,
    store: PixelStore,
    fold: Fold,
    where: Processes,
) -> Estimate:
    train = _features(network, method.layer, store, fold.train, where)
    regressor = make_regressor(method.spec, work.options, work.seed)
    ages = work.images["age"].to_numpy(float)
    groups = work.images["subject"].to_numpy(str)
    regressor.fit(train, ages[fold.train], groups=groups[fold.train])
    features = _features(network, method.layer, store, fold.test, where)
    classes, probable = None, None
    if hasattr(regressor, "predict_proba"):
        classes = np.asarray(regressor.classes_, float)
        probable = np.asarray(regressor.predict_proba(features))
    told = np.asarray(regressor.predict(features), float)
    return Estimate(told, classes, probable, getattr(regressor, "report_", {}))


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

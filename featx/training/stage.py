"""One stage: from a parent network to a checkpoint, or the finished one of an earlier run."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from featx import __version__
from featx.atomic import write_json
from featx.backbones import Preprocessing, get_backbone, grow
from featx.checkpoints import write_checkpoint
from featx.errors import FeatxError
from featx.heads import Heads, attach_heads
from featx.progress import tracking
from featx.trained_on import TrainedOn
from featx.training.config.cascade_file import describe
from featx.training.images.pixels import PixelStore
from featx.training.images.stage_data import balanced_weights, head_specs, stage_labels
from featx.training.journal import StageJournal
from featx.training.loop import SAVE_EVERY, StageTraining
from featx.training.planning import StagePlan, stage_key
from featx.training.processes import Processes
from featx.training.rehearsal import check_enough
from featx.training.shortage import smaller_batches, telling_shortage
from featx.training.steps import Steps
from featx.training.stopping import deferred
from featx.training.unlocking import unlock
from featx.training.validation import Images
from featx.weights import LoadedNetwork, load_network

NETWORK = "network.safetensors"
STATE = "state.pt"
_silent = nullcontext(lambda n: None)


def run_stage(
    plan: StagePlan,
    parent: LoadedNetwork,
    folder: Path,
    processes: Processes,
    *,
    resume: bool = False,
    progress: bool = False,
    shared: PixelStore | None = None,
    on_epoch: Callable[[dict[str, float]], None] = lambda row: None,
    save_every: float = SAVE_EVERY,
) -> LoadedNetwork:
    """Fine-tune a network on one stage, or take the finished result of an earlier run.

    Parameters
    ----------
    plan : StagePlan
        What to do.
    parent : LoadedNetwork
        What to start from; it is not changed.
    folder : Path
        The stage's own: ``network.safetensors``, ``history.csv``, ``stage.json``, TensorBoard's
        events, and ``state.pt`` while it is unfinished.
    processes : Processes
        Those that train together.
    resume : bool
        Take up what the folder holds.
    progress : bool
        Show how far the stage has come, on standard error.
    shared : PixelStore, optional
        The pixels of all samples that the stage's were taken from, by their `positions`, where
        several runs share them; by default the stage decodes its own.
    on_epoch : callable
        Told each epoch's row of the history.
    save_every : float
        Seconds between two states.

    Returns
    -------
    LoadedNetwork
        The fine-tuned network, as read back from its file.

    Raises
    ------
    FeatxError
        If the folder holds another run's work, or training fails (see `StageTraining`).
    Interrupted
        Inside `stoppable`, when a signal has come; the state is saved.
    """
    key = stage_key(plan, parent)
    parent = grown(plan, parent)
    result = folder / NETWORK
    finished = _finished(result, parent, key, resume, processes)
    if finished is not None:
        return finished
    stage = plan.stage
    torch.manual_seed(plan.seed)
    module, heads = prepare_network(plan, parent)
    labels = stage_labels(stage, plan.data, heads.specs)
    unlock(module, parent.backbone, stage.unlock)
    images = len(plan.data.train)  # of a fold they are known only now
    check_enough(parent.backbone.name, heads.specs, stage.unlock, images, processes.count)
    train, validation = plan.data.train, plan.data.validation
    held = validation or train.take(np.arange(0))
    store = shared or PixelStore(
        train.files + held.files, parent.preprocessing, sharers=processes.local
    )
    if shared:
        rows = train.positions, held.positions
    else:
        rows = np.arange(len(train)), len(train) + np.arange(len(held))
    weights = {}
    if stage.class_weights == "balanced":
        weights = {
            spec.task: balanced_weights(labels[0][spec.task], len(spec.classes))
            for spec in heads.specs
        }
    total = stage.epochs * len(train)
    journal = StageJournal(folder) if processes.first else None

    def note(row: dict[str, float]) -> None:
        assert journal is not None
        journal.write(training.history)
        on_epoch(row)

    showing = progress and processes.first
    short = telling_shortage(f"stage {stage.name}", smaller_batches(stage), processes.device)
    try:
        if not shared:
            with tracking("decode", len(store), "image") if showing else _silent as advance:
                store.load(advance)
        showing_training = tracking(stage.name, total, "image") if showing else _silent
        # a signal is answered after a step; after the last one the result is written first
        with deferred(), short, showing_training as advance:
            steps = Steps(
                module,
                heads,
                parent.preprocessing,
                stage,
                images=Images(store, rows[0], labels[0], train.table["image"].tolist()),
                processes=processes,
                seed=plan.seed,
                class_weights=weights,
            )
            training = StageTraining(
                steps,
                validation=Images(store, rows[1], labels[1], held.table["image"].tolist())
                if labels[1]
                else None,
                state_file=folder / STATE,
                key=key,
                on_epoch=note,
                on_images=advance,
                save_every=save_every,
            )
            training.fit()
            if journal is not None:
                journal.finish(training.history)
                told = _description(plan, parent, heads, key, training.history, processes.count)
                state = {name: tensor.cpu() for name, tensor in module.state_dict().items()}
                write_json(folder / "stage.json", told)
                # last, for by it a stage is known to be finished
                write_checkpoint(result, state, told, _trained_on(plan, parent))
                (folder / STATE).unlink(missing_ok=True)
            processes.wait()
    finally:
        if not shared:
            store.close()
    return load_network(parent.backbone.name, str(result))


def grown(plan: StagePlan, parent: LoadedNetwork) -> LoadedNetwork:
    """Return what a stage starts from: its parent, or a network that has taken the parent over."""
    if plan.stage.backbone is None:
        return parent
    return replace(
        parent,
        module=grow(plan.backbone, parent.module, parent.backbone.name, plan.seed),
        backbone=get_backbone(plan.backbone),
        preprocessing=start_preprocessing(plan, parent),
        has_head=False,
        classes=(),
        heads=(),
    )


def start_preprocessing(plan: StagePlan, parent: LoadedNetwork) -> Preprocessing:
    """Return the preprocessing of a stage's network."""
    if plan.stage.backbone is None:
        return parent.preprocessing
    return get_backbone(plan.backbone).preprocessing


def prepare_network(plan: StagePlan, parent: LoadedNetwork) -> tuple[torch.nn.Module, Heads]:
    """Return a copy of the parent's network with the stage's heads in their place.

    A head of the parent's is kept where it is of the same task, classes, kind and layers and the
    stage says so; the others are initialised.
    """
    stage = plan.stage
    module = copy.deepcopy(parent.module)
    specs = head_specs(stage, plan.data.train, parent.backbone)
    former = module.get_submodule(parent.backbone.head) if parent.heads else None
    heads = attach_heads(module, parent.backbone, specs)
    for spec in specs:
        keep = stage.head.keep if spec.task == "age" else stage.gender.keep
        for old in parent.heads:
            if keep and replace(old, dropout=spec.dropout) == spec:
                assert isinstance(former, Heads)
                heads.of(spec.task).load_state_dict(former.of(spec.task).state_dict())
    return module, heads


def finished_stage(plan: StagePlan, parent: LoadedNetwork, folder: Path) -> LoadedNetwork | None:
    """Return the network of a stage that an earlier run has finished; None where none has.

    Raises
    ------
    FeatxError
        If the folder holds that of another stage.
    """
    key, alone = stage_key(plan, parent), Processes(0, 1, torch.device("cpu"))
    return _finished(folder / NETWORK, grown(plan, parent), key, True, alone)


def _finished(
    result: Path, parent: LoadedNetwork, key: str, resume: bool, processes: Processes
) -> LoadedNetwork | None:
    # the first process looks for all: on a shared folder others may not see it yet
    state = result.parent / STATE
    done, begun = processes.hand_out(
        (result.is_file(), state.is_file()) if processes.first else (False, False)
    )
    if not done:
        if not resume and begun:
            raise FeatxError(
                f"{result.parent} holds an unfinished run; add --resume, or give another -o"
            )
        return None
    if not resume:
        raise FeatxError(f"{result.parent} holds an earlier run; add --resume, or give another -o")
    network = load_network(parent.backbone.name, str(result))
    if network.provenance.get("key") != key:
        raise FeatxError(
            f"{result} was made with other settings, weights or images; give another -o, or "
            "delete its folder to make it again"
        )
    if processes.first:
        state.unlink(missing_ok=True)  # of a run that was killed just before it did so
    return network


def _trained_on(plan: StagePlan, parent: LoadedNetwork) -> TrainedOn | None:
    """Return whom the stage's network has seen; unknown where that of its parent is."""
    if parent.trained_on is None:
        return None
    sides = [side for side in (plan.data.train, plan.data.validation) if side is not None]
    return parent.trained_on | TrainedOn.of(*(side.table for side in sides))


def _description(
    plan: StagePlan,
    parent: LoadedNetwork,
    heads: Heads,
    key: str,
    history: Sequence[dict[str, float]],
    processes: int,
) -> dict[str, Any]:
    validation = plan.data.validation
    timeless = [{k: v for k, v in row.items() if k != "seconds"} for row in history]
    return {
        "backbone": parent.backbone.name,
        "heads": [spec.describe() for spec in heads.specs],
        "preprocessing": asdict(parent.preprocessing),
        "provenance": {
            "key": key,
            "stage": describe(plan.stage),
            "seed": plan.seed,
            "processes": processes,
            "parent": {
                "weights": parent.weights,
                "sha256": parent.sha256,
                **({"provenance": parent.provenance} if parent.provenance else {}),
            },
            "images": {
                "train": len(plan.data.train),
                "validation": len(validation) if validation else 0,
                "total": plan.data.train.n_total,
                "digest": plan.data.digest(),
            },
            "crops": list(plan.crops),
            "epochs": len(history),
            "last_epoch": timeless[-1] if timeless else {},
            "featx": __version__,
            "torch": torch.__version__,
        },
    }

"""What a cascade's stages will be trained on, settled before any of them is trained."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import partial
from typing import Any

from featx import __version__
from featx.backbones import check_growth, get_backbone
from featx.errors import FeatxError
from featx.prepared import crop_settings
from featx.training.config.cascade_file import Cascade, describe
from featx.training.config.stage import Stage
from featx.training.images.stage_data import (
    StageData,
    beside,
    head_specs,
    resolve_paths,
    split_stage,
    stage_labels,
    stage_samples,
)
from featx.training.rehearsal import check_enough, check_unlock
from featx.weights import LoadedNetwork, check_weights


@dataclass(frozen=True)
class StagePlan:
    """A stage with its data read and split.

    Attributes
    ----------
    number : int
        From 1.
    backbone : str
        Of the stage's network.
    stage : Stage
        With paths resolved.
    data : StageData
        Who is trained on.
    seed : int
        The stage's own.
    crops : tuple of dict or None
        How the crops of each of the stage's tables were made, where ``prepare.json`` tells.
    """

    number: int
    backbone: str
    stage: Stage
    data: StageData
    seed: int
    crops: tuple[dict[str, Any] | None, ...] = ()

    @property
    def folder_name(self) -> str:
        """The folder below the cascade's output folder."""
        return f"{self.number}-{self.stage.name}"


def plan_stages(
    cascade: Cascade, *, split: int | None = None, processes: int = 1
) -> list[StagePlan]:
    """Read and split every stage's data, before anything is trained.

    Parameters
    ----------
    cascade : Cascade
        As read.
    split : int, optional
        Split the images of so many stages only, for folds are still to be taken from the others'.
    processes : int
        How many will train together.

    Raises
    ------
    FeatxError
        If the weights are not there, a stage's tables cannot be read, its filter or split leaves
        nothing, its classes do not cover its images, its network cannot be built or has no
        module to unlock of that name, or its images are too few for batch normalisation.
    """
    check_weights(cascade.backbone, cascade.weights_found)
    plans = []
    backbone = cascade.backbone
    for number, stage in enumerate(cascade.stages, start=1):
        data = resolve_paths(stage.data, partial(beside, cascade.folder))
        resolved = stage.model_copy(update={"data": data})
        try:
            samples = stage_samples(resolved)
        except FeatxError as error:
            raise FeatxError(f"stage {stage.name}: {error}") from None
        seed = cascade.seed if stage.seed is None else stage.seed
        whole = split is not None and number > split
        parts = StageData(samples, None) if whole else split_stage(samples, resolved, seed)
        backbone = _next_backbone(stage, backbone)
        crops = crop_settings(data.tables)
        plan = StagePlan(number, backbone, resolved, parts, seed, crops)
        specs = head_specs(resolved, parts.train, get_backbone(backbone))
        # told now rather than after hours of other stages
        stage_labels(resolved, parts, specs)
        try:
            check_unlock(backbone, specs, stage.unlock)
            check_enough(backbone, specs, stage.unlock, len(parts.train), processes)
        except FeatxError as error:
            raise FeatxError(f"stage {stage.name}: {error}") from None
        plans.append(plan)
    return plans


def _next_backbone(stage: Stage, before: str) -> str:
    """Return the backbone of a stage's network, which may grow out of that of the one before."""
    if stage.backbone is None:
        return before
    try:
        check_growth(stage.backbone, before)
    except FeatxError as error:
        raise FeatxError(f"stage {stage.name}: {error}") from None
    return get_backbone(stage.backbone).name


def stage_key(plan: StagePlan, parent: LoadedNetwork) -> str:
    """Return a hash of everything that a stage's weights are computed from.

    Save the number of processes: a network that several have trained is as good as one's. Only an
    unfinished state belongs to as many as have begun it.
    """
    stage = describe(plan.stage)
    for unimportant in ("tables", "without"):  # where they lie; the digest tells what they hold
        stage["data"].pop(unimportant, None)
    source = [
        __version__,
        parent.backbone.name,
        parent.sha256,
        stage,
        plan.data.digest(),
        plan.seed,
    ]
    return hashlib.sha256(json.dumps(source, sort_keys=True, default=str).encode()).hexdigest()

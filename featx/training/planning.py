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
from featx.provenance import crop_settings
from featx.training.cascade_file import Cascade, describe
from featx.training.data import (
    StageData,
    beside,
    head_specs,
    resolve_paths,
    split_stage,
    stage_labels,
    stage_samples,
)
from featx.training.stage_config import Stage
from featx.weights import LoadedNetwork


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


def plan_stages(cascade: Cascade, *, split_last: bool = True) -> list[StagePlan]:
    """Read and split every stage's data, before anything is trained.

    Parameters
    ----------
    cascade : Cascade
        As read.
    split_last : bool
        Split the last stage's images too; not where folds are still to be taken from them.

    Raises
    ------
    FeatxError
        If a stage's tables cannot be read, its filter or split leaves nothing, or its classes do
        not cover its images.
    """
    plans = []
    backbone = cascade.backbone
    for number, stage in enumerate(cascade.stages, start=1):
        data = resolve_paths(stage.data, partial(beside, cascade.folder))
        try:
            samples = stage_samples(data, stage.tasks)
        except FeatxError as error:
            raise FeatxError(f"stage {stage.name}: {error}") from None
        seed = cascade.seed if stage.seed is None else stage.seed
        whole = number == len(cascade.stages) and not split_last
        resolved = stage.model_copy(update={"data": data})
        split = StageData(samples, None) if whole else split_stage(samples, resolved, seed)
        backbone = _next_backbone(stage, backbone)
        crops = crop_settings(data.tables)
        plan = StagePlan(number, backbone, resolved, split, seed, crops)
        specs = head_specs(resolved, split.train, get_backbone(backbone))
        stage_labels(resolved, split, specs)  # told now rather than after hours of other stages
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


def stage_key(plan: StagePlan, parent: LoadedNetwork, processes: int) -> str:
    """Return a hash of everything that a stage's weights are computed from."""
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
        processes,
    ]
    return hashlib.sha256(json.dumps(source, sort_keys=True, default=str).encode()).hexdigest()

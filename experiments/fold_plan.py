"""A cascade under a protocol, planned: each fold's people, none of them seen by an early stage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from experiments.start_weights import check_start
from featx.backbones import get_backbone
from featx.errors import FeatxError
from featx.heads import Task
from featx.identities import one_spelling
from featx.training.config.cascade_file import Cascade
from featx.training.images.samples import Samples, check_disjoint
from featx.training.images.stage_data import StageData, head_specs
from featx.training.planning import StagePlan, plan_stages
from featx.training.rehearsal import check_enough, check_layers
from featx.views import View
from regress.fold_records import fold_stem
from regress.protocols import Fold, check_named, plan_folds, split_hash, with_subjects
from regress.regressors import make_regressor


@dataclass(frozen=True)
class FoldMethod:
    """What is predicted in every fold: the network itself, or a regressor on one of its layers.

    Attributes
    ----------
    layer, spec : str
        Of the regressor; both empty for the network's own head.
    task : {"age", "gender"}
        What is told.
    view : {"centre", "five"}
        The crops that the network's own head is averaged over.
    """

    layer: str = ""
    spec: str = ""
    task: Task = "age"
    view: View = "centre"

    @property
    def name(self) -> str:
        """The name under which it is shown."""
        if self.spec:
            return f"{self.layer} · {self.spec} · fold networks"
        return "end to end" + (" · five crops" if self.view == "five" else "")

    @property
    def stem(self) -> str:
        """The name of its folder."""
        if self.spec:
            return fold_stem(f"{self.layer}.{self.spec.replace(':', '.')}")
        view = "" if self.view == "centre" else ".five"
        return "end-to-end" + view + ("" if self.task == "age" else ".gender")


@dataclass(frozen=True)
class EndToEnd:
    """A cascade under a protocol, planned.

    Attributes
    ----------
    cascade : Cascade
        As read.
    early : list of StagePlan
        Run once.
    repeated : list of StagePlan
        Run before the target in every fold, which leaves its test subjects out of their data.
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
    repeated: list[StagePlan]
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
        As `plan_stages` and `plan_folds`; if an early stage, or the network that the cascade starts
        from, shares people or byte-identical images with the target; if two images of the target
        have one id; if nobody can be left out because no subject is known; if there is no fold of a
        name; if regressors are to learn age groups, or the target's network has no layer of a name.
    """
    plans = plan_stages(cascade, split=cascade.n_early)
    early, repeated, target = plans[: cascade.n_early], plans[cascade.n_early : -1], plans[-1]
    # folds share the pixels of the target's images: a filter may have left out some that were read
    samples = replace(target.data.train, positions=np.arange(len(target.data.train)))
    target = replace(target, data=StageData(samples, None))
    for plan in early:
        for side in (plan.data.train, plan.data.validation):
            if side is not None:
                check_disjoint(side, samples, f"the target, stage {target.stage.name}")
    where = f"the target, stage {target.stage.name},"
    check_start(cascade, samples, f"the target, stage {target.stage.name}")
    _check_ids(samples, where)
    check_named(protocol, len(samples), int((samples.table["subject"] == "").sum()), where)
    # joined tables may spell one person's name in two ways
    images = with_subjects(samples.table.assign(subject=one_spelling(samples.table)))
    folds = plan_folds(protocol, images, cascade.seed)
    split = split_hash(images, folds)
    chosen = [fold for fold in folds if not only or fold.name in only]
    unknown = sorted(set(only) - {fold.name for fold in folds})
    if unknown:
        raise FeatxError(
            f"--fold {unknown[0]}: {protocol} has no such fold; its folds are "
            f"{', '.join(fold.name for fold in folds[:5])}, …"
        )
    stage = target.stage
    if regressors and (stage.groups or "age" not in stage.tasks):
        what = "age groups" if stage.groups else "no ages"
        raise FeatxError(
            f"--regressor {regressors[0]}: regressors learn ages, and stage {stage.name} has "
            f"{what}; leave it out"
        )
    for spec in regressors:
        if hasattr(make_regressor(spec, options or {}, cascade.seed), "unit_ages"):
            raise FeatxError(f"--regressor {spec}: the networks' own heads are always told")
    specs = head_specs(stage, samples, get_backbone(target.backbone))
    fewest = min(len(fold.train) for fold in folds)
    try:
        check_enough(target.backbone, specs, stage.unlock, fewest, 1)
        if regressors:
            check_layers(target.backbone, specs, layers)
    except FeatxError as error:
        raise FeatxError(f"stage {stage.name}: {error}") from None
    methods = [FoldMethod(task=task, view=view) for task in stage.tasks for view in stage.views]
    methods += [FoldMethod(layer, spec) for layer in layers for spec in regressors]
    return EndToEnd(
        cascade,
        protocol,
        cascade.seed,
        early,
        repeated,
        target,
        images,
        chosen,
        [fold.name for fold in folds],
        split,
        methods,
        dict(options or {}),
    )


def _check_ids(samples: Samples, where: str) -> None:
    """Prove that an image's id tells which it is: predictions are compared by it."""
    images = samples.table["image"]
    twice = images[images.duplicated(keep=False)]
    if len(twice):
        same = samples.table.loc[images == twice.iloc[0], "file"].tolist()
        raise FeatxError(
            f"{where} has {twice.nunique()} image ids that stand for two images or more: "
            f"{twice.iloc[0]!r} is {same[0]} and {same[1]}; give the images of one table other ids"
        )

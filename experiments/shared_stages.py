"""Stages trained where all rows of all experiments that are run into one folder find them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from experiments.fold_plan import EndToEnd, plan_end_to_end
from experiments.settings import Settings
from featx.devices import resolve_device
from featx.errors import FeatxError
from featx.training.cascade import start_network
from featx.training.config.cascade_file import Cascade
from featx.training.planning import StagePlan, stage_key
from featx.training.processes import Processes
from featx.training.stage import NETWORK, run_stage


def from_shared_stages(plan: EndToEnd, settings: Settings) -> EndToEnd:
    """Train the early stages where other rows find them too, and plan on from there."""
    if not plan.early:
        return plan
    weights = train_shared(plan.cascade, plan.early, settings)
    reduced = plan.cascade.model_copy(
        update={
            "backbone": plan.early[-1].backbone,
            "weights": str(weights.absolute()),
            "stages": plan.cascade.stages[len(plan.early) :],
        }
    )
    only = [fold.name for fold in plan.folds]
    return plan_end_to_end(reduced, plan.protocol, only=only)


def train_shared(cascade: Cascade, plans: Sequence[StagePlan], settings: Settings) -> Path:
    """Train some stages, each in a folder named by all that determines it; return the network."""
    network = start_network(cascade)
    where = Processes(0, 1, resolve_device(settings.device))
    folder = settings.out
    for plan in plans:
        key = stage_key(plan, network)
        folder = settings.out / "stages" / f"{plan.stage.name}-{key[:12]}"
        if settings.finished and not (folder / NETWORK).exists():
            raise FeatxError(
                f"stage {plan.stage.name} is not trained ({folder}); do so with the same command "
                "and --early-only"
            )
        settings.say(f"  stage {plan.stage.name} -> {folder}")
        network = run_stage(plan, network, folder, where, resume=True, progress=True)
    return folder / NETWORK

"""A cascade: stages one after the other, each from the network of the one before it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from featx.errors import FeatxError
from featx.training.config.cascade_file import Cascade
from featx.training.config.stage import Stage
from featx.training.loop import SAVE_EVERY
from featx.training.planning import StagePlan
from featx.training.processes import Processes
from featx.training.stage import NETWORK, finished_stage, run_stage
from featx.training.wording import epoch_line, summary
from featx.weights import LoadedNetwork, load_network


def start_network(cascade: Cascade) -> LoadedNetwork:
    """Load the network that a cascade starts from.

    Raises
    ------
    FeatxError
        As `load_network`.
    """
    return load_network(cascade.backbone, cascade.weights_found, seed=cascade.seed)


def run_cascade(
    cascade: Cascade,
    plans: Sequence[StagePlan],
    out: Path,
    processes: Processes,
    *,
    resume: bool = False,
    progress: bool = False,
    say: Callable[[str], None] = lambda line: None,
    save_every: float = SAVE_EVERY,
) -> LoadedNetwork:
    """Run stages one after the other, each from the one before it.

    Parameters
    ----------
    cascade : Cascade
        What to start from.
    plans : sequence of StagePlan
        Of its stages, in order; they may be fewer than the cascade has.
    out : Path
        A folder below it is made for every stage.
    say : callable
        Told each finished epoch, and each finished stage, in a line.

    Returns
    -------
    LoadedNetwork
        The last stage's; the start itself where there are no stages.
    """
    network = start_network(cascade)
    for plan in plans:

        def told(row: dict[str, float], stage: Stage = plan.stage) -> None:
            say(epoch_line(stage, row))

        network = run_stage(
            plan,
            network,
            out / plan.folder_name,
            processes,
            resume=resume,
            progress=progress,
            on_epoch=told,
            save_every=save_every,
        )
        if processes.first:
            say(f"{plan.stage.name}: {summary(network)} -> {out / plan.folder_name / NETWORK}")
    return network


def finished_cascade(cascade: Cascade, plans: Sequence[StagePlan], out: Path) -> LoadedNetwork:
    """Return what `run_cascade` has made, training nothing.

    Raises
    ------
    FeatxError
        If a stage is not finished, or its folder holds another.
    """
    network = start_network(cascade)
    for plan in plans:
        folder = out / plan.folder_name
        found = finished_stage(plan, network, folder)
        if found is None:
            raise FeatxError(
                f"{folder / NETWORK} is not there: stage {plan.stage.name} is to be finished first"
            )
        network = found
    return network

"""`featx plan`: what a verb will take, told before anything of it runs."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.extract import SHARDS, check_options, extract, tell_work
from cli.finetune import finetune, told_stage
from cli.finetune import settle as settle_cascade
from cli.logs import tell_from
from cli.regress import regress

if TYPE_CHECKING:
    from featx.training.budget import Budget
    from featx.training.planning import StagePlan


@click.group()
def plan() -> None:
    """Say what a verb will take, and whether that fits, before anything of it runs.

    Put `plan` before the verb of a command line; the rest stays as it is.

    \b
    featx plan extract work -b resnet50 -w imagenet -l gap -l flattened -o features.h5
    """


def _planned(verb: click.Command, told: str) -> Callable[[Callable[..., None]], click.Command]:
    """Make a function the command that plans a verb: it takes all that the verb takes."""
    as_json = click.Option(["--json", "as_json"], is_flag=True, help="The same as JSON.")

    def make(function: Callable[..., None]) -> click.Command:
        command = click.Command(
            verb.name,
            params=[*verb.params, as_json],
            callback=function,
            help=function.__doc__,
            short_help=told,
        )
        plan.add_command(command)
        return command

    return make


def _refuse(shortages: Sequence[object]) -> None:
    from featx.errors import FeatxError

    if shortages:
        raise FeatxError(f"this does not fit: {'; '.join(map(str, shortages))}")


@_planned(extract, "Rows, bytes, memory and time of an extraction.")
def _extract(
    table: Path,
    output: Path,
    dtype: str,
    compression: str,
    max_pixels: int,
    shard: str | None,
    jobs: int,
    shards: int | None,
    cluster: str | None,
    resume: bool,
    verbose: bool,
    as_json: bool,
    profile: Path | None,
    slurm: tuple[str, ...],
    wait: bool,
    dry_run: bool,
    **options: Any,
) -> None:
    """Say what `featx extract` with the same options will take: nothing is written.

    Sixteen of the images, spread over TABLE, go through the whole of an extraction in a process of
    its own: a few full batches, in which they take turns. Told are rows, the bytes of each layer in
    memory and on disk, of the file and of the disk while it is made, the memory of the processes
    and of the GPU, and the time. What does not fit is refused, with what would make it fit.

    \b
    featx plan extract work -b resnet50 -w imagenet -l gap -l flattened -o features.h5
    """
    if verbose:
        tell_from(logging.INFO)
    check_options(shard, jobs, shards, cluster, options["precision"])
    from featx.extraction.estimate import Estimate
    from featx.extraction.probing import probe

    parts = devices = 1
    if cluster:
        parts = shards or SHARDS
    elif jobs != 1:
        from featx.devices import spread_devices

        there = spread_devices(options["device"])
        parts = jobs or len(there)
        devices = min(parts, len(there))
    found = probe(
        table,
        output,
        dtype=dtype,
        compression=compression,
        max_pixels=max_pixels,
        parts=parts,
        resume=resume,
        shard=shard,
        jobs=1 if cluster else parts,
        **options,
    )
    estimate = Estimate.of(
        found, output, dtype=dtype, parts=parts, devices=devices, elsewhere=bool(cluster)
    )
    told = estimate.describe()
    if as_json:
        click.echo(json.dumps(told, indent=2))
    else:
        click.echo("nothing was written")
        tell_work(told, dtype)
        _tell(told)
    _refuse(estimate.shortages)


def _tell(told: dict[str, Any]) -> None:
    from featx.quantities import in_bytes, in_time

    disk, memory, seconds = told["disk"], told["memory"], told["seconds"]
    click.echo(
        f"disk      {in_bytes(disk['file_bytes'])} the file, "
        f"{in_bytes(disk['structure_bytes'])} of it for the table; "
        f"{in_bytes(disk['peak_bytes'])} while it is made, {in_bytes(disk['free_bytes'])} free"
    )
    each = in_bytes(memory["process_bytes"])
    beside = f" and {in_bytes(memory['decoders_bytes'])} for decoding"
    shared = f", {told['processes']} times" if told["processes"] > 1 else ""
    click.echo(
        f"memory    {each}{beside if memory['decoders_bytes'] else ''}{shared}; "
        f"{in_bytes(memory['free_bytes'])} free here"
    )
    if device := told["device_memory"]:
        click.echo(
            f"GPU       {in_bytes(device['allocated_bytes'])}, with torch's reserve "
            f"{in_bytes(device['reserved_bytes'])}; {in_bytes(device['free_bytes'])} of "
            f"{in_bytes(device['total_bytes'])} free"
        )
    probe = told["probe"]
    click.echo(
        f"time      about {in_time(seconds['likely'])} ({in_time(seconds['least'])} to "
        f"{in_time(seconds['most'])}), by {probe['images']} images in {probe['batches']} batches: "
        f"{1 / seconds['an_image']:.1f} images/s after {in_time(seconds['start'])}"
    )


@_planned(regress, "Folds, fits, memory and time of an evaluation.")
def _regress(
    features: Path,
    out: Path,
    layers: tuple[str, ...],
    regressors: tuple[str, ...],
    protocol: str,
    jobs: int,
    seed: int,
    as_json: bool,
    part: str | None,
    gathering: bool,
    cluster: str | None,
    profile: Path | None,
    slurm: tuple[str, ...],
    wait: bool,
    resume: bool,
    dry_run: bool,
    verbose: bool,
    **options: Any,
) -> None:
    """Say what `featx regress` with the same options will take: nothing is written.

    Up to three folds of each method are tried in a process of their own; exact-kernel under lopo,
    which computes all folds at once, on some of the people, from which its time is reckoned, while
    its memory follows from a rule; auto-sklearn takes the time that it is given. The time is that
    of all folds on this machine, --jobs at a time, whatever is done elsewhere or is there already.

    \b
    featx plan regress fgnet.h5 --layer gap --regressor exact-kernel --regressor softmax -o out
    """
    from featx.memory import free_memory
    from featx.quantities import in_bytes, in_time
    from regress.estimate import cost
    from regress.methods import plan_methods

    methods = plan_methods(
        features,
        out,
        layers=layers,
        regressors=regressors,
        protocol=protocol,
        seed=seed,
        options=options,
    )
    costs = [cost(method, features, jobs=jobs) for method in methods]
    short = {each.method.name: each.shortage for each in costs if each.shortage}
    if as_json:
        page = {
            "methods": [each.describe() for each in costs],
            "free_bytes": free_memory(),
            "fits": not short,
            "shortages": [{"method": name, **each.describe()} for name, each in short.items()],
        }
        click.echo(json.dumps(page, indent=2))
    else:
        click.echo("nothing was written")
        for each in costs:
            told = each.describe()
            click.echo(
                f"{told['method']}: {told['folds']} folds, fits {told['fits']}, over "
                f"{told['images']} images of {told['units']} units "
                f"({in_bytes(told['matrix_bytes'])}) -> {told['folder']}"
            )
            likely, least, most = each.seconds
            if likely < float("inf"):
                spread = f" ({in_time(least)} to {in_time(most)})" if most > least else ""
                about = f"about {in_time(likely)}{spread}"
            else:
                about = f"more than {in_time(least)}" if least < likely else "unknown"
            click.echo(f"  time    {about}, by {each.by}")
            if each.memory:
                click.echo(f"  memory  {in_bytes(each.memory)}, {in_bytes(free_memory())} free")
    _refuse([f"{name}: {each}" for name, each in short.items()])


@_planned(finetune, "Steps, memory and time of a cascade.")
def _finetune(
    cascade: Path,
    output: Path,
    protocol: str | None,
    folds: tuple[str, ...],
    jobs: int,
    changes: tuple[str, ...],
    keep_networks: bool,
    seed: int,
    device: str,
    as_json: bool,
    **others: Any,
) -> None:
    """Say what `featx finetune` with the same options will take: nothing is written.

    Each stage is trained for two epochs of two batches in a process of its own, from what the trial
    of the one before it has left. Told are steps, the memory of the process and of the GPU, the
    networks' bytes on disk, and the time, if no stage stops early, on one GPU or the CPU of this
    machine. Under --protocol the stages of each fold count once a fold; regressors do not count.

    \b
    featx plan finetune cascade.yaml -o tuned
    """
    from featx.training.budget import Budget
    from featx.training.planning import plan_stages
    from featx.training.probing import probe_stages

    settled = settle_cascade(click.get_current_context(), cascade, changes, seed)
    if protocol is None:
        stages = plan_stages(settled)
        work: dict[str, Any] = {"once": len(stages)}
    else:
        from experiments.fold_plan import plan_end_to_end

        whole = plan_end_to_end(settled, protocol, only=folds)
        stages = [*whole.early, *whole.repeated, whole.target]
        work = {
            "once": len(whole.early),
            "folds": len(whole.folds),
            "passes": sum(len(fold.train) for fold in whole.folds) / len(whole.images),
            "jobs": jobs,
            "keep": keep_networks,
        }
    budget = Budget.of(probe_stages(settled, stages, device), output, **work)
    if as_json:
        click.echo(json.dumps(budget.describe(), indent=2))
    else:
        click.echo("nothing was written")
        _tell_budget(budget, stages)
    _refuse(budget.shortages)


def _tell_budget(budget: Budget, stages: Sequence[StagePlan]) -> None:
    from featx.quantities import in_bytes, in_time

    for plan, cost in zip(stages, [*budget.once, *budget.each], strict=True):
        likely, least, most = map(in_time, cost.seconds)
        gpu = f", GPU {in_bytes(cost.device['reserved'])}" if cost.device else ""
        click.echo(told_stage(plan))
        click.echo(
            f"  {cost.steps:,} steps, about {likely} ({least} to {most}), network "
            f"{in_bytes(cost.network)}{gpu}"
        )
    if budget.folds:
        click.echo(f"folds     {budget.folds}, {budget.jobs} at a time")
    click.echo(f"disk      {in_bytes(budget.disk)} of networks, {in_bytes(budget.free_disk)} free")
    click.echo(f"memory    {in_bytes(budget.memory)}, {in_bytes(budget.free_memory)} free")
    likely, least, most = map(in_time, budget.seconds)
    click.echo(f"time      about {likely} ({least} to {most})")

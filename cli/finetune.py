"""`featx finetune`: a network through the stages of a cascade, or of every fold of a protocol."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from cli import completion
from cli.cluster import Asked, cluster_options, end_part
from cli.options import examples, long_work

if TYPE_CHECKING:
    import pandas as pd

    from featx.training.config.cascade_file import Cascade


@click.command(
    epilog=examples(
        "featx finetune cascade.yaml -o tuned",
        "featx extract work -b onet -w tuned/1-faces/network.safetensors -l gap -o tuned.h5",
        "featx finetune cascade.yaml --protocol lopo --dry-run -o tuned-lopo",
        "torchrun --nproc-per-node 4 $(which featx) finetune cascade.yaml -o tuned",
        "featx finetune cascade.yaml --cluster slurm -o tuned",
    )
)
@click.argument("cascade", type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path), help="Folder to write."
)
@click.option(
    "--protocol",
    shell_complete=completion.one_of(completion.PROTOCOLS),
    help="lopo, kfold:K, folds or holdout:F: the last stage is trained once a fold, and tested.",
)
@click.option(
    "--fold", "folds", multiple=True, help="With --protocol: only this fold; repeatable. [all]"
)
@click.option(
    "--layer",
    "layers",
    multiple=True,
    default=("gap",),
    show_default=True,
    shell_complete=completion.one_of(completion.LAYERS),
    help="With --protocol and --regressor: a layer of each fold's network; repeatable.",
)
@click.option(
    "--regressor",
    "regressors",
    multiple=True,
    shell_complete=completion.regressors,
    help="With --protocol: fit this on each fold's network too, as `featx regress`; repeatable.",
)
@click.option(
    "--keep-networks", is_flag=True, help="With --protocol: keep each fold's network file."
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="With --protocol: folds at once, in processes of their own, in turn on every GPU.",
)
@click.option(
    "--set",
    "changes",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change a value of the file, as stages.0.epochs=1 or stages.NAME.epochs=1; repeatable.",
)
@click.option(
    "--save-every",
    type=click.FloatRange(min=1),
    default=300.0,
    show_default=True,
    help="Seconds of training between two saved states.",
)
@click.option(
    "--early-only", is_flag=True, help="With --protocol: only the stages before the last."
)
@click.option(
    "--part",
    metavar="K/N",
    help="With --protocol: only the K-th of N parts of the folds, for the tasks of an array; "
    "implies --resume. --gather publishes them.",
)
@click.option(
    "--gather",
    "gathering",
    is_flag=True,
    help="With --protocol: train nothing; publish the folds that are there.",
)
@cluster_options
@long_work
@click.pass_context
def finetune(context: click.Context, **given: Any) -> None:
    """Fine-tune a network through the stages of the YAML file CASCADE.

    --seed, where given, replaces the file's. A killed run goes on with --resume, to the same
    weights; SIGUSR1 and SIGTERM end one after the step in hand, with its state saved and status
    75. After SIGUSR1 Slurm is asked to requeue the job.
    """
    from featx.training.stopping import stoppable

    with stoppable():  # from here on, for planning reads all data
        _finetune(context, **given)


def _finetune(
    context: click.Context,
    cascade: Path,
    output: Path,
    protocol: str | None,
    folds: tuple[str, ...],
    layers: tuple[str, ...],
    regressors: tuple[str, ...],
    keep_networks: bool,
    changes: tuple[str, ...],
    save_every: float,
    early_only: bool,
    part: str | None,
    gathering: bool,
    cluster: str | None,
    profile: Path | None,
    slurm: tuple[str, ...],
    wait: bool,
    seed: int,
    dry_run: bool,
    device: str,
    jobs: int,
    resume: bool,
    verbose: bool,
) -> None:
    from featx.cluster import Part

    settled = settle(context, cascade, changes, seed)
    asked = Asked(context, cluster, profile, slurm, wait)
    if protocol is None:
        needing = {
            "--fold": folds,
            "--regressor": regressors,
            "--early-only": early_only,
            "--part": part,
            "--gather": gathering,
        }
        for name, given in needing.items():
            if given:
                raise click.UsageError(f"{name} goes with --protocol")
        if cluster:
            from cli.finetune_cluster import stages_on_cluster

            stages_on_cluster(settled, output, asked, resume=resume, dry_run=dry_run)
        else:
            _stages(settled, output, device, dry_run, resume, save_every)
        return
    if [early_only, part is not None, gathering, cluster is not None].count(True) > 1:
        raise click.UsageError("give one of --early-only, --part, --gather and --cluster")
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and not early_only:
        raise click.UsageError(
            "--protocol trains folds side by side with --jobs, not by torchrun; only its early "
            "stages can be, with --early-only"
        )
    mine = Part.read(part) if part is not None else Part(1, 1)
    from experiments import end_to_end
    from experiments.fold_plan import plan_end_to_end
    from featx.training.processes import join_processes

    plan = plan_end_to_end(settled, protocol, only=folds, layers=layers, regressors=regressors)
    if cluster:
        from cli.finetune_cluster import folds_on_cluster

        infos = folds_on_cluster(plan, output, asked, resume=resume, dry_run=dry_run)
        if infos is not None:
            _report(infos, [output / "runs" / method.stem for method in plan.methods], True)
        return
    if dry_run:
        for stage in plan.early:
            click.echo(told_stage(stage))
        click.echo(
            f"{plan.target.stage.name}: {len(mine.of(plan.folds))} of {len(plan.planned)} folds "
            f"over {len(plan.images)} images, {plan.target.stage.epochs} epochs each -> {output}"
        )
        return
    training: dict[str, Any] = {"progress": True, "save_every": save_every}
    by_folds: dict[str, Any] = {"device": device, "jobs": jobs, "keep_networks": keep_networks}
    if early_only:
        with join_processes(device) as processes:
            end_to_end.train_early(
                plan, output, processes, resume=resume, say=click.echo, **training
            )
        return
    if part is not None:
        _, failed = end_to_end.train_part(plan, mine, output, **by_folds, **training)
        end_part(part, {f"fold {name}": reason for name, reason in failed.items()})
        return
    if gathering:
        from experiments.fold_results import gather_folds

        infos = gather_folds(plan, output)
    else:
        infos = end_to_end.run_end_to_end(
            plan, output, resume=resume, say=click.echo, **by_folds, **training
        )
    _report(infos, [output / "runs" / method.stem for method in plan.methods], gathering)


def settle(context: click.Context, cascade: Path, changes: tuple[str, ...], seed: int) -> Cascade:
    """Read the cascade, with what the command line changes of it."""
    from featx.training.config.cascade_file import read_cascade

    if context.get_parameter_source("seed") != ParameterSource.DEFAULT:
        changes = (*changes, f"seed={seed}")
    return read_cascade(cascade, changes)


def _stages(
    settled: Any, output: Path, device: str, dry_run: bool, resume: bool, save_every: float
) -> None:
    from featx.training.cascade import run_cascade
    from featx.training.planning import plan_stages
    from featx.training.processes import join_processes

    plans = plan_stages(settled, processes=int(os.environ.get("WORLD_SIZE", "1")))
    if dry_run:
        for plan in plans:
            click.echo(told_stage(plan))
        return
    with join_processes(device) as processes:
        run_cascade(
            settled,
            plans,
            output,
            processes,
            resume=resume,
            progress=True,
            say=click.echo,
            save_every=save_every,
        )


def told_stage(plan: Any) -> str:
    """Return what a stage will be trained on, in words."""
    stage, data = plan.stage, plan.data
    held = f", {len(data.validation)} for validation" if data.validation else ""
    return (
        f"{stage.name}: {len(data.train)} of {data.train.n_total} images{held}, {stage.epochs} "
        f"epochs of {-(-len(data.train) // stage.batch_size)} batches, {_losses(stage)}, "
        f"{stage.unlock} unlocked"
    )


def _losses(stage: Any) -> str:
    losses = {"age": stage.head.loss, "gender": "gender"}
    return " and ".join(losses[task] for task in stage.tasks)


def _report(infos: list[dict[str, Any]], folders: list[Path], gathered: bool) -> None:
    from featx.errors import FeatxError
    from regress.predictions import read_run

    failed: dict[str, str] = {}
    for info, folder in zip(infos, folders, strict=True):
        table, folds = read_run(folder).predictions, info["folds"]
        score = _score(table)
        click.echo(
            f"{info['method']}: {score} over {len(table)} of {info['counts']['total']} images, "
            f"{folds['done']} of {folds['planned']} folds -> {folder}"
        )
        failed |= folds["failed"]
    for name, reason in failed.items():
        click.echo(f"  fold {name} failed: {reason}", err=True)
    missing = {name for info in infos for name in info["folds"]["missing"]}
    if gathered and missing:
        raise FeatxError(
            f"{len(missing)} of {infos[0]['folds']['planned']} folds are missing (run.json names "
            "them); the others are published: run their parts, and --gather again"
        )
    if failed:
        raise FeatxError(
            f"{len(failed)} folds failed (reasons above); the others are kept: mend the cause and "
            "run again with --resume"
        )


def _score(table: pd.DataFrame) -> str:
    from regress.metrics import accuracy, mae

    if not len(table):
        return "-"
    for truth, guess in (("age_group", "predicted_group"), ("gender", "predicted_gender")):
        if guess in table:
            return f"accuracy {100 * accuracy(table[truth], table[guess]):.2f} %"
    return f"MAE {mae(table['age'], table['predicted_age']):.3f} years"

"""`featx regress`: features file -> predictions under a protocol."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli import completion
from cli.cluster import Asked, as_a_task, cluster_options, end_part, tell_scripts
from cli.options import Duration, examples, long_work

if TYPE_CHECKING:
    from featx.cluster.job import Job
    from regress.methods import Method


@click.command(
    epilog=examples(
        "featx regress fgnet.h5 --layer gap --regressor exact-kernel --regressor softmax -o runs",
        "featx regress fgnet.h5 --protocol kfold:5 --regressor ridge --seed 1 -o runs",
        "featx regress fgnet.h5 --regressor auto-sklearn --time-budget 10m --jobs 2 -o runs",
    )
)
@click.argument("features", type=click.Path(path_type=Path))
@click.option("-o", "--out", required=True, type=click.Path(path_type=Path), help="Output folder.")
@click.option(
    "--layer",
    "layers",
    multiple=True,
    shell_complete=completion.layers_of_file("features"),
    help="Layer of the file; repeatable. [all]",
)
@click.option(
    "--regressor",
    "regressors",
    multiple=True,
    required=True,
    shell_complete=completion.regressors,
    help="exact-kernel, softmax, auto-sklearn, expected-value, ridge, svr, pls or mean, or one of "
    "another package; repeatable; with parameters as softmax:label_sd=2",
)
@click.option(
    "--protocol",
    default="lopo",
    show_default=True,
    shell_complete=completion.one_of(completion.PROTOCOLS),
    help="lopo, kfold:K, folds (official) or holdout:F; all subject-exclusive.",
)
@click.option(
    "--jobs", type=int, default=1, show_default=True, help="Folds at once; 0: one a core."
)
@click.option(
    "--time-budget",
    type=Duration(),
    default="12h",
    show_default=True,
    help="auto-sklearn: search time a fold.",
)
@click.option(
    "--evaluations",
    type=click.IntRange(min=1),
    help="auto-sklearn: stop after so many models a fold, at the latest after --time-budget.",
)
@click.option(
    "--run-time-limit",
    type=Duration(),
    default="60m",
    show_default=True,
    help="auto-sklearn: time a model.",
)
@click.option(
    "--search-space",
    type=click.Choice(["default", "fast"]),
    default="default",
    show_default=True,
    help="auto-sklearn: fast leaves out what is slow on wide features.",
)
@click.option(
    "--memory-limit",
    type=click.IntRange(min=500),
    show_default="3072; in a Slurm job at most what it has",
    help="auto-sklearn: MB of memory a model.",
)
@click.option(
    "--part",
    metavar="K/N",
    help="Only the K-th of N parts of all folds, for the tasks of an array; implies --resume. "
    "--gather publishes them.",
)
@click.option(
    "--gather", "gathering", is_flag=True, help="Compute nothing; publish the folds that are there."
)
@cluster_options
@long_work
@click.pass_context
def regress(
    context: click.Context,
    features: Path,
    out: Path,
    layers: tuple[str, ...],
    regressors: tuple[str, ...],
    protocol: str,
    jobs: int,
    part: str | None,
    gathering: bool,
    cluster: str | None,
    profile: Path | None,
    slurm: tuple[str, ...],
    wait: bool,
    resume: bool,
    dry_run: bool,
    seed: int,
    verbose: bool,
    **options: Any,
) -> None:
    """Evaluate regressors on the layers of a features file, fold by fold.

    A run that was stopped goes on with --resume; what is finished is kept. Each layer and regressor
    is a folder in --out, with predictions.csv and run.json.
    """
    if [part is not None, gathering, cluster is not None].count(True) > 1:
        raise click.UsageError("give one of --part, --gather and --cluster")
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
    asked = Asked(context, cluster, profile, slurm, wait)
    if dry_run:
        _tell_plan(methods, out, asked)
    elif cluster:
        _submit(methods, out, asked, resume)
    elif part is not None:
        _compute_part(methods, part, jobs)
    elif gathering:
        from regress.on_slurm import gather_all

        _report(methods, gather_all(methods, out))
    else:
        from regress.evaluate import evaluate

        _build_environment(methods)
        _report(methods, (evaluate(method, jobs=jobs, resume=resume) for method in methods))


def _tell_plan(methods: list[Method], out: Path, asked: Asked) -> None:
    if asked.cluster:
        from regress.on_slurm import plan_work

        array, gathering = _jobs(methods, out, asked)
        work = plan_work(methods, array)
        tell_scripts([*([work.array] if work.labels else []), gathering])
        return
    for method in methods:
        click.echo(
            f"{method.name}: {len(method.folds)} folds over {len(method.data.images)} images, "
            f"{method.data.X.shape[1]} units -> {method.folder}"
        )


def _jobs(methods: list[Method], out: Path, asked: Asked) -> tuple[Job, Job]:
    """Return the array of a task a unit, still without its tasks, and the job that gathers."""
    from featx.cluster.job import TASK
    from regress.evaluate import units

    part = f"--part {TASK}/{len(units(methods))}"
    return asked.job("regress", out, part), asked.job("gather", out, "--gather")


def _submit(methods: list[Method], out: Path, asked: Asked, resume: bool) -> None:
    from regress.on_slurm import gather_all, plan_work, submit_work

    array, gathering = _jobs(methods, out, asked)
    _build_environment(methods)
    work = plan_work(methods, array)
    tasks = submit_work(methods, work, gathering, resume=resume)
    ended = asked.follow(tasks, out) if tasks else []
    if ended is not None:
        _report(methods, gather_all(methods, out, ended))


def _compute_part(methods: list[Method], part: str, jobs: int) -> None:
    from featx.cluster import Part
    from regress.evaluate import evaluate_part

    with as_a_task():
        failed = evaluate_part(methods, Part.read(part), jobs=jobs)
    end_part(part, failed)


def _build_environment(methods: list[Method]) -> None:
    if any(method.spec.partition(":")[0] == "auto-sklearn" for method in methods):
        from regress.regressors.auto_sklearn import environment

        environment.ensure()


def _report(methods: list[Method], infos: Iterable[dict[str, Any]]) -> None:
    from featx.errors import FeatxError
    from regress.metrics import mae
    from regress.predictions import read_run

    failed = missing = 0
    for method, info in zip(methods, infos, strict=True):
        table = read_run(method.folder).predictions
        folds = info["folds"]
        score = f"MAE {mae(table['age'], table['predicted_age']):.3f} years" if len(table) else "-"
        click.echo(
            f"{method.name}: {score} over {len(table)} of {info['counts']['total']} images, "
            f"{folds['done']} of {folds['planned']} folds -> {method.folder}"
        )
        for name, reason in folds["failed"].items():
            click.echo(f"  fold {name} failed: {reason}", err=True)
        failed += len(folds["failed"])
        missing += len(folds["missing"])
    if failed:
        raise FeatxError(
            f"{failed} folds failed (reasons above); the others are kept: "
            "mend the cause and run again with --resume"
        )
    if missing:
        raise FeatxError(f"{missing} folds are missing; compute them with --resume")

"""`featx ensemble`: predictions of several runs -> their mean, as a run of its own."""

from __future__ import annotations

from pathlib import Path

import click

from cli.options import examples, long_work


@click.command(
    epilog=examples(
        "featx ensemble runs/gap.softmax runs/flattened.softmax -o ensembles/softmax",
        "featx compare runs ensembles -o report",
    )
)
@click.argument(
    "folders", nargs=-1, required=True, metavar="RUN RUN...", type=click.Path(path_type=Path)
)
@click.option("-o", "--out", required=True, type=click.Path(path_type=Path), help="Run folder.")
@click.option("--name", help="Name in reports. [made of the members' names]")
@long_work
def ensemble(
    folders: tuple[Path, ...],
    out: Path,
    name: str | None,
    resume: bool,
    dry_run: bool,
    seed: int,
    verbose: bool,
) -> None:
    """Average the class probabilities of runs on the same images, each weighing the same.

    RUN is one method's folder, with run.json and probabilities.h5. All must be of one task (ages,
    age groups or gender), with the same classes, split and folds; of folds that some lack, those
    are taken that all have. The ensemble is a run like any other: give it to `featx compare`
    beside its members. Nothing is drawn by chance: --seed changes nothing.
    """
    from featx.errors import FeatxError
    from regress import metrics
    from regress.ensemble import plan_ensemble, write_ensemble
    from regress.predictions import read_run

    if out.exists() and not out.is_dir():
        raise FeatxError(f"{out} is a file; give a folder for the run")
    plan = plan_ensemble([read_run(folder) for folder in folders], name)
    images = f"{len(plan.table)} images, {len(plan.folds)} of {len(plan.planned)} folds"
    if dry_run:
        for run in plan.members:
            click.echo(f"{run.method}: {len(run.predictions)} images ({run.folder})")
        click.echo(f"would average {len(plan.members)} runs: {images} -> {out}")
        return
    write_ensemble(plan, out, resume=resume)
    run = read_run(out)
    truth, guess = (run.predictions[column] for column in run.columns)
    score = (
        f"accuracy {100 * metrics.accuracy(truth, guess):.1f} %"
        if run.groups
        else f"MAE {metrics.mae(truth, guess):.3f} years"
    )
    click.echo(f"{run.method}: {score} over {images} -> {out}")

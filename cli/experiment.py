"""`featx experiment`: a paper's table, from whatever data sets are there."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli import completion
from cli.cluster import Asked, as_a_task, cluster_options, end_part, program, tell_scripts
from cli.options import Duration, examples, long_work

if TYPE_CHECKING:
    from experiments.experiment_file import Experiment
    from experiments.settings import Settings


@click.group(
    epilog=examples(
        "featx experiment list",
        "featx experiment run agenet/table4 --data . --dry-run -o table4",
    )
)
def experiment() -> None:
    """Make a paper's table again: list what there is, or run one."""


@experiment.command("list", epilog=examples("featx experiment list --data .   # + is there"))
@click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(),
    help="The folder that holds data/ and weights/. [default: the current one]",
)
def list_experiments(data: Path) -> None:
    """List the experiments, and what they need: is it there (+) or not (-), and how to get it."""
    from experiments.experiment_file import experiment_names, read_experiment

    for name in experiment_names():
        settled = read_experiment(name)
        click.echo(f"{name}: {settled.title}")
        for path, how in settled.needs.items():
            click.echo(f"    {'+' if (data / path).exists() else '-'} {path}: {how}")


@experiment.command(
    epilog=examples(
        "featx experiment run cascaded_finetuning/table5 --data . --dry-run -o table5",
        "featx experiment run cascaded_finetuning/table5 --smoke -o smoke   # drawn faces, minutes",
        "featx experiment run cascaded_finetuning/table5 --cluster slurm -o table5",
    )
)
@click.argument("name", shell_complete=completion.experiments)
@click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(),
    help="The folder that holds data/ and weights/. [default: the current one]",
)
@click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path), help="Folder to write."
)
@click.option("--row", "rows", multiple=True, help="Only this row of the table; repeatable.")
@click.option("--fold", "folds", multiple=True, help="Only this fold of networks; repeatable.")
@click.option(
    "--set",
    "changes",
    multiple=True,
    metavar="KEY=VALUE",
    help="Depart from the cascades, as weights=imagenet or stages.0.epochs=1; repeatable.",
)
@click.option("--time-budget", type=Duration(), help="Depart from auto-sklearn's time a fold.")
@click.option("--run-time-limit", type=Duration(), help="Depart from auto-sklearn's time a model.")
@click.option("--search-space", type=click.Choice(["default", "fast"]), help="Of auto-sklearn.")
@click.option(
    "--smoke",
    is_flag=True,
    help="Only see that it runs: drawn faces for the data, one epoch a stage, one fold.",
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@click.option("--jobs", type=click.IntRange(min=1), default=1, show_default=True)
@click.option(
    "--early-only",
    is_flag=True,
    help="Only what comes before the folds: networks that they share, and features.",
)
@click.option(
    "--part",
    metavar="K/N",
    help="Only the K-th of N parts of the folds of one --row, after --early-only; for the tasks of "
    "an array.",
)
@cluster_options
@long_work
@click.pass_context
def run(
    context: click.Context,
    name: str,
    data: Path,
    output: Path,
    rows: tuple[str, ...],
    folds: tuple[str, ...],
    changes: tuple[str, ...],
    smoke: bool,
    device: str,
    jobs: int,
    early_only: bool,
    part: str | None,
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
    """Run the experiment NAME (see `featx experiment list`), or one in a YAML file of your own.

    Rows whose data or weights are not there are marked with what is missing; every departure from
    the paper's settings is named below the table. What is finished in -o is kept, so the same
    command goes on after a kill. --dry-run says which rows could be run.
    """
    if [early_only, part is not None, cluster is not None].count(True) > 1:
        raise click.UsageError("give one of --early-only, --part and --cluster")
    from experiments.experiment_file import read_experiment
    from experiments.needs import missing_needs
    from experiments.paper_table import write_paper_table
    from experiments.running import prepare, run_experiment
    from experiments.settings import Settings

    settled = read_experiment(name)
    if smoke:
        from experiments.smoke import make_data

        data = output / "drawn"
        make_data(settled, data)
    if seed:
        changes = (*changes, f"seed={seed}")
    settings = Settings(
        data,
        output,
        changes,
        {key: value for key, value in options.items() if value is not None},
        folds,
        device,
        jobs,
        click.echo,
        smoke,
    )
    if cluster:
        asked = Asked(context, cluster, profile, slurm, wait)
        _on_cluster(settled, settings, rows, asked, dry_run)
        return
    if dry_run:
        for row in settled.rows:
            click.echo(f"{row.name}: {missing_needs(settled, row, settings) or 'can be run'}")
        return
    if early_only:
        prepare(settled, settings, rows)
        return
    if part is not None:
        _compute_part(settled, settings, rows, part)
        return
    outcomes = run_experiment(settled, settings, rows)
    output.mkdir(parents=True, exist_ok=True)
    stem = _stem(name, output)
    click.echo(write_paper_table(settled, outcomes, settings, stem))
    click.echo(f"written to {stem}.md, .csv and .json")


def _stem(name: str, output: Path) -> Path:
    return output / Path(name).with_suffix("").name


def _compute_part(
    settled: Experiment, settings: Settings, rows: tuple[str, ...], part: str
) -> None:
    from experiments.running import run_part
    from featx.cluster import Part

    with as_a_task():
        failed = run_part(settled, settings, rows, Part.read(part))
    end_part(part, failed)


def _on_cluster(
    settled: Experiment, settings: Settings, rows: tuple[str, ...], asked: Asked, dry_run: bool
) -> None:
    from experiments.on_slurm import check_ended, plan_chain, submit_chain
    from featx.cluster import submissions

    out = settings.out
    folder = shlex.quote(str(out))
    report = (
        f"{program()} compare {folder} --each-split -o {folder}/report || echo no report, see above"
    )
    steps = plan_chain(
        settled,
        settings,
        rows,
        lambda kind, *more, name: asked.job(kind, out, *more, name=name, without=("rows",)),
        asked.job("gather", out, name="table", then=f"{{ {report}; }}"),
    )
    if dry_run:
        tell_scripts([step.job for step in steps])
        return
    if any(row.regression and row.regression.regressor == "auto-sklearn" for row in settled.rows):
        from regress.regressors.auto_sklearn import environment

        environment.ensure()
    live = submissions.live(out / submissions.FOLDER)
    ended = asked.follow(list(live.values()) or submit_chain(steps), out)
    if ended is not None:
        check_ended(ended)
        click.echo(_stem(settled.name, out).with_suffix(".md").read_text(encoding="utf-8"))

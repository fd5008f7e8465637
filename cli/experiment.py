"""`featx experiment`: a paper's table, from whatever data sets are there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from cli.options import Duration, long_work


@click.group()
def experiment() -> None:
    """Make a paper's table again: list what there is, or run one."""


@experiment.command("list")
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


@experiment.command()
@click.argument("name")
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
@long_work
def run(
    name: str,
    data: Path,
    output: Path,
    rows: tuple[str, ...],
    folds: tuple[str, ...],
    changes: tuple[str, ...],
    smoke: bool,
    device: str,
    jobs: int,
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
    from experiments.experiment_file import read_experiment
    from experiments.needs import missing_needs
    from experiments.paper_table import write_paper_table
    from experiments.running import run_experiment
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
    if dry_run:
        for row in settled.rows:
            click.echo(f"{row.name}: {missing_needs(settled, row, settings) or 'can be run'}")
        return
    outcomes = run_experiment(settled, settings, rows)
    output.mkdir(parents=True, exist_ok=True)
    stem = output / Path(name).with_suffix("").name
    click.echo(write_paper_table(settled, outcomes, settings, stem))
    click.echo(f"written to {stem}.md, .csv and .json")

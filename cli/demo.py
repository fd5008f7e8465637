"""`featx demo`: the whole flow on drawn faces."""

from __future__ import annotations

from pathlib import Path

import click

from cli.options import Duration, examples


@click.command(
    epilog=examples(
        "featx demo",
        "featx demo --no-auto-sklearn --subjects 4 --images 2 -o small-demo",
    )
)
@click.option(
    "-o",
    "--out",
    default="demo",
    show_default=True,
    type=click.Path(path_type=Path),
    help="Folder for everything.",
)
@click.option("--subjects", type=click.IntRange(4, 999), default=12, show_default=True)
@click.option("--images", type=click.IntRange(2, 200), default=8, show_default=True)
@click.option(
    "--time-budget",
    type=Duration(),
    default="30s",
    show_default=True,
    help="auto-sklearn's search time a fold.",
)
@click.option("--auto-sklearn/--no-auto-sklearn", default=True, show_default=True)
@click.option(
    "--jobs", type=int, default=0, show_default=True, help="Folds at once; 0: one a core."
)
@click.option("--seed", type=int, default=0, show_default=True, help="Random seed.")
@click.option("-v", "--verbose", is_flag=True, help="Show tracebacks.")
def demo(
    out: Path,
    subjects: int,
    images: int,
    time_budget: float,
    auto_sklearn: bool,
    jobs: int,
    seed: int,
    verbose: bool,
) -> None:
    """Draw faces, and run prepare, extract, regress and compare on them, offline.

    A second call keeps what the first one finished.
    """
    from experiments.demo import run_demo

    page = run_demo(
        out,
        subjects=subjects,
        images_per_subject=images,
        time_budget=time_budget if auto_sklearn else 0.0,
        jobs=jobs,
        seed=seed,
        say=click.echo,
    )
    click.echo(f"The report: {page.resolve()}")

"""`featx compare`: predictions -> report."""

from __future__ import annotations

from pathlib import Path

import click

from cli.options import long_work


@click.command()
@click.argument(
    "folders", nargs=-1, required=True, metavar="DIR...", type=click.Path(path_type=Path)
)
@click.option("-o", "--out", required=True, type=click.Path(path_type=Path), help="Report folder.")
@click.option(
    "--bootstrap",
    type=click.IntRange(min=100),
    default=5000,
    show_default=True,
    help="Bootstrap resamples over subjects.",
)
@click.option(
    "--allow-different-splits",
    is_flag=True,
    help="Compare runs of different splits, on the images they share.",
)
@click.option("--title", help="Title of the page.")
@long_work
def compare(
    folders: tuple[Path, ...],
    out: Path,
    bootstrap: int,
    allow_different_splits: bool,
    title: str | None,
    resume: bool,
    dry_run: bool,
    seed: int,
    verbose: bool,
) -> None:
    """Compare methods: errors with intervals, paired tests, figures, one page.

    DIR is what `featx regress -o` wrote, or one method's folder in it. A report is always made
    anew from all the predictions: --resume changes nothing.

    \b
    featx compare out -o report
    featx compare out/gap.ridge out/gap.softmax -o report --title "FG-NET, gap"
    """
    from featx.errors import FeatxError
    from regress.compare import compare as compare_runs
    from regress.predictions import find_runs

    if out.exists() and not out.is_dir():
        raise FeatxError(f"{out} is a file; give a folder for the report")
    runs = find_runs(folders)
    if dry_run:
        for run in runs:
            done, planned = (run.info.get("folds", {}).get(key) for key in ("done", "planned"))
            click.echo(
                f"{run.method}: {len(run.predictions)} images, {done} of {planned} folds, "
                f"split {str(run.info.get('split_hash'))[:12]} ({run.folder})"
            )
        click.echo(f"would compare {len(runs)} methods -> {out / 'report.html'}")
        return
    comparison = compare_runs(
        runs, bootstrap=bootstrap, seed=seed, allow_different_splits=allow_different_splits
    )

    from regress.report.page import write_report
    from regress.report.tables import terminal_table

    click.echo(terminal_table(comparison))
    page = write_report(comparison, out, title)
    click.echo(f"report -> {page}")

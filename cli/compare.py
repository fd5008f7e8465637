"""`featx compare`: predictions -> report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

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
@click.option(
    "--groups",
    metavar="A-B,C-D,…",
    help="Compare as age groups, first and last ages, as 0-12,15-20,25-100: ages and finer groups "
    "are read as these.",
)
@click.option("--title", help="Title of the page.")
@long_work
def compare(
    folders: tuple[Path, ...],
    out: Path,
    bootstrap: int,
    allow_different_splits: bool,
    groups: str | None,
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
    from regress.compare_groups import compare_groups
    from regress.grouping import into_groups, parse_groups
    from regress.predictions import find_runs

    wanted = parse_groups(groups) if groups else None
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
    options: dict[str, Any] = {
        "bootstrap": bootstrap,
        "seed": seed,
        "allow_different_splits": allow_different_splits,
    }
    if wanted or any(run.groups for run in runs):
        from regress.report.group_page import write_group_report
        from regress.report.group_tables import terminal_groups

        by_group = compare_groups(
            [into_groups(run, wanted) if wanted else run for run in runs], **options
        )
        click.echo(terminal_groups(by_group))
        click.echo(f"report -> {write_group_report(by_group, out, title)}")
        return
    comparison = compare_runs(runs, **options)

    from regress.report.page import write_report
    from regress.report.tables import terminal_table

    click.echo(terminal_table(comparison))
    page = write_report(comparison, out, title)
    click.echo(f"report -> {page}")

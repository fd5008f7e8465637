"""`featx compare`: predictions -> report."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.options import long_work

if TYPE_CHECKING:
    from regress.predictions import Run


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
    "--each-split",
    is_flag=True,
    help="Give runs of different splits reports of their own, in folders named by the split.",
)
@click.option(
    "--groups",
    metavar="A-B,C-D,…",
    help="Compare as age groups, first and last ages, as 0-12,15-20,25-100: ages and finer groups "
    "are read as these.",
)
@click.option(
    "--images/--no-images",
    default=None,
    help="Show the pictures with the largest errors of ages, small. By default only pictures of "
    "your own, from a table or a folder, and drawn ones; the terms of other sets may forbid it.",
)
@click.option(
    "--table",
    type=click.Path(path_type=Path),
    help="Image table, or its folder, for these pictures and for genders, where the runs name none "
    "or it has moved.",
)
@click.option("--title", help="Title of the page.")
@long_work
def compare(
    folders: tuple[Path, ...],
    out: Path,
    bootstrap: int,
    allow_different_splits: bool,
    each_split: bool,
    groups: str | None,
    images: bool | None,
    table: Path | None,
    title: str | None,
    resume: bool,
    dry_run: bool,
    seed: int,
    verbose: bool,
) -> None:
    """Compare methods: errors with intervals, paired tests, figures, one page.

    DIR is what `featx regress -o`, `featx finetune --protocol` or `featx ensemble` wrote, or one
    method's folder in it. Where runs of gender stand beside those of ages or age groups, they get a
    report of their own in the folder gender below the other. A report is always made anew from all
    the predictions: --resume changes nothing.

    \b
    featx compare out -o report
    featx compare out/gap.ridge out/gap.softmax -o report --title "FG-NET, gap"
    """
    from featx.errors import FeatxError
    from regress.grouping import parse_groups
    from regress.predictions import find_runs

    wanted = parse_groups(groups) if groups else None
    if out.exists() and not out.is_dir():
        raise FeatxError(f"{out} is a file; give a folder for the report")
    runs = find_runs(folders)
    of_age = [run for run in runs if run.task != "gender"]
    of_gender = [run for run in runs if run.task == "gender"]
    if groups and not of_age:
        raise FeatxError(f"--groups {groups}: there are runs of gender only; leave it out")
    parts = [(of_age, out, title)] if of_age else []
    if of_gender:
        name = f"{title}: gender" if title and of_age else title
        parts.append((of_gender, out / "gender" if of_age else out, name))
    if each_split:
        parts = [part for some, folder, name in parts for part in _by_split(some, folder, name)]
    if dry_run:
        for some, folder, _ in parts:
            _plan(some, folder)
        return
    options: dict[str, Any] = {
        "bootstrap": bootstrap,
        "seed": seed,
        "allow_different_splits": allow_different_splits,
    }
    # all are compared before any is written: what is wrong with one leaves no half of a report
    reports = [
        _comparison(some, None if some[0].task == "gender" else wanted, options, images, table)
        for some, *_ in parts
    ]
    for (told, write), (_, folder, name) in zip(reports, parts, strict=True):
        click.echo(told)
        click.echo(f"report -> {write(folder, name)}")


def _by_split(
    runs: list[Run], out: Path, title: str | None
) -> list[tuple[list[Run], Path, str | None]]:
    """Return the runs of each split, with the folder and title of their report."""
    splits: dict[str, list[Run]] = {}
    for run in runs:
        name = f"{run.info.get('protocol')}-{str(run.info.get('split_hash'))[:6]}"
        splits.setdefault(name.replace(":", "-"), []).append(run)
    if len(splits) == 1:
        return [(runs, out, title)]
    return [
        (some, out / name, f"{title}: {name}" if title else name) for name, some in splits.items()
    ]


def _plan(runs: list[Run], out: Path) -> None:
    for run in runs:
        done, planned = (run.info.get("folds", {}).get(key) for key in ("done", "planned"))
        click.echo(
            f"{run.method}: {len(run.predictions)} images, {done} of {planned} folds, "
            f"split {str(run.info.get('split_hash'))[:12]} ({run.folder})"
        )
    click.echo(f"would compare {len(runs)} methods -> {out / 'report.html'}")


def _comparison(
    runs: list[Run],
    wanted: tuple[str, ...] | None,
    options: dict[str, Any],
    images: bool | None,
    table: Path | None,
) -> tuple[str, Callable[[Path, str | None], Path]]:
    """Compare runs of one kind; return the table for the terminal, and what writes the report."""
    if wanted or any(run.groups for run in runs):
        from regress.compare_groups import compare_groups
        from regress.grouping import into_groups
        from regress.report.group_page import write_group_report
        from regress.report.group_tables import terminal_groups

        by_group = compare_groups(
            [into_groups(run, wanted) if wanted else run for run in runs], **options
        )
        return terminal_groups(by_group), partial(write_group_report, by_group)
    from regress.compare import compare as compare_runs
    from regress.image_facts import image_facts
    from regress.report.page import write_report
    from regress.report.tables import terminal_table

    comparison = compare_runs(runs, **options)
    facts = image_facts(comparison.runs, table)
    return terminal_table(comparison), partial(write_report, comparison, facts=facts, images=images)

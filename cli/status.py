"""`featx status`: how far the work in some folders has come."""

from __future__ import annotations

import json
from pathlib import Path

import click

from cli.options import examples


@click.command(epilog=examples("featx status runs", "featx status runs --json"))
@click.argument("folders", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="The same as JSON, with every task.")
@click.option("--all", "everything", is_flag=True, help="The last lines of all tasks at work.")
@click.option("-v", "--verbose", is_flag=True, help="The same as --all; show tracebacks.")
def status(folders: tuple[Path, ...], as_json: bool, everything: bool, verbose: bool) -> None:
    """Show how far the work in FOLDERS and below them has come.

    Counts folds, shards and epochs by the files that are there, and asks Slurm, where it can be
    asked, about the tasks that were submitted from there: which run, and the last lines of their
    logs; which failed, and why.
    """
    from regress import status_text
    from regress.status import look

    found = look(folders)
    if as_json:
        told = status_text.as_json(found)
        click.echo(json.dumps(told, indent=2, ensure_ascii=False, allow_nan=False))
        return
    shown = None if everything or verbose else status_text.SHOWN
    for line in status_text.describe(found, shown):
        click.echo(line)

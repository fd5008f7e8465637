"""`featx inspect`: what is inside a features file."""

from __future__ import annotations

import json
from pathlib import Path

import click

from cli.options import examples


@click.command(epilog=examples("featx inspect fgnet.h5", "featx inspect fgnet.h5 --json"))
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="The same as JSON.")
@click.option("-v", "--verbose", is_flag=True, help="Show tracebacks.")
def inspect(file: Path, as_json: bool, verbose: bool) -> None:
    """Show what a features FILE holds: provenance, images and layers.

    The page tells provenance, rows by status, and of each layer its shape, its share of zeros and
    what it takes on disk. Takes a .partial too, and says how far it has come. `featx verify` reads
    all of the file and tells whether it is whole.
    """
    from featx.store.tools.inspection import describe, summarize

    summary = summarize(file)
    if as_json:
        click.echo(json.dumps(summary, indent=2, ensure_ascii=False, allow_nan=False))
    else:
        click.echo(describe(summary))

"""`featx diff`: in what two features files differ."""

from __future__ import annotations

from pathlib import Path

import click

from cli.options import examples


@click.command(epilog=examples("featx diff fgnet.h5 fgnet-again.h5"))
@click.argument("one", type=click.Path(path_type=Path))
@click.argument("other", type=click.Path(path_type=Path))
@click.option("-v", "--verbose", is_flag=True, help="Show tracebacks.")
@click.pass_context
def diff(context: click.Context, one: Path, other: Path, verbose: bool) -> None:
    """Tell in what two features files differ: provenance, images, and each layer's numbers.

    Rows are matched by their image. Of each layer the largest difference is told, and the image in
    which it is. When a file was made, by which versions, and its compression don't count. Exits as
    diff does: with 0 where the files are equal, 1 where they differ, 2 on an error.
    """
    from featx.errors import FeatxError
    from featx.store.tools.difference import differences

    try:
        found = differences(one, other)
    except FeatxError as error:
        if verbose:
            import traceback

            traceback.print_exc()
        click.echo(f"featx: error: {error}", err=True)
        context.exit(2)
    for line in found:
        click.echo(line)
    if found:
        context.exit(1)

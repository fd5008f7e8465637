"""`featx repair`: what a damaged features file still holds -> a new one."""

from __future__ import annotations

from pathlib import Path

import click

from cli import completion
from cli.options import examples


@click.command(
    epilog=examples(
        "featx repair damaged.h5 -o saved.h5", "featx repair damaged.h5 --layer gap -o saved.h5"
    )
)
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--output", "-o", required=True, type=click.Path(path_type=Path), help="New features file."
)
@click.option(
    "--layer",
    "layers",
    multiple=True,
    shell_complete=completion.layers_of_file("file"),
    help="Save this layer only; may be repeated.",
)
@click.option("-v", "--verbose", is_flag=True, help="Show tracebacks.")
def repair(file: Path, output: Path, layers: tuple[str, ...], verbose: bool) -> None:
    """Save what a truncated or damaged features FILE still holds, and tell what is lost.

    FILE stays as it is. Every image keeps its row; where values are lost it becomes corrupt, with
    the reason, and holds NaN in all layers (fewer --layer may save more rows). The provenance tells
    of the repair, so that the new file cannot be taken for the whole one. What an extraction left
    unfinished (.partial) is not for this command: `featx extract --resume` loses nothing of it.
    """
    from featx.store.tools.damage import tell_rows
    from featx.store.tools.repairing import repair as save

    found = save(file, output, layers)
    if found.nothing_lost:
        click.echo(f"{file}: nothing is lost, so nothing was written")
        return
    if found.lost.any():
        click.echo(f"lost    {tell_rows(found.lost.nonzero()[0])}, now corrupt")
    for name, why in found.lost_layers.items():
        click.echo(f"lost    layer {name}: {why}")
    for name in found.unchecked:
        click.echo(f"note    layer {name} has no checksums: what was read is taken as right")
    counts = found.images["status"].value_counts()
    told = ", ".join(f"{count} {status}" for status, count in counts.items())
    click.echo(f"rows    {len(found.images)} ({told})")
    click.echo(f"layers  {', '.join(found.layers)}")
    click.echo(f"file    {output}")

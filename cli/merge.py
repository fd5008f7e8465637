"""`featx merge`: the shards of an extraction -> one features file."""

from __future__ import annotations

from pathlib import Path

import click

from cli.options import examples, long_work


@click.command(epilog=examples("featx merge fgnet.shard-*-of-8.h5 -o fgnet.h5"))
@click.argument(
    "files", nargs=-1, required=True, metavar="SHARD...", type=click.Path(path_type=Path)
)
@click.option(
    "--output", "-o", required=True, type=click.Path(path_type=Path), help="Features file (HDF5)."
)
@click.option(
    "--remove", is_flag=True, help="Remove the shards once the features file is there, and whole."
)
@long_work
def merge(
    files: tuple[Path, ...],
    output: Path,
    remove: bool,
    resume: bool,
    dry_run: bool,
    seed: int,
    verbose: bool,
) -> None:
    """Join the shards that `featx extract --shard` wrote, in any order, to one features file.

    It is equal to the file of a single `featx extract`, row for row. All shards must be there,
    each once, made in the same way of the same table; what differs is named. They are kept but with
    --remove. --resume checks and keeps a file that is there. Nothing is drawn by chance: --seed
    changes nothing.
    """
    from featx.store.tools import merging, shard_set

    removing = remove and resume and not dry_run and output.exists()
    if removing and not all(path.exists() for path in files):
        _remove_rest(files, output)
        return
    joined = shard_set.read_shards(files)
    counts = ", ".join(f"{n} {status}" for status, n in joined.statuses.items())
    if dry_run:
        click.echo(
            f"would join {len(joined.members)} shards to {output}; nothing was written\n"
            f"size    about {joined.n_bytes:,} bytes"
        )
    elif not merging.merge(joined, output, resume=resume):
        click.echo("nothing was left to do")
    click.echo(f"rows    {len(joined.images)} ({counts})")
    click.echo(f"layers  {', '.join(f'{layer.name} ({layer.units})' for layer in joined.layers)}")
    if dry_run:
        return
    click.echo(f"file    {output}")
    if remove:
        merging.remove_merged(files, output)


def _remove_rest(files: tuple[Path, ...], output: Path) -> None:
    """Remove the shards that an earlier run was stopped before it removed them."""
    from featx.errors import FeatxError
    from featx.store import comparison
    from featx.store.tools import merging

    comparison.check_rows(output)
    others = merging.remove_merged(files, output)
    if others:
        raise FeatxError(
            f"{others[0]} is no part of {output}, and other shards are missing; remove what is out "
            "of date, or choose another name"
        )
    click.echo(f"nothing was left to do\nfile    {output}")

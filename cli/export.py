"""`featx export`: features file -> Parquet, CSV, npz or mat."""

from __future__ import annotations

from pathlib import Path

import click

from cli import completion
from cli.options import examples


@click.command(
    epilog=examples(
        "featx export fgnet.h5 --layer gap -o fgnet-gap.csv", "featx export fgnet.h5 -o fgnet.mat"
    )
)
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--output",
    "-o",
    required=True,
    type=click.Path(path_type=Path),
    help="New file; its ending says the form: .parquet, .csv, .npz or .mat.",
)
@click.option(
    "--layer",
    "layers",
    multiple=True,
    shell_complete=completion.layers_of_file("file"),
    help="This layer only; may be repeated.",
)
@click.option("-v", "--verbose", is_flag=True, help="Show tracebacks.")
def export(file: Path, output: Path, layers: tuple[str, ...], verbose: bool) -> None:
    """Write the features FILE in another form: image table and layers, a row an image.

    In .parquet (which needs featx[parquet]) and .csv each unit is a column: gap_0, gap_1 and so on;
    in .npz and .mat each layer is an array. All but .mat are written some rows at a time, whatever
    the memory. Rows that are not ok hold NaN, which CSV leaves empty.
    """
    from featx.store.tools.exporting import export as write

    names = write(file, output, layers)
    click.echo(f"layers  {', '.join(names)}\nfile    {output}")

"""`featx extract`: image table and network in, features file out."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import click

from cli.options import long_work


@click.command()
@click.argument("table", type=click.Path(path_type=Path))
@click.option("--backbone", "-b", required=True, help="Network, for example vgg16 or resnet50.")
@click.option(
    "--weights",
    "-w",
    required=True,
    help="A registered set (imagenet, vggface2, …), a file, or random[:SEED].",
)
@click.option(
    "--layer",
    "-l",
    "layers",
    multiple=True,
    default=("gap",),
    show_default=True,
    help="gap, gmp, first_conv, first_conv_max, flattened, embedding, softmax, or any "
    "MODULE[:avg|:max|:flat]; give it several times for several layers of one pass.",
)
@click.option(
    "--output", "-o", required=True, type=click.Path(path_type=Path), help="Features file (HDF5)."
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@click.option(
    "--precision",
    type=click.Choice(["fp32", "bf16", "fp16"]),
    default="fp32",
    show_default=True,
    help="Arithmetic of the network.",
)
@click.option("--batch-size", default="auto", show_default=True, help="Rows at a time, or auto.")
@click.option(
    "--workers", type=click.IntRange(min=0), help="Processes that decode images. [default: cores-1]"
)
@click.option(
    "--mirror/--no-mirror",
    default=True,
    show_default=True,
    help="Average the features over each image and its mirror image; --no-mirror is twice as fast.",
)
@click.option(
    "--dtype",
    type=click.Choice(["float32", "float16"]),
    default="float32",
    show_default=True,
    help="As stored; float16 halves the file, but not every reader takes it.",
)
@click.option(
    "--compression",
    default="gzip",
    show_default=True,
    help="gzip, gzip-1 to gzip-9, lzf (fewer readers) or none.",
)
@click.option(
    "--max-pixels",
    type=click.IntRange(min=1),
    default=89_478_485,
    show_default=True,
    help="Larger images are not decoded; their rows are marked.",
)
@long_work
def extract(
    table: Path,
    layers: tuple[str, ...],
    output: Path,
    dtype: str,
    compression: str,
    max_pixels: int,
    resume: bool,
    dry_run: bool,
    verbose: bool,
    **options: Any,
) -> None:
    """Extract features of a network's layers for every image of TABLE.

    TABLE is an image table (CSV), or the folder into which `featx prepare` wrote it.
    """
    if verbose:
        logging.getLogger("featx").setLevel(logging.INFO)
    from featx import extraction

    settled = extraction.plan(table, layers=layers, **options)
    if dry_run:
        _tell(settled, output, dtype)
        return
    done = extraction.run(
        settled,
        output,
        dtype=dtype,
        compression=compression,
        resume=resume,
        progress=True,
        max_pixels=max_pixels,
    )
    counts = ", ".join(f"{n} {status}" for status, n in done.statuses.items())
    click.echo(f"rows    {sum(done.statuses.values())} ({counts})")
    click.echo(f"layers  {', '.join(f'{layer.name} ({layer.units})' for layer in done.layers)}")
    if done.images:
        rate = done.images / max(done.seconds, 1e-9)
        click.echo(f"speed   {rate:.1f} images/s ({done.images} images in {done.seconds:.1f} s)")
    else:
        click.echo("speed   nothing was left to do")
    click.echo(f"file    {done.path}")


def _tell(settled: Any, output: Path, dtype: str) -> None:
    usable = int(settled.usable.sum())
    network = settled.network
    click.echo(f"would write {output}; nothing was written")
    click.echo(f"rows      {len(settled.table)}, of which {usable} ok")
    click.echo(
        f"network   {network.backbone.name}, weights {network.weights} "
        f"(sha256 {network.sha256[:16]}…)"
    )
    for layer in settled.layers:
        shape = " x ".join(str(size) for size in layer.shape)
        click.echo(f"layer     {layer.name}: {layer.units} units ({shape}) from {layer.module}")
    click.echo(f"size      {settled.n_bytes(dtype):,} bytes before compression ({dtype})")
    click.echo(
        f"device    {settled.device}, {settled.precision}, {settled.batch_size} rows at a time, "
        f"{settled.workers} decoding processes"
    )

"""`featx extract`: image table and network in, features file out."""

from __future__ import annotations

import logging
import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli import completion
from cli.cluster import Asked, cluster_options, program, tell_scripts
from cli.logs import tell_from
from cli.options import examples, long_work

if TYPE_CHECKING:
    from featx.cluster.job import Job
    from featx.extraction import Extraction

#: Tasks of an array where none other number is given.
SHARDS = 8


@click.command(
    epilog=examples(
        "featx extract work --backbone onet --weights mtcnn --layer gap -o fgnet.h5",
        "featx extract work -b resnet18 -w random:1 -l gap -l layer3:max --dry-run -o resnet.h5",
        "featx extract work -b vgg16 -w imagenet -l gmp -o vgg.h5 --cluster slurm --shards 8",
    )
)
@click.argument("table", type=click.Path(path_type=Path))
@click.option(
    "--backbone",
    "-b",
    required=True,
    shell_complete=completion.one_of(completion.BACKBONES, "backbone"),
    help="Network, for example vgg16 or resnet50.",
)
@click.option(
    "--weights",
    "-w",
    required=True,
    shell_complete=completion.weights,
    help="A registered set (imagenet, vggface2, …), a file, or random[:SEED].",
)
@click.option(
    "--layer",
    "-l",
    "layers",
    multiple=True,
    default=("gap",),
    show_default=True,
    shell_complete=completion.one_of(completion.LAYERS),
    help="gap, gmp, first_conv, first_conv_max, flattened, embedding, softmax, or any "
    "MODULE[:avg|:max|:flat]; give it several times for several layers of one pass.",
)
@click.option(
    "--output", "-o", required=True, type=click.Path(path_type=Path), help="Features file (HDF5)."
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@click.option(
    "--precision",
    type=click.Choice(["fp32", "bf16", "fp16", "auto"]),
    default="fp32",
    show_default=True,
    help="Arithmetic of the network; auto: bf16 where this machine gains by it and the features "
    "stay near those of fp32, which is tried on some of the images.",
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
@click.option(
    "--shard",
    metavar="K/N",
    help="Only the K-th of N parts of the table, into NAME.shard-K-of-N.h5 beside the features "
    "file; `featx merge` joins them. For the tasks of a cluster's array.",
)
@click.option(
    "--jobs",
    type=click.IntRange(min=0),
    default=1,
    show_default=True,
    help="Processes, each with a shard; merged at the end. For several GPUs in one machine, of "
    "which each process takes one; 0: one a GPU. CPUs gain nothing: one process uses all cores.",
)
@click.option(
    "--shards",
    type=click.IntRange(min=1),
    metavar="N",
    help="With --cluster: into how many shards, a task each; joined by a job of its own. "
    f"[default: {SHARDS}]",
)
@cluster_options
@long_work
@click.pass_context
def extract(
    context: click.Context,
    table: Path,
    output: Path,
    dtype: str,
    compression: str,
    max_pixels: int,
    shard: str | None,
    jobs: int,
    shards: int | None,
    cluster: str | None,
    profile: Path | None,
    slurm: tuple[str, ...],
    wait: bool,
    resume: bool,
    dry_run: bool,
    verbose: bool,
    **options: Any,
) -> None:
    """Extract features of a network's layers for every image of TABLE.

    TABLE is an image table (CSV), or the folder into which `featx prepare` wrote it.
    """
    if verbose:
        tell_from(logging.INFO)
    check_options(shard, jobs, shards, cluster, options["precision"])
    written = {"dtype": dtype, "compression": compression, "max_pixels": max_pixels}
    if cluster:
        asked = Asked(context, cluster, profile, slurm, wait)
        done = _on_cluster(
            asked, table, output, shards or SHARDS, resume, dry_run, written, options
        )
        if done is not None:
            _report(done)
        return
    from featx import extraction
    from featx.devices import spread_devices
    from featx.extraction.side_by_side import extract_side_by_side, share

    jobs = jobs or len(spread_devices(options["device"]))
    if dry_run:
        settled = extraction.plan(table, shard=shard, jobs=jobs, **options)
        click.echo(f"would write {settled.path(output)}; nothing was written")
        tell_work(settled.describe(), dtype)
        if jobs > 1:
            for part, device in share(len(settled.table), jobs, options["device"]):
                click.echo(f"shard     {part}: {len(part)} rows on {device}")
        return
    options |= {**written, "resume": resume, "progress": True}
    if jobs > 1:
        done = extract_side_by_side(table, output, jobs=jobs, **options)
    else:
        done = extraction.extract(table, output, shard=shard, **options)
    speed = "nothing was left to do"
    if done.images:
        rate = done.images / max(done.seconds, 1e-9)
        speed = f"{rate:.1f} images/s ({done.images} images in {done.seconds:.1f} s)"
    _report(done, speed)
    if shard:
        click.echo(f"next    `featx merge` with the other shards, to {output}")


def check_options(
    shard: str | None, jobs: int, shards: int | None, cluster: str | None, precision: str
) -> None:
    """Refuse options that exclude each other."""
    if shard and jobs != 1:
        raise click.UsageError("--shard is for one process; give it or --jobs")
    if cluster and (shard or jobs != 1):
        raise click.UsageError(
            "--cluster cuts the table into --shards; leave out --shard and --jobs"
        )
    if precision == "auto" and (cluster or shard or jobs != 1):
        raise click.UsageError(
            "--precision auto is decided by each machine, and shards must agree; give fp32 or bf16"
        )
    if shards and not cluster:
        raise click.UsageError("--shards is for --cluster; here give --jobs, or --shard K/N")


def _report(done: Extraction, speed: str = "") -> None:
    counts = ", ".join(f"{n} {status}" for status, n in done.statuses.items())
    click.echo(f"rows    {sum(done.statuses.values())} ({counts})")
    click.echo(f"layers  {', '.join(f'{layer.name} ({layer.units})' for layer in done.layers)}")
    if speed:
        click.echo(f"speed   {speed}")
    click.echo(f"file    {done.path}")


def _on_cluster(
    asked: Asked,
    table: Path,
    output: Path,
    count: int,
    resume: bool,
    dry_run: bool,
    written: dict[str, Any],
    options: dict[str, Any],
) -> Extraction | None:
    """Submit what is missing and wait; None where there is nothing to report yet."""
    from featx import extraction
    from featx.extraction.on_slurm import Sharded

    # here too, or each task would find the same error and download the same weights; on the CPU,
    # for where jobs are submitted there may be no GPU
    settled = extraction.plan(table, **options | {"device": "cpu"})
    work = Sharded(settled, output, count, written)
    array, merging = _jobs(asked, output, count)
    missing = None if output.exists() else work.missing(array, merging, resume=resume)
    if missing and not output.exists():  # it may have been merged meanwhile
        if dry_run:
            tell_scripts([*([missing.array] if missing.labels else []), missing.merging])
            return None
        ended = asked.follow(work.submit(missing), output.parent)
        if ended is None:
            return None
        _check_ended(work.failed(ended), output)
    elif dry_run:
        click.echo(f"{output} is there; nothing would be submitted")
        return None
    return work.finished(resume=resume or missing is not None)


def _jobs(asked: Asked, output: Path, count: int) -> tuple[Job, Job]:
    """Return the array, still without its tasks, and the job that merges."""
    from featx.cluster.job import TASK

    array = asked.job("extract", output.parent, f"--shard {TASK}/{count}", "--resume")
    names = f"{output.with_suffix('')}.shard-", f"-of-{count}{output.suffix}"
    files = "*".join(map(shlex.quote, names))
    whole = f"-o {shlex.quote(str(output))} --resume --remove"
    merging = replace(
        asked.job("gather", output.parent), command=f"exec {program()} merge {files} {whole}"
    )
    return array, merging


def _check_ended(failed: dict[str, str], output: Path) -> None:
    from featx.errors import FeatxError

    for label, why in failed.items():
        click.echo(f"{label}: {why}", err=True)
    if failed:
        raise FeatxError(
            f"{output} could not be made: {len(failed)} of its tasks failed (reasons above); what "
            "is done is kept: mend the cause and run again with --resume"
        )


def tell_work(told: dict[str, Any], dtype: str) -> None:
    """Print what an extraction will do, as `featx.extraction.Plan.describe` has it."""
    from featx.quantities import in_bytes

    rows, network, width = told["rows"], told["network"], 2 if dtype == "float16" else 4
    if told["shard"]:
        last = rows["first"] + rows["count"] - 1
        click.echo(f"shard     {told['shard']}: rows {rows['first']} to {last} of {rows['table']}")
    click.echo(f"rows      {rows['count']}, of which {rows['ok']} ok")
    click.echo(
        f"network   {network['backbone']}, weights {network['weights']} "
        f"(sha256 {network['sha256'][:16]}…)"
    )
    for layer in told["layers"]:
        shape = " x ".join(map(str, layer["shape"]))
        size = f", {in_bytes(rows['count'] * layer['units'] * width)}"
        if "stored_bytes" in layer:
            size += f", on disk {in_bytes(layer['stored_bytes'])}"
        click.echo(
            f"layer     {layer['name']}: {layer['units']} units ({shape}) from {layer['module']}"
            f"{size}"
        )
    units = sum(layer["units"] for layer in told["layers"])
    click.echo(f"size      {rows['count'] * units * width:,} bytes before compression ({dtype})")
    click.echo(
        f"device    {told['device']}, {told['precision']}, {told['batch_size']} rows at a time, "
        f"{told['workers']} decoding processes"
    )

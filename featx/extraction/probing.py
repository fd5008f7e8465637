"""What an extraction takes, measured on sixteen of its images, in a process of its own.

The probe is the extraction itself, with the whole image table and full batches, but for a few
batches only, in which the sixteen take turns; what it writes goes into a temporary folder.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from featx.cluster.fresh import call_fresh
from featx.errors import FeatxError
from featx.extraction.planning import Plan, plan
from featx.extraction.running import open_writer
from featx.extraction.side_by_side import check_unfinished
from featx.extraction.turns import Turns
from featx.loading import Crops
from featx.memory import peak_memory
from featx.store import FeaturesWriter, schema
from featx.store.comparison import refuse_overwriting
from featx.store.netcdf import CHUNK_ROWS
from featx.store.writing.sizing import FileSize, file_size, structure_bytes

#: Images that the probe looks at: of so many rows a chunk of a small layer is made, and how well a
#: chunk is compressed is not told by a part of it.
IMAGES = CHUNK_ROWS

#: About how long batches are timed, seconds.
SECONDS = 6.0

#: Where a batch takes longer than this, one is enough.
_LONG = 10.0

#: Batches that are timed, at least and at most.
_BATCHES = (2, 60)


@dataclass(frozen=True)
class Probe:
    """What was measured; bytes and seconds.

    Attributes
    ----------
    told : dict
        What the extraction will do, of `Plan.describe`.
    images : int
        Different images that were looked at.
    batches : int
        Batches that were timed.
    size : FileSize
        Of the whole file.
    others : dict of str to FileSize
        The same with other options, by these.
    process : int
        Peak memory of the process that computes.
    of_one : int
        The same when it had looked at a single image only.
    decoders : int
        Memory of the processes that decode, beside it.
    device : dict of str to int
        Memory of the GPU: ``allocated`` and ``reserved`` by torch at the peak, ``free`` and
        ``total`` before; empty on a CPU.
    start : float
        From the start of the process to its first batch.
    image : tuple of float
        Seconds an image: in all timed batches, in the fastest and in the slowest.
    row : float
        Seconds a row to make the file of the journal.
    """

    told: dict[str, Any]
    images: int
    batches: int
    size: FileSize
    others: dict[str, FileSize]
    process: int
    of_one: int
    decoders: int
    device: dict[str, int]
    start: float
    image: tuple[float, float, float]
    row: float


def probe(
    table: str | Path,
    out: Path,
    *,
    dtype: str,
    compression: str,
    max_pixels: int,
    parts: int = 1,
    resume: bool = False,
    **options: Any,
) -> Probe:
    """Measure in a fresh process.

    Parameters
    ----------
    table, out, dtype, compression, max_pixels, resume, **options
        As of `featx.extraction.extract`; nothing is written to `out`.
    parts : int
        Shards that will be made and merged; 1 for none.

    Raises
    ------
    FeatxError
        As `featx.extraction.plan`; if `out` is there already, or an unfinished one, and is not to
        be resumed; if none of the images can be read, or memory does not suffice.
    """
    written = {"dtype": dtype, "compression": compression, "max_pixels": max_pixels}
    if out.exists():  # before the network is loaded
        refuse_overwriting(out, resume=resume)
    with tempfile.TemporaryDirectory(prefix="featx-plan-") as folder:
        measured: Probe = call_fresh(
            _measure,
            *(time.time(), Path(folder), table, out, parts, resume, written, SECONDS, options),
            killed="the probe was killed, most likely for want of memory, and the extraction would "
            "be too: give a smaller --batch-size or --workers 0, or choose a larger machine",
        )
    return measured


def _measure(
    begun: float,
    folder: Path,
    table: str | Path,
    out: Path,
    parts: int,
    resume: bool,
    written: dict[str, Any],
    seconds: float,
    options: dict[str, Any],
) -> Probe:
    settled = plan(table, **options)
    form = {name: written[name] for name in ("dtype", "compression")}
    if parts == 1 or out.exists():
        open_writer(settled, out, **form, resume=resume).finished()
    if parts > 1 and not out.exists():
        check_unfinished(out, parts)
    device, size = settled.device, min(settled.batch_size, len(settled.rows))
    gpu = {}
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        gpu = {"free": free, "total": total}
    # kept, as the extraction keeps it
    crops = Crops(
        settled.paths, settled.usable, settled.network.preprocessing, written["max_pixels"]
    )
    chosen = _spread(settled, crops)
    with open_writer(settled, folder / "whole.h5", **form) as writer:
        head, start = writer.partial.stat().st_size, time.time() - begun
        turns = Turns(settled, chosen, folder, written)
        turns.take(1, batch_size=1)
        of_one = peak_memory()
        taken = turns.take(max(size, len(chosen)), watching=True)
        decoders = taken.decoders
        a_batch = taken.seconds / len(taken.stamps)
        if a_batch < _LONG:
            least, most = _BATCHES
            count = min(most, max(least, round(seconds / a_batch)))
            taken = turns.take((1 + count) * size)
        process = peak_memory()
        features = taken.features(len(chosen))
        if gpu:
            gpu["allocated"] = torch.cuda.max_memory_allocated(device)
            gpu["reserved"] = torch.cuda.max_memory_reserved(device)
        sizes = _sizes(settled, writer, head, features, written)
    return Probe(
        told=settled.describe(),
        images=len(chosen),
        batches=max(1, len(taken.stamps) - 1),
        size=sizes.pop(""),
        others=sizes,
        process=process,
        of_one=of_one,
        decoders=decoders,
        device=gpu,
        start=start,
        image=taken.per_image(),
        row=taken.finish / taken.rows,
    )


def _spread(settled: Plan, crops: Crops) -> list[int]:
    """Return rows of images that can be read, spread over those that are to be extracted."""
    rows = np.asarray(settled.rows)
    usable = rows[settled.usable[rows]]
    if not len(usable):
        raise FeatxError(f"shard {settled.shard} has no row with status ok; nothing to try")
    found: list[int] = []
    reason = ""
    for count in (IMAGES, 5 * IMAGES):
        places = np.linspace(0, len(usable) - 1, min(count, len(usable))).astype(int)
        for row in usable[places].tolist():
            if row in found or len(found) == IMAGES:
                continue
            _, pixels, why = crops[row]
            reason = reason or why
            found += [row] if pixels is not None else []
    if not found:
        raise FeatxError(f"none of {len(places)} images can be read (the first: {reason})")
    return sorted(found)


def _sizes(
    settled: Plan,
    writer: FeaturesWriter,
    head: int,
    features: dict[str, np.ndarray],
    written: dict[str, Any],
) -> dict[str, FileSize]:
    """Return the file's sizes as it is asked for (under ""), and with other options."""
    ok = settled.usable[np.asarray(settled.rows)]
    structure = structure_bytes(writer.head, writer.images, settled.layers)
    ways = {"": (written["dtype"], written["compression"])}
    if written["dtype"] == "float32":
        ways["--dtype float16"] = ("float16", written["compression"])
    if not written["compression"].startswith("gzip"):
        ways["--compression gzip"] = (written["dtype"], "gzip")
    return {
        option: file_size(
            structure, head, settled.layers, features, ok, dtype, schema.filters(compression)
        )
        for option, (dtype, compression) in ways.items()
    }

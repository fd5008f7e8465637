"""An extraction in one process.

Features do not depend on the number of workers, on where a stopped run was taken up or on the
shard that a row lies in: batches are cut at fixed multiples of the batch size, counted from the
first row of the table, and those in which a resumed run or a shard starts or ends are computed
whole, so the file equals that of one uninterrupted run bit by bit on the same machine. Another
batch size, number of threads or device changes them by rounding only (relative differences of
about 1e-5 in fp32).
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import closing, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from featx.extraction.engine import Engine
from featx.extraction.planning import Plan, plan
from featx.extraction.precision_choice import recorded_precision
from featx.images import MAX_PIXELS
from featx.inference.folding import copied
from featx.inference.streams import in_streams
from featx.loading import Batch, Crops, batches
from featx.memory import give_back, keeping_freed_memory
from featx.progress import tracking
from featx.store import FeaturesFile, FeaturesWriter, Layer
from featx.weights import LoadedNetwork

__all__ = ["Extraction", "extract", "open_writer", "run"]


@dataclass(frozen=True)
class Extraction:
    """What an extraction did.

    Attributes
    ----------
    path : Path
        The features file.
    layers : list of Layer
        In it.
    statuses : dict of str to int
        Rows by status.
    images : int
        Images that went through the network in this run (without those of a run taken up).
        Where batches straddle the ends of a shard, those of its neighbours in them count.
    seconds : float
        From the first batch asked for to the last row written.
    """

    path: Path
    layers: list[Layer]
    statuses: dict[str, int]
    images: int
    seconds: float


def extract(
    table_path: str | Path,
    out: str | Path,
    *,
    dtype: str = "float32",
    compression: str = "gzip",
    resume: bool = False,
    progress: bool | Literal["lines"] = False,
    max_pixels: int = MAX_PIXELS,
    **options: Any,
) -> Extraction:
    """Extract layers of a network for every image of a table into a features file.

    Every row of the table is a row of the file, in order. Rows whose status is not ``ok`` hold
    NaN; an image that cannot be read gets status ``corrupt`` with the reason, and NaN.

    Parameters
    ----------
    table_path : str or Path
        The image table, or the folder that holds it as ``images.csv``.
    out : str or Path
        The features file to be made.
    dtype, compression, resume
        See `featx.store.FeaturesWriter`.
    progress : bool or "lines"
        Show how far the work has come, on standard error; by lines on a terminal too.
    max_pixels : int
        Larger images are not decoded.
    **options
        backbone : str
            A registered backbone.
        weights : str
            A registered set, a file, or ``random``; see `featx.weights.load_network`.
        layers : sequence of str
            See `featx.layers`.
        device : str
            ``auto`` (default), ``cpu``, ``cuda`` or ``cuda:N``.
        precision : {"fp32", "bf16", "fp16", "auto"}
            By autocast; fp32 (default) means it, TF32 is off. ``auto``: see
            `featx.extraction.precision_choice`; a run that is taken up keeps its own.
        batch_size : int or "auto"
            Rows at a time, halved while a GPU's memory does not suffice.
        workers : int, optional
            Processes that decode images; by default the cores but one, at most 8, and 16
            for a GPU.
        jobs : int
            Extractions side by side on this machine, each with its share of the cores
            (default: 1); it decides the default of `workers`.
        mirror : bool
            Average the features over each image and its mirror image (default: true); it halves
            the speed and lowers the error.
        seed : int
            For random weights.
        shard : str, optional
            ``K/N``: only the K-th of N parts of the table, into a file beside `out`; see
            `featx.shards` and `featx.store.tools.merging.merge`.

    Returns
    -------
    Extraction
        What was done.

    Raises
    ------
    FeatxError
        On bad input of any kind, and where a good image gives a layer values that are not finite.
    """
    if resume and options.get("precision") == "auto":
        options["precision"] = recorded_precision(Path(out)) or "auto"
    return run(
        plan(table_path, **options),
        out,
        dtype=dtype,
        compression=compression,
        resume=resume,
        progress=progress,
        max_pixels=max_pixels,
    )


def run(
    settled: Plan,
    out: str | Path,
    *,
    dtype: str = "float32",
    compression: str = "gzip",
    resume: bool = False,
    progress: bool | Literal["lines"] = False,
    max_pixels: int = MAX_PIXELS,
) -> Extraction:
    """Carry out a plan; see `extract`."""
    images, rows = 0, settled.rows
    path = settled.path(out)
    with open_writer(settled, out, dtype=dtype, compression=compression, resume=resume) as writer:
        start = time.monotonic()
        if not writer.complete:
            what = f"extract shard {settled.shard}" if settled.shard else "extract"
            show = partial(tracking, what, len(rows), "image", lines=progress == "lines")
            with show(writer.rows_done) if progress else nullcontext(_silent) as advance:
                images = fill(writer, settled, max_pixels, advance)
            writer.finish()
        seconds = time.monotonic() - start
    with FeaturesFile(path) as file:
        counts = dict(Counter(file.hdf5["status"].asstr()[:].tolist()).most_common())
    give_back()  # of making and checking the file
    return Extraction(path, settled.layers, counts, images, seconds)


def open_writer(settled: Plan, out: str | Path, *, dtype: str, **options: Any) -> FeaturesWriter:
    """Return the writer of the file that a plan leads to.

    Parameters
    ----------
    settled, out, dtype
        As of `run`.
    **options
        Of `featx.store.FeaturesWriter`.
    """
    rows = settled.rows
    return FeaturesWriter(
        settled.path(out),
        settled.table.iloc[rows.start : rows.stop],
        settled.layers,
        settled.provenance_as(dtype),
        context=settled.context,
        dtype=dtype,
        early=_on_gpu(settled),
        **options,
    )


def _on_gpu(settled: Plan) -> bool:
    """Whether the processor is free for other work while a batch is computed."""
    return settled.device.type == "cuda"


def _silent(rows: int) -> None:
    pass


def fill(
    writer: FeaturesWriter, settled: Plan, max_pixels: int, advance: Callable[[int], object]
) -> int:
    """Append all rows that are left, batch by batch; return how many images were looked at.

    Parameters
    ----------
    writer : FeaturesWriter
        Open, of the plan's file.
    settled : Plan
        What to do.
    max_pixels : int
        Larger images are not decoded.
    advance : callable
        Told the rows of each batch once they are written.
    """
    left = settled.rows[writer.rows_done :]
    if not left:
        return 0
    outcomes = settled.table[["status", "reason"]]
    images = 0
    give_back()  # of reading the table; the processes that decode begin as copies of this one
    with (
        keeping_freed_memory() as limit_growth,
        closing(_pass(settled, left, max_pixels)) as passed,  # also where writing fails
    ):
        for batch, features in passed:
            first, stop, _, rows, failures = batch
            # without rows of other shards, and those that the run taken up has written already
            wanted = range(max(first, left.start), min(stop, left.stop))
            given = {}
            for layer in settled.layers:
                values = np.full((stop - first, layer.units), np.nan, dtype=np.float32)
                values[np.asarray(rows, dtype=int) - first] = features[layer.name]
                given[layer.name] = values[wanted.start - first : wanted.stop - first]
            outcome = outcomes.iloc[wanted.start : wanted.stop].copy()
            for row, reason in failures.items():
                if row in wanted:
                    outcome.iloc[row - wanted.start] = ["corrupt", reason]
            writer.append(given, outcome["status"].tolist(), outcome["reason"].tolist())
            limit_growth()
            images += len(rows)
            advance(len(wanted))
    return images


def _pass(
    settled: Plan, left: range, max_pixels: int
) -> Generator[tuple[Batch, dict[str, np.ndarray]]]:
    """Return the batches of the rows that are left, each with its features, as they come."""
    crops = Crops(settled.paths, settled.usable, settled.network.preprocessing, max_pixels)
    gpu = _on_gpu(settled)
    loaded = batches(crops, settled.batch_size, rows=left, workers=settled.workers, pin=gpu)
    return in_streams(_streams(settled), loaded, ahead=gpu)


def _streams(settled: Plan) -> list[Callable[[Batch], dict[str, np.ndarray]]]:
    """Return as many streams as are planned; one for a network that cannot be copied."""
    module = settled.network.module
    tensors = (*module.parameters(), *module.buffers())
    copies = (copied(module, tensors) for _ in range(settled.streams - 1))
    modules = [module, *(each for each in copies if each is not None)]
    return [_stream(settled, replace(settled.network, module=each)) for each in modules]


def _stream(settled: Plan, network: LoadedNetwork) -> Callable[[Batch], dict[str, np.ndarray]]:
    """Return what takes a batch through a network: features by layer, each (k, units)."""
    names = settled.table["image"]
    engine = Engine(
        network,
        settled.requests,
        settled.device,
        precision=settled.precision,
        mirror=settled.mirror,
        batch_size=settled.batch_size,
    )

    def look(batch: Batch) -> dict[str, np.ndarray]:
        _, _, pixels, rows, _ = batch
        return engine(pixels, names.iloc[rows].tolist())

    return look

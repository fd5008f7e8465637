"""Image table and network in, features file out.

Features do not depend on the number of workers or on where a stopped run was taken up: batches
are cut at fixed multiples of the batch size, and the batch in which a resumed run starts is
computed whole, so the finished file equals an uninterrupted one bit by bit on the same machine.
Another batch size, number of threads or device changes them by rounding only (relative
differences of about 1e-5 in fp32).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from featx.cluster import available_cores
from featx.devices import BATCH_SIZES, resolve_device
from featx.engine import PRECISIONS, Engine
from featx.errors import FeatxError, unknown
from featx.heads import GENDERS
from featx.images import MAX_PIXELS
from featx.layers import LayerReader, LayerRequest, resolve
from featx.loading import Crops, batches, crop_paths
from featx.manifest import read_table
from featx.progress import tracking
from featx.provenance import context, provenance
from featx.store import FeaturesFile, FeaturesWriter, Layer
from featx.weights import LoadedNetwork, load_network

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Plan:
    """All that is settled before the first image is read.

    Attributes
    ----------
    table : pandas.DataFrame
        The image table.
    paths : list of str
        The image file of each row.
    network : LoadedNetwork
        On the CPU.
    requests : list of LayerRequest
        With their shapes.
    layers : list of Layer
        As the features file describes them.
    device : torch.device
        Where the network will run.
    batch_size, workers : int
        Rows at a time; processes that decode.
    provenance, context : dict
        What decides the features, and what else is worth knowing.
    """

    table: pd.DataFrame
    paths: list[str]
    network: LoadedNetwork
    requests: list[LayerRequest]
    layers: list[Layer]
    device: torch.device
    batch_size: int
    workers: int
    mirror: bool
    precision: str
    provenance: dict[str, Any]
    context: dict[str, Any]

    @property
    def usable(self) -> np.ndarray:
        """Rows that will be read: bool, shape (rows,)."""
        return (self.table["status"] == "ok").to_numpy()

    def n_bytes(self, dtype: str = "float32") -> int:
        """Return the size of the features before compression."""
        units = sum(layer.units for layer in self.layers)
        return len(self.table) * units * np.dtype(dtype).itemsize


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
    seconds : float
        From the first batch asked for to the last row written.
    """

    path: Path
    layers: list[Layer]
    statuses: dict[str, int]
    images: int
    seconds: float


def plan(
    table_path: str | Path,
    *,
    backbone: str,
    weights: str,
    layers: Sequence[str],
    device: str = "auto",
    precision: str = "fp32",
    batch_size: int | str = "auto",
    workers: int | None = None,
    mirror: bool = True,
    seed: int = 0,
) -> Plan:
    """Check the arguments, load the network and measure the layers; see `extract`.

    Raises
    ------
    FeatxError
        As `extract`, but for what only shows while images are read or rows are written.
    """
    if precision not in PRECISIONS:
        raise unknown("precision", precision, PRECISIONS)
    if workers is not None and workers < 0:
        raise FeatxError(f"--workers {workers}: give 0 or more")
    where = resolve_device(device)
    size = _batch_size(batch_size, where)
    path = Path(table_path)
    path = path / "images.csv" if path.is_dir() else path
    table = read_table(path)
    paths = crop_paths(table, path.parent)
    _check_images(table, paths, path)
    network = load_network(backbone, weights, seed=seed)
    for note in network.notes:
        logger.warning("%s: %s", network.weights, note)
    requests = resolve(layers, network.backbone, network.module, has_head=network.has_head)
    with torch.inference_mode():
        blank = torch.zeros(1, 3, *network.preprocessing.input_size)
        requests = LayerReader(network.module, requests).probe(blank)
    described = [_describe(request, network) for request in requests]
    return Plan(
        table=table,
        paths=paths,
        network=network,
        requests=requests,
        layers=described,
        device=where,
        batch_size=size,
        workers=min(8, max(1, available_cores() - 1)) if workers is None else workers,
        mirror=mirror,
        precision=precision,
        provenance=provenance(path, network, requests, mirror, precision),
        context=context(where, size, seed),
    )


def extract(
    table_path: str | Path,
    out: str | Path,
    *,
    dtype: str = "float32",
    compression: str = "gzip",
    resume: bool = False,
    progress: bool = False,
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
    progress : bool
        Show how far the work has come, on standard error.
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
        precision : {"fp32", "bf16", "fp16"}
            By autocast; fp32 (default) means it, TF32 is off.
        batch_size : int or "auto"
            Rows at a time, halved while a GPU's memory does not suffice.
        workers : int, optional
            Processes that decode images; by default the cores but one, at most 8.
        mirror : bool
            Average the features over each image and its mirror image (default: true); it halves
            the speed and lowers the error.
        seed : int
            For random weights.

    Returns
    -------
    Extraction
        What was done.

    Raises
    ------
    FeatxError
        On bad input of any kind, and where a good image gives a layer values that are not finite.
    """
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
    progress: bool = False,
    max_pixels: int = MAX_PIXELS,
) -> Extraction:
    """Carry out a plan; see `extract`."""
    images = 0
    with FeaturesWriter(
        out,
        settled.table,
        settled.layers,
        settled.provenance,
        context=settled.context,
        dtype=dtype,
        compression=compression,
        resume=resume,
    ) as writer:
        start = time.monotonic()
        if not writer.complete:
            show = partial(tracking, "extract", len(settled.table), "image")
            with show(writer.rows_done) if progress else nullcontext(_silent) as advance:
                images = _fill(writer, settled, max_pixels, advance)
            writer.finish()
        seconds = time.monotonic() - start
    with FeaturesFile(out) as file:
        counts = {str(k): int(n) for k, n in file.images["status"].value_counts().items()}
    return Extraction(Path(out), settled.layers, counts, images, seconds)


def _silent(rows: int) -> None:
    pass


def _fill(writer: FeaturesWriter, settled: Plan, max_pixels: int, advance: Any) -> int:
    crops = Crops(settled.paths, settled.usable, settled.network.preprocessing, max_pixels)
    statuses = settled.table["status"].to_numpy()
    reasons = settled.table["reason"].to_numpy()
    names = settled.table["image"].to_numpy()
    engine = Engine(
        settled.network,
        settled.requests,
        settled.device,
        precision=settled.precision,
        mirror=settled.mirror,
        batch_size=settled.batch_size,
    )
    images, start = 0, writer.rows_done
    pin = settled.device.type == "cuda"
    loaded = batches(crops, settled.batch_size, start=start, workers=settled.workers, pin=pin)
    for first, stop, pixels, rows, failures in loaded:
        features = engine(pixels, [names[row] for row in rows])
        skip = max(0, start - first)  # rows that the run taken up has written already
        given = {}
        for layer in settled.layers:
            values = np.full((stop - first, layer.units), np.nan, dtype=np.float32)
            values[np.asarray(rows, dtype=int) - first] = features[layer.name]
            given[layer.name] = values[skip:]
        wanted = range(first + skip, stop)
        writer.append(
            given,
            status=["corrupt" if row in failures else statuses[row] for row in wanted],
            reason=[failures.get(row, reasons[row]) for row in wanted],
        )
        images += len(rows)
        advance(len(wanted))
    return images


def _batch_size(given: int | str, device: torch.device) -> int:
    if given == "auto":
        return BATCH_SIZES[device.type]
    try:
        size = int(given)
    except ValueError:
        size = 0
    if size < 1:
        raise FeatxError(f"--batch-size {given}: give a whole number from 1, or auto")
    return size


def _check_images(table: pd.DataFrame, paths: Sequence[str], table_path: Path) -> None:
    usable = [path for path, status in zip(paths, table["status"], strict=True) if status == "ok"]
    if not usable:
        counts = table["status"].value_counts().to_dict()
        found = ", ".join(f"{n} {status}" for status, n in counts.items()) or "no rows"
        raise FeatxError(f"{table_path} has no row with status ok ({found}); nothing to extract")
    if not any(Path(path).is_file() for path in usable):
        raise FeatxError(
            f"none of the {len(usable)} images of {table_path} is there (the first: {usable[0]}); "
            "paths are taken from the table's folder"
        )


def _describe(request: LayerRequest, network: LoadedNetwork) -> Layer:
    classes: tuple[Any, ...] = ()
    if request.name == "softmax_gender":
        classes = GENDERS
    elif request.pool == "softmax":
        classes = network.classes or tuple(range(request.units))
    how = "none" if request.pool == "flat" else request.pool
    return Layer(request.name, request.units, request.shape, request.module, how, classes)

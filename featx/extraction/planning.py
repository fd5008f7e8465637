"""What an extraction will do, settled before the first image is read."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from featx import shards
from featx.cluster import available_cores
from featx.devices import BATCH_SIZES, resolve_device
from featx.errors import FeatxError, unknown
from featx.extraction.precision_choice import choose_precision
from featx.heads import GENDERS
from featx.inference.streams import count_streams
from featx.layers import LayerReader, LayerRequest, name_of, resolve
from featx.loading import Crops, packed
from featx.manifest import crop_paths, read_table, table_file
from featx.memory import give_back
from featx.precision import PRECISIONS
from featx.provenance import context, provenance
from featx.shards import Shard
from featx.store import Layer, schema
from featx.weights import LoadedNetwork, load_network

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Plan:
    """All that is settled before the first image is read.

    Attributes
    ----------
    table : pandas.DataFrame
        What the features file keeps of the image table, whole even if only a shard of it is to be
        extracted.
    paths : numpy.ndarray
        The image file of each row, as of `featx.loading.packed`.
    network : LoadedNetwork
        On the CPU.
    requests : list of LayerRequest
        With their shapes.
    layers : list of Layer
        As the features file describes them.
    device : torch.device
        Where the network will run.
    batch_size, workers, streams : int
        Rows at a time; processes that decode; batches in the network at a time.
    mirror : bool
        Whether features are averaged over each image and its mirror image.
    precision : str
        Of the network's arithmetic.
    provenance, context : dict
        What decides the features, and what else is worth knowing.
    shard : Shard or None
        The part of the table that is to be extracted; None for all of it.
    """

    table: pd.DataFrame
    paths: np.ndarray
    network: LoadedNetwork
    requests: list[LayerRequest]
    layers: list[Layer]
    device: torch.device
    batch_size: int
    workers: int
    streams: int
    mirror: bool
    precision: str
    provenance: dict[str, Any]
    context: dict[str, Any]
    shard: Shard | None = None

    @property
    def rows(self) -> range:
        """Rows of the table that will be rows of the file."""
        return range(self.shard.first, self.shard.stop) if self.shard else range(len(self.table))

    @property
    def usable(self) -> np.ndarray:
        """Rows of the whole table whose image is to be read: bool, shape (rows,)."""
        return (self.table["status"] == "ok").to_numpy()

    def describe(self) -> dict[str, Any]:
        """Return what will be done, as values that JSON can hold."""
        rows, network = self.rows, self.network
        return {
            "shard": str(self.shard) if self.shard else None,
            "rows": {
                "table": len(self.table),
                "first": rows.start + 1,
                "count": len(rows),
                "ok": int(self.usable[rows].sum()),
                "by_status": self.table["status"].iloc[list(rows)].value_counts().to_dict(),
            },
            "network": {
                "backbone": network.backbone.name,
                "weights": network.weights,
                "sha256": network.sha256,
            },
            "layers": [
                {
                    "name": layer.name,
                    "asked": name_of(request),
                    "units": layer.units,
                    "shape": list(layer.shape),
                    "module": layer.module,
                    "pool": layer.pool,
                }
                for layer, request in zip(self.layers, self.requests, strict=True)
            ],
            "device": str(self.device),
            "precision": self.precision,
            "batch_size": self.batch_size,
            "workers": self.workers,
        }

    def path(self, out: str | Path) -> Path:
        """Return the file to be written: `out`, or the shard's beside it."""
        return self.shard.path(out) if self.shard else Path(out)

    def provenance_as(self, dtype: str) -> dict[str, Any]:
        """Return the provenance of the file; a shard's tells of the whole that it is a part of."""
        if self.shard is None:
            return self.provenance
        plain = schema.plain(self.provenance)
        whole = self.shard.config_hash or self._config_hash(dtype)
        return {**plain, shards.ATTRIBUTE: replace(self.shard, config_hash=whole).describe()}

    def cut(self, count: int, dtype: str) -> list[Plan]:
        """Return the plans of as many shards, which together give the whole file.

        Raises
        ------
        FeatxError
            If the table has fewer rows.
        """
        whole = self._config_hash(dtype)
        return [
            replace(self, shard=replace(shard, config_hash=whole))
            for shard in shards.cut(len(self.table), count)
        ]

    def _config_hash(self, dtype: str) -> str:
        """Return the config hash of the whole file."""
        plain = schema.plain(self.provenance)
        return schema.config_hash(self.table, self.layers, plain, dtype)


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
    shard: str | None = None,
    jobs: int = 1,
) -> Plan:
    """Check the arguments, load the network and measure the layers.

    Parameters
    ----------
    table_path, backbone, weights, layers, device, precision, batch_size, workers, mirror, seed, \
    shard, jobs
        See `featx.extraction.extract`.

    Raises
    ------
    FeatxError
        As `featx.extraction.extract`, but for what only shows while images are read or rows are
        written.
    """
    if precision not in (*PRECISIONS, "auto"):
        raise unknown("precision", precision, [*PRECISIONS, "auto"])
    if precision == "auto" and shard:
        raise FeatxError(
            "--precision auto is decided by each machine, and shards must agree; give fp32 or bf16"
        )
    if workers is not None and workers < 0:
        raise FeatxError(f"--workers {workers}: give 0 or more")
    where = resolve_device(device)
    size = _batch_size(batch_size, where)
    path = table_file(table_path)
    table, paths = _read_images(path)
    give_back()  # of reading them
    part = shards.find(shard, len(table)) if shard else None
    network = load_network(backbone, weights, seed=seed)
    for note in network.notes:
        logger.warning("%s: %s", network.weights, note)
    seen = _seen(network, table)
    requests = resolve(layers, network.backbone, network.module, has_head=network.has_head)
    with torch.inference_mode():
        blank = torch.zeros(1, 3, *network.preprocessing.input_size)
        requests = LayerReader(network.module, requests).probe(blank)
    threads = torch.get_num_threads() if where.type == "cpu" else 1
    streams = count_streams(LayerReader(network.module, requests), blank, threads)
    if precision == "auto":
        usable = (table["status"] == "ok").to_numpy()
        crops = Crops(paths, usable, network.preprocessing)
        precision = choose_precision(network, requests, where, crops, size)
    described = [_describe(request, network) for request in requests]
    return Plan(
        table=table,
        paths=paths,
        network=network,
        requests=requests,
        layers=described,
        device=where,
        batch_size=size,
        workers=_decoders(jobs, where) if workers is None else workers,
        streams=streams,
        mirror=mirror,
        precision=precision,
        provenance=provenance(path, network, requests, mirror, precision, seen),
        context=context(path, where, size, seed),
        shard=part,
    )


def _seen(network: LoadedNetwork, table: pd.DataFrame) -> str:
    """Return, and warn, which of the images to be looked at a fine-tuned network has been shown."""
    usable = table[table["status"] == "ok"]
    seen = network.trained_on.overlap(usable) if network.trained_on else ""
    if seen:
        logger.warning(
            "%s: this network was trained on %s; methods on its features will err less on them "
            "than on others (`featx finetune --protocol` trains one a fold, without its people)",
            *(network.weights, seen),
        )
    return seen


def _decoders(jobs: int, device: torch.device) -> int:
    """Return how many processes decode: of a job's share of the cores all but the network's.

    One decodes some 700 images a second; GPUs take thousands, processors less than 8 can give.
    """
    return min(8 if device.type == "cpu" else 16, max(1, available_cores() // jobs - 1))


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


def _read_images(path: Path) -> tuple[pd.DataFrame, np.ndarray]:
    """Return what is needed of an image table, and the image file of each row."""
    table = read_table(path)
    paths = crop_paths(table, path.parent)
    _check_images(table, paths, path)
    return table[list(schema.IMAGE_COLUMNS)], packed(paths)


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

"""Whether an extraction will fit, and what it will take, from a probe of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from featx.extraction.probing import Probe
from featx.memory import free_memory
from featx.shortage import Shortage, free_disk
from featx.store.writing.sizing import FileSize


@dataclass(frozen=True)
class Estimate:
    """What an extraction will take.

    Attributes
    ----------
    probe : Probe
        What was measured.
    dtype : str
        As stored.
    parts : int
        Shards that are made and then merged; 1 for none.
    here : int
        Processes at a time on this machine; 0 where others do the work.
    devices : int
        Different GPUs among which these are spread; 1 on a CPU, whose cores they share.
    free_disk, free_memory : int
        Bytes.
    """

    probe: Probe
    dtype: str
    parts: int
    here: int
    devices: int
    free_disk: int
    free_memory: int

    @classmethod
    def of(
        cls,
        probe: Probe,
        out: Path,
        *,
        dtype: str,
        parts: int = 1,
        elsewhere: bool = False,
        devices: int = 1,
    ) -> Estimate:
        """Return the estimate for this machine as it is now.

        Parameters
        ----------
        probe : Probe
            What was measured.
        out : Path
            The features file.
        dtype, parts, devices
            As of the class.
        elsewhere : bool
            Whether other machines do the work.
        """
        return cls(
            probe,
            dtype,
            parts,
            0 if elsewhere else parts,
            devices,
            free_disk(out.parent),
            free_memory(),
        )

    # ------------------------------------------------------------------ bytes

    def disk(self, size: FileSize | None = None) -> int:
        """Return the bytes of the disk at the peak, of a file of this size or as it is asked for.

        Shards stay until the whole file is made of them; each shard is made of its journal.
        """
        size = size or self.probe.size
        return size.peak if self.parts == 1 else max(size.peak, 2 * size.total)

    @property
    def memory(self) -> int:
        """Bytes of memory at the peak, of all processes on this machine."""
        return max(1, self.here) * (self.probe.process + self.probe.decoders)

    # ------------------------------------------------------------------ time

    @property
    def seconds(self) -> tuple[float, float, float]:
        """The likely time, the shortest and the longest."""
        rows, probe = self.probe.told["rows"], self.probe
        at_a_time = self.parts if not self.here else self.devices
        making = probe.row * rows["count"] * (2 if self.parts > 1 else 1)
        likely, least, most = (
            probe.start + making + rows["ok"] * each / at_a_time for each in probe.image
        )
        return likely, least, most

    # ------------------------------------------------------------------ what does not fit

    @property
    def shortages(self) -> list[Shortage]:
        """What does not suffice, with what would make it fit."""
        found = []
        if self.disk() > self.free_disk:
            found.append(Shortage.of("disk", self.disk(), self.free_disk, self._smaller_files()))
        if self.here and self.memory > self.free_memory:
            found.append(Shortage.of("memory", self.memory, self.free_memory, self._less_memory()))
        return found

    def _smaller_files(self) -> Iterator[tuple[str, int]]:
        for option, size in self.probe.others.items():
            yield option, self.disk(size)
        layers = self.probe.told["layers"]
        asked = {layer["asked"] for layer in layers}
        for option, size in {"": self.probe.size, **self.probe.others}.items():
            also = f" and {option}" if option else ""
            for layer in sorted(layers, key=lambda each: -size.layers[each["name"]]):
                share = round(100 * size.layers[layer["name"]] / size.total)
                of = f"--layer {layer['asked']}, which is {share} % of the file"
                pooled = _pooled(layer)
                if pooled and pooled not in asked:
                    less = self._with_pooled(size, layer, "float16" in option)
                    yield f"--layer {pooled} in place of {of}{also}", self.disk(less)
                if len(layers) > 1 and share:
                    less = _without(size, layer["name"])
                    yield f"no {of}{also}", self.disk(less)

    def _with_pooled(self, size: FileSize, layer: dict[str, Any], half: bool) -> FileSize:
        """Return the size with a number a map, which compress little, in place of a layer."""
        item = 2 if half else np.dtype(self.dtype).itemsize
        least = self.probe.told["rows"]["count"] * layer["shape"][0] * item
        name, less = layer["name"], _without(size, layer["name"])
        return replace(
            less,
            layers=less.layers | {name: min(least, size.layers[name])},
            journal_layers=less.journal_layers | {name: min(least, size.journal_layers[name])},
        )

    def _less_memory(self) -> Iterator[tuple[str, int]]:
        each, batch = self.probe.process + self.probe.decoders, self.probe.told["batch_size"]
        if self.here > 1:
            fewer = max(1, min(self.here - 1, self.free_memory // each))
            yield f"--jobs {fewer}", fewer * each
        if self.probe.decoders:
            yield "--workers 0", self.here * self.probe.process
        if batch > 1:
            image = max(0, self.probe.process - self.probe.of_one) / (batch - 1)
            size = 1 << (batch.bit_length() - 1)
            size = size if size < batch else size // 2
            while size > 1 and self.here * (each - image * (batch - size)) > self.free_memory:
                size //= 2
            yield f"--batch-size {size}", round(self.here * (each - image * (batch - size)))

    # ------------------------------------------------------------------ in words

    def describe(self) -> dict[str, Any]:
        """Return all of it, as values that JSON can hold: bytes and seconds."""
        probe, size = self.probe, self.probe.size
        likely, least, most = self.seconds
        rows, item = probe.told["rows"]["count"], np.dtype(self.dtype).itemsize
        layers = [
            {
                **layer,
                "dtype": self.dtype,
                "bytes": rows * layer["units"] * item,
                "stored_bytes": size.layers[layer["name"]],
            }
            for layer in probe.told["layers"]
        ]
        return {
            **probe.told,
            "layers": layers,
            "processes": self.parts,
            "disk": {
                "file_bytes": size.total,
                "structure_bytes": size.structure,
                "peak_bytes": self.disk(),
                "free_bytes": self.free_disk,
            },
            "memory": {
                "process_bytes": probe.process,
                "decoders_bytes": probe.decoders,
                "peak_bytes": self.memory,
                "free_bytes": self.free_memory,
            },
            "device_memory": {f"{name}_bytes": count for name, count in probe.device.items()},
            "seconds": {
                "likely": likely,
                "least": least,
                "most": most,
                "start": probe.start,
                "an_image": probe.image[0],
            },
            "probe": {"images": probe.images, "batches": probe.batches},
            "fits": not self.shortages,
            "shortages": [each.describe() for each in self.shortages],
        }


def _pooled(layer: dict[str, Any]) -> str | None:
    """Return the layer that has a number a map where this one has all; None where none has."""
    if len(layer["shape"]) < 3:
        return None
    return "gap" if layer["name"] == "flattened" else f"{layer['module']}:avg"


def _without(size: FileSize, name: str) -> FileSize:
    def rest(layers: dict[str, int]) -> dict[str, int]:
        return {other: count for other, count in layers.items() if other != name}

    return replace(size, layers=rest(size.layers), journal_layers=rest(size.journal_layers))

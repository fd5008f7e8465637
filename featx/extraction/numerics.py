"""The numerical contract: by how much features may differ from one machine or setting to another.

Decoding processes, shards and resumed runs change no bit on one machine. Batch size, threads and
device change the order of sums, and a lower precision rounds more: `featx.precision.TOLERANCES`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from featx import extraction
from featx.datasets.generate.drawing import draw_face, random_pose
from featx.devices import resolve_device
from featx.file_hash import file_sha256
from featx.manifest import new_table, write_table
from featx.precision import PRECISIONS, TOLERANCES, relative_difference
from featx.store import FeaturesFile
from featx.store.tools import merging, shard_set

_BATCH = 4
_IMAGES = 3 * _BATCH

Features = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Difference:
    """What changing one thing changed.

    Attributes
    ----------
    what : str
        The thing, in words.
    found : dict of str to float
        Each layer's greatest relative difference.
    allowed : float
        What it may be; 0 where no bit may differ.
    """

    what: str
    found: dict[str, float]
    allowed: float

    @property
    def ok(self) -> bool:
        """Whether every layer keeps within what is allowed; NaN does not."""
        return all(value <= self.allowed for value in self.found.values())


def check(folder: Path, device: str, **options: Any) -> Iterator[Difference]:
    """Extract features of made-up faces in several ways, and yield how each differs from the first.

    Parameters
    ----------
    folder : Path
        For faces and features files, empty.
    device : str
        As of `featx.extraction.extract`.
    **options
        Of `featx.extraction.extract`: backbone, weights and layers.

    Raises
    ------
    FeatxError
        As `featx.extraction.extract`.
    """
    table = _faces(folder)
    number = 0

    settings = {"batch_size": _BATCH, "workers": 0, "device": device, **options}

    def features(**changes: Any) -> Features:
        nonlocal number
        number += 1
        return _read(extraction.extract(table, folder / f"{number}.h5", **settings | changes).path)

    first = features()

    def differs(what: str, found: Features, allowed: float = 0.0) -> Difference:
        pairs = {name: relative_difference(found[name], wanted) for name, wanted in first.items()}
        return Difference(what, pairs, allowed)

    yield differs("the same again", features())
    yield differs("2 decoding processes", features(workers=2))
    yield differs("2 shards, merged", _sharded(table, folder, settings))
    settled = extraction.plan(table, **settings)
    yield differs("stopped and resumed", _resumed(settled, folder / "resumed.h5", first))
    near = TOLERANCES["fp32"]
    yield differs("batches of 1", features(batch_size=1), near)
    yield differs(f"batches of {_IMAGES}", features(batch_size=_IMAGES), near)
    where = resolve_device(device)
    if where.type == "cpu":
        yield differs("1 thread", _in_one_thread(features), near)
    else:
        yield differs("on the CPU", features(device="cpu"), near)
        for index in range(torch.cuda.device_count()):
            if index != where.index:
                yield differs(f"on cuda:{index}", features(device=f"cuda:{index}"), near)
    for precision in PRECISIONS:
        if precision != "fp32":
            yield differs(precision, features(precision=precision), TOLERANCES[precision])


def _faces(folder: Path) -> Path:
    """Draw faces, and return their image table."""
    rng = np.random.default_rng(0)
    rows = []
    for number in range(_IMAGES):
        name = f"{number}.png"
        face = draw_face(5 * number, rng, pose=random_pose(rng), rng=rng, size=(250, 250))
        face.save(folder / name)
        rows.append({"image": str(number), "path": name, "sha256": file_sha256(folder / name)})
    made = pd.DataFrame(rows).assign(subject=[row["image"] for row in rows], status="ok")
    write_table(new_table(made), folder / "images.csv")
    return folder / "images.csv"


def _sharded(table: Path, folder: Path, settings: Mapping[str, Any]) -> Features:
    out = folder / "merged.h5"
    parts = [extraction.extract(table, out, shard=f"{k}/2", **settings).path for k in (1, 2)]
    merging.merge(shard_set.read_shards(parts), out)
    return _read(out)


def _resumed(settled: extraction.Plan, out: Path, first: Features) -> Features:
    """Return the features of a run of which some rows, but no whole batches, were there."""
    done = _BATCH + 1
    with extraction.open_writer(settled, out, dtype="float32") as writer:
        rows = {name: values[:done] for name, values in first.items()}
        writer.append(rows)
    extraction.run(settled, out, resume=True)
    return _read(out)


def _in_one_thread(features: Callable[[], Features]) -> Features:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return features()
    finally:
        torch.set_num_threads(threads)


def _read(path: Path) -> Features:
    with FeaturesFile(path) as file:
        return {name: file.read(name) for name in file.layers}

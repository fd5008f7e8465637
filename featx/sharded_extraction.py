"""One features file by several processes of this machine, each with a shard and a device."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from featx import cluster, extraction, shards
from featx.devices import spread_devices
from featx.errors import FeatxError
from featx.extraction import Extraction
from featx.shards import Shard
from featx.store import FeaturesFile
from featx.store.merging import merge
from featx.store.shard_set import read_shards

#: Of `featx.extraction.extract`'s options those that `featx.extraction.plan` does not take.
_WRITING = ("dtype", "compression", "max_pixels")


def share(rows: int, jobs: int, device: str) -> list[tuple[Shard, str]]:
    """Return the shards of a table of some rows, one a job, and the device that each is given.

    Parameters
    ----------
    rows, jobs : int
        Of the table; processes.
    device : str
        ``auto`` and ``cuda`` mean every GPU, in turn.

    Raises
    ------
    FeatxError
        If there are fewer rows than jobs, or no such device.
    """
    devices = spread_devices(device)
    return [
        (shard, devices[number % len(devices)])
        for number, shard in enumerate(shards.cut(rows, jobs))
    ]


def extract_side_by_side(
    table_path: str | Path,
    out: str | Path,
    *,
    jobs: int,
    device: str = "auto",
    resume: bool = False,
    progress: bool = False,
    **options: Any,
) -> Extraction:
    """Extract as `featx.extraction.extract` does, by several processes, each with its own shard.

    The shards are files beside `out`, which are merged into it and removed. The features are those
    of one process with as many threads, bit by bit where all devices are of one kind.

    Parameters
    ----------
    table_path, out, resume, **options
        As of `featx.extraction.extract`.
    jobs : int
        Processes, and shards.
    device : str
        ``auto`` (default) and ``cuda`` spread the shards over all GPUs.
    progress : bool
        Show how far each shard has come, by lines on standard error.

    Raises
    ------
    FeatxError
        As `featx.extraction.extract` and `featx.store.merging.merge`; if an extraction by another
        number of jobs did not finish; if a process is killed.
    """
    out = Path(out)
    planned = {name: value for name, value in options.items() if name not in _WRITING}
    written = {name: value for name, value in options.items() if name in _WRITING}
    # here too, or each process would find the same error and download the same weights
    settled = extraction.plan(table_path, device=device, **planned)
    shares = share(len(settled.table), jobs, device)
    files = [shard.path(out) for shard, _ in shares]
    if out.exists():
        done = extraction.run(settled, out, resume=resume, **written)  # checks it, or refuses
        _remove_merged(files, out)
        return done
    del settled
    _check_unfinished(out, jobs)
    options |= {"jobs": jobs, "resume": resume, "progress": "lines" if progress else False}
    tasks = [
        (table_path, out, {**options, "shard": str(shard), "device": its_own})
        for shard, its_own in shares
    ]
    start = time.monotonic()
    images = sum(cluster.run(_extract, tasks, jobs))
    seconds = time.monotonic() - start
    joined = read_shards(files)
    merge(joined, out)
    _remove_merged(files, out)
    return Extraction(out, joined.layers, joined.statuses, images, seconds)


def _extract(table_path: str | Path, out: Path, options: dict[str, Any]) -> int:
    return extraction.extract(table_path, out, **options).images


def _check_unfinished(out: Path, jobs: int) -> None:
    """Refuse to begin anew where another cut, or none, has come some way."""
    partial = out.with_name(f"{out.name}.partial")
    if partial.exists():
        raise FeatxError(
            f"{partial} is there, from an extraction without --jobs that did not finish; go on "
            "with it without --jobs, or remove it"
        )
    for path, count in shards.others(out, jobs):
        raise FeatxError(
            f"{path} is there, one of {count} shards, not of {jobs}; go on with --jobs {count} "
            "--resume, or remove it"
        )


def _remove_merged(files: Iterable[Path], out: Path) -> None:
    """Remove the shards that say that they are a part of the whole file."""
    with FeaturesFile(out) as whole:
        wanted = whole.config_hash
    for path in filter(Path.exists, files):
        with FeaturesFile(path) as file:
            merged = file.shard is not None and file.shard.config_hash == wanted
        if merged:
            path.unlink()

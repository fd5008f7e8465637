"""One features file by several processes of this machine, each with a shard and a device."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from featx import cluster, extraction, shards
from featx.devices import spread_devices
from featx.errors import FeatxError
from featx.extraction import Extraction, Plan
from featx.shards import Shard
from featx.store.tools.merging import merge, remove_merged
from featx.store.tools.shard_set import read_shards

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
        As `featx.extraction.extract` and `featx.store.tools.merging.merge`; if an extraction by
        another number of jobs did not finish; if a process is killed.
    """
    out = Path(out)
    planned = {name: value for name, value in options.items() if name not in _WRITING}
    written = {name: value for name, value in options.items() if name in _WRITING}
    # here too, or each process would find the same error and download the same weights
    settled = extraction.plan(table_path, device=device, **planned)
    shares = share(len(settled.table), jobs, device)
    files = [shard.path(out) for shard, _ in shares]
    if out.exists():
        return keep(settled, out, files, resume=resume, **written)
    del settled
    check_unfinished(out, jobs)
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
    remove_merged(files, out)
    return Extraction(out, joined.layers, joined.statuses, images, seconds)


def _extract(table_path: str | Path, out: Path, options: dict[str, Any]) -> int:
    return extraction.extract(table_path, out, **options).images


def keep(
    settled: Plan, out: Path, files: Iterable[Path], *, resume: bool, **written: Any
) -> Extraction:
    """Check the whole file that is there, and remove the shards that it was merged from.

    Parameters
    ----------
    settled, out, resume, **written
        As of `featx.extraction.run`.
    files : iterable of Path
        The shards, whether they are there or not.

    Raises
    ------
    FeatxError
        Without `resume`, and if it is another extraction's or damaged.
    """
    done = extraction.run(settled, out, resume=resume, **written)
    remove_merged(files, out)
    return done


def check_unfinished(out: Path, count: int) -> None:
    """Refuse to begin anew where another cut, or none, has come some way.

    Parameters
    ----------
    out : Path
        The whole file.
    count : int
        Shards that are wanted.

    Raises
    ------
    FeatxError
        It names the file that is in the way.
    """
    partial = out.with_name(f"{out.name}.partial")
    if partial.exists():
        raise FeatxError(
            f"{partial} is there, from an extraction without --jobs or --cluster that did not "
            "finish; go on with it without them, or remove it"
        )
    for path, other in shards.others(out, count):
        raise FeatxError(
            f"{path} is there, one of {other} shards, not of {count}; go on with as many "
            f"(--jobs {other}, or --cluster slurm --shards {other}) and --resume, or remove it"
        )

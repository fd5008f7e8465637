"""From images to face crops and the image table that points at them."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import math
import os
import platform
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import joblib
import pandas as pd
from joblib.externals.loky.process_executor import TerminatedWorkerError

import featx
from featx.archives import open_binary
from featx.atomic import remove_leftovers, write_json
from featx.cluster.local import end_with
from featx.crop_journal import CropJournal
from featx.duplicates import conflicting, mark_duplicates
from featx.errors import FeatxError
from featx.faces._registry import detector_entry
from featx.faces.cropper import CropSettings, crop_file
from featx.manifest import STATUSES, read_table, write_table
from featx.plugins import plugin_versions

__all__ = ["CropSettings", "count", "prepare"]

_LIBRARIES = ("featx", "pillow", "numpy")


def prepare(
    table: pd.DataFrame,
    out: str | Path,
    settings: CropSettings | None = None,
    *,
    device: str = "auto",
    jobs: int | None = None,
    resume: bool = False,
    provenance: dict[str, Any] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> pd.DataFrame:
    """Find the face in each image, crop it, and write the image table.

    Parameters
    ----------
    table : pandas.DataFrame
        An image table with paths and labels, from `featx.datasets.read_dataset`.
    out : str or Path
        The folder to write: ``images.csv``, ``prepare.json`` (provenance and counts), ``crops/``.
    settings : CropSettings, optional
        How to crop.
    device : str
        ``"auto"`` (CUDA where there is one and the detector can use it), ``"cpu"``, ``"cuda"``,
        ``"cuda:N"``.
    jobs : int, optional
        Parallel processes; the result does not depend on it. By default one a core, fewer for few
        images, at most 4 on a GPU.
    resume : bool
        Go on in a folder that was begun or finished with the same settings; only what is missing
        is done.
    provenance : dict, optional
        Added to ``prepare.json``.
    progress : callable, optional
        Called with how many images are done and how many there are to do, at first with what was
        done before.

    Returns
    -------
    pandas.DataFrame
        The table as written: every row of the input in its order, `crop` relative to `out`.

    Raises
    ------
    FeatxError
        If the folder is not empty (and not `resume`), in use, or made with other settings; if none
        of the images is there, the device is not or the detector cannot use it, or nothing can be
        written.
    """
    settings = settings or CropSettings()
    out = Path(out)
    table = table.reset_index(drop=True).copy()
    journal = CropJournal(out, settings.describe(), resume=resume)
    _hash_sources(table)
    first = table[(table["status"] == "ok") & ~_repeated(table)]
    crops = pd.Series(crop_names(table["image"]), index=table.index)

    records = {
        row: journal.get(str(table.at[row, "sha256"]), crops[row]) or {} for row in first.index
    }
    missing = [row for row, record in records.items() if not record]
    done = len(first) - len(missing)
    if progress:
        progress(done, len(first))
    device = _device(device, settings.detector)
    tasks = [(row, str(table.at[row, "path"]), str(out / crops[row])) for row in missing]
    with journal:
        for row, record in _crop_all(tasks, settings, device, _jobs(jobs, len(tasks), device)):
            records[row] = record
            journal.append(str(table.at[row, "sha256"]), crops[row], record)
            done += 1
            if progress:
                progress(done, len(first))
        for row, record in records.items():
            for column, value in record.items():
                table.at[row, column] = value
            if record["status"] == "ok":
                table.at[row, "crop"] = crops[row]
        mark_duplicates(table)
        write_table(table, out / "images.csv")
        write_json(
            out / "prepare.json",
            {
                **(provenance or {}),
                "settings": settings.describe(),
                "device": device if missing else journal.former.get("device", device),
                "versions": _versions(settings.detector),
                **count(table),
                "conflicting_duplicates": conflicting(table),
            },
        )
    remove_leftovers(out / "crops")  # of a former run that was killed
    return read_table(out)


def count(table: pd.DataFrame) -> dict[str, Any]:
    """Count an image table's rows.

    Returns
    -------
    dict
        ``n_total``; ``n_ok``; ``status``, a count for each; ``reasons``, for each status a count
        for each kind of reason (what stands before its colon), where rows have any.
    """
    reasons: dict[str, Counter[str]] = {}
    for status, reason in zip(table["status"], table["reason"], strict=True):
        if status != "ok" or reason:
            reasons.setdefault(status, Counter())[reason.split(":")[0] or "no reason given"] += 1
    statuses = Counter(table["status"])
    return {
        "n_total": len(table),
        "n_ok": statuses["ok"],
        "status": {status: statuses[status] for status in STATUSES},
        "reasons": {status: dict(kinds.most_common()) for status, kinds in sorted(reasons.items())},
    }


def crop_names(images: pd.Series) -> list[str]:
    """Return a file name for each image id, relative to the output folder.

    Ids may hold anything; what a file system might not bear becomes ``_``, and then, as where two
    names differ in case only, a digest of the id keeps the names apart.
    """
    safe = [
        re.sub(r"[^A-Za-z0-9._-]", "_", unicodedata.normalize("NFKD", image)).lstrip(".-")[:80]
        for image in images
    ]
    taken = Counter(name.lower() for name in safe)
    names = []
    for image, name in zip(images, safe, strict=True):
        if name != image or taken[name.lower()] > 1:
            name += "-" + hashlib.sha256(image.encode("utf-8", "surrogatepass")).hexdigest()[:12]
        names.append(f"crops/{name}.png")
    return names


def _hash_sources(table: pd.DataFrame) -> None:
    """Fill `sha256`; what cannot be read becomes ``corrupt``, unless its row had a fate already."""

    def digest(path: str) -> tuple[str, str]:
        try:
            with open_binary(path) as stream:
                return hashlib.file_digest(stream, "sha256").hexdigest(), ""  # type: ignore[arg-type]
        except FileNotFoundError:
            return "", "not there"
        except (OSError, ValueError) as error:
            return "", f"cannot be read: {getattr(error, 'strerror', None) or error}"

    with ThreadPoolExecutor() as pool:
        found = list(pool.map(digest, table["path"]))
    table["sha256"] = [sha256 for sha256, _ in found]
    if len(table) and all(reason == "not there" for _, reason in found):
        raise FeatxError(
            f"none of the {len(table)} images is there, the first of them {table['path'].iloc[0]}"
        )
    for row, (_, reason) in enumerate(found):
        if reason and table.at[row, "status"] == "ok":
            table.loc[row, ["status", "reason"]] = ["corrupt", reason]


def _repeated(table: pd.DataFrame) -> pd.Series:
    """Tell which rows have the bytes of an earlier row that is to be cropped."""
    ok = table["status"] == "ok"
    return table["sha256"].where(ok, table.index.astype(str)).duplicated()


def _crop_all(
    tasks: list[tuple[int, str, str]], settings: CropSettings, device: str, jobs: int
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield row and record of each task as it is done, in any order."""
    if not tasks:
        return
    if jobs == 1:
        with _one_thread(settings, device):
            yield from (_crop_task(task, settings, device) for task in tasks)
        return
    # One thread in each process, here as above: the number of threads can change the last bits.
    with joblib.parallel_config(backend="loky", n_jobs=jobs, inner_max_num_threads=1):
        parallel = joblib.Parallel(
            return_as="generator_unordered",
            batch_size=1,
            initializer=end_with,
            initargs=(os.getpid(),),
        )
    try:
        yield from parallel(joblib.delayed(_crop_task)(task, settings, device) for task in tasks)
    except TerminatedWorkerError as error:
        raise FeatxError(
            "a worker process was killed, most likely for memory; use fewer --jobs and --resume"
        ) from error


def _crop_task(
    task: tuple[int, str, str], settings: CropSettings, device: str
) -> tuple[int, dict[str, Any]]:
    row, source, target = task
    return row, crop_file(source, target, settings, device)


@contextlib.contextmanager
def _one_thread(settings: CropSettings, device: str) -> Iterator[None]:
    if not _on_torch(settings.detector) or device != "cpu":
        yield
        return
    import torch

    former = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(former)


def _jobs(jobs: int | None, tasks: int, device: str) -> int:
    if jobs is None:
        cores = joblib.cpu_count() if device == "cpu" else min(4, joblib.cpu_count())
        jobs = min(
            cores, math.ceil(tasks / 8)
        )  # loading a detector costs as much as several images
    elif jobs < 1:
        raise FeatxError(f"--jobs {jobs} is no number of processes; use 1 or more")
    return max(1, min(jobs, tasks))


def _on_torch(detector: str) -> bool:
    return detector != "none" and detector_entry(detector).torch


def _device(device: str, detector: str) -> str:
    if device == "cpu" or detector == "none":
        return "cpu"
    if not re.fullmatch(r"auto|cuda(:\d+)?", device):
        raise FeatxError(f"unknown device {device!r}: use auto, cpu, cuda or cuda:N")
    if not _on_torch(detector):
        if device != "auto":
            raise FeatxError(
                f"--device {device}: detector {detector} runs on the CPU; use --device cpu"
            )
        return "cpu"
    try:
        import torch
    except ImportError as error:
        raise FeatxError(
            f"face detection needs torch ({error}): pip install 'featx[extract]'"
        ) from error
    devices = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device == "auto":
        return "cuda:0" if devices else "cpu"
    number = int(device.partition(":")[2] or 0)
    if number >= devices:
        raise FeatxError(f"--device {device}: this machine shows {devices} GPUs; use --device cpu")
    return f"cuda:{number}"


def _versions(detector: str) -> dict[str, str]:
    versions = {"python": platform.python_version()}
    of_detector = detector_entry(detector).libraries if detector != "none" else ()
    for name in (*_LIBRARIES, *of_detector):
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:  # or another package brings the module
            unknown = "not installed by this name"
            versions[name] = featx.__version__ if name == "featx" else unknown
    return versions | plugin_versions()

"""Run one job of the worker in the auto-sklearn environment and take back its files."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from featx.atomic import is_abandoned, owner
from featx.errors import FeatxError
from regress.regressors.auto_sklearn.watchdog import DEADLINE_PASSED, remove

_HERE = Path(__file__).parent
_THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
_PREFIX = "featx-"
#: A Unix socket's path may have 107 bytes, and of these a job's folder takes 32 at most and
#: multiprocessing 32 below its ``/t``.
_LONGEST_TEMPORARY = 107 - 32 - len("/t") - 32


@contextlib.contextmanager
def job_folder() -> Iterator[Path]:
    """Yield a new empty folder for one job, removed with all its content afterwards.

    It lies where temporary files do, in TMPDIR; where there is no such folder in SLURM_TMPDIR, for
    that is the node's own disk. What killed processes of this machine left there is removed first.
    """
    parent = _temporary()
    _remove_leftovers(parent)
    folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{owner()}.", dir=parent))
    try:
        yield folder
    finally:
        remove(str(folder))


def _temporary() -> Path:
    parent = Path(tempfile.gettempdir())
    scratch = os.environ.get("SLURM_TMPDIR")
    told = os.environ.get("TMPDIR")
    if scratch and not (told and Path(told).is_dir()) and Path(scratch).is_dir():
        parent = Path(scratch)
    too_long = len(os.fsencode(parent)) > _LONGEST_TEMPORARY
    short = Path("/tmp")  # mkdtemp makes a folder in it  # nosec B108
    return short if too_long and short.is_dir() else parent


def _remove_leftovers(parent: Path) -> None:
    """Remove the folders of jobs whose processes are no more.

    The watchdog does it after a killed owner, unless it was killed too, as everything is that
    belongs to a Slurm job.
    """
    for folder in parent.glob(f"{_PREFIX}*-*.*"):
        found = re.fullmatch(rf"{_PREFIX}([0-9a-f]{{8}}-\d+)\.\w+", folder.name)
        if found and is_abandoned(found[1]):
            with contextlib.suppress(OSError):
                if folder.stat().st_uid == os.getuid():
                    remove(str(folder))


def write_job(folder: Path, job: dict[str, Any], **arrays: np.ndarray | None) -> None:
    """Write ``job.json`` and ``data.h5``; arrays that are None are left out."""
    try:
        (folder / "job.json").write_text(json.dumps(job), encoding="utf-8")
        with h5py.File(folder / "data.h5", "w") as store:
            for name, array in arrays.items():
                if array is not None:
                    store[name] = array
    except OSError as error:
        raise FeatxError(
            f"cannot write the auto-sklearn job to {folder}: {error.strerror or error}; "
            "free space there or point TMPDIR elsewhere"
        ) from error


def run_job(python: Path, folder: Path, seconds: float) -> dict[str, Any]:
    """Run the worker on a job folder and return its ``result.json``.

    Nothing that the worker starts outlives this call, however it ends: `watchdog` kills its
    process group, even after a SIGKILL of this process.

    Parameters
    ----------
    python : Path
        The interpreter of the auto-sklearn environment.
    folder : Path
        As `write_job` filled it.
    seconds : float
        The hard limit, after which everything is killed.

    Raises
    ------
    FeatxError
        If the worker was killed at the limit, crashed, or left no valid result.
    """
    temporary = folder / "t"
    temporary.mkdir(exist_ok=True)
    environment = {name: v for name, v in os.environ.items() if not name.startswith("PYTHON")}
    environment.update(dict.fromkeys(_THREADS, "1"))
    # dask writes its configuration into the home folder unless told otherwise.
    environment.update(TMPDIR=str(temporary), DASK_CONFIG=str(temporary / "dask"))
    command = [sys.executable, "-I", "-S", str(_HERE / "watchdog.py")]
    command += [str(os.getpid()), repr(float(seconds)), str(folder)]
    command += [str(python), "-I", str(_HERE / "worker.py"), str(folder)]
    with (folder / "worker.log").open("ab") as log:
        watchdog = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
            cwd=folder,
            start_new_session=True,  # a Ctrl-C at the terminal is ours to pass on
        )
        try:
            status = watchdog.wait()
        finally:
            _stop(watchdog)
    if status == DEADLINE_PASSED:
        raise FeatxError(
            f"auto-sklearn was still running after {seconds:.0f} s and was stopped: it overran "
            "its time budget; raise the time budget, or lower the time limit of a run"
        )
    return _read_result(folder, status)


def _stop(watchdog: subprocess.Popen[bytes]) -> None:
    if watchdog.poll() is None:
        watchdog.terminate()
        try:
            watchdog.wait(timeout=15)
        except subprocess.TimeoutExpired:
            watchdog.kill()
            watchdog.wait()


def _read_result(folder: Path, status: int) -> dict[str, Any]:
    path = folder / "result.json"
    if not path.is_file():
        how = f"killed by signal {status - 128}" if status > 128 else f"exit status {status}"
        hint = "; memory may have run out: lower n_jobs or --jobs" if status == 128 + 9 else ""
        raise FeatxError(f"auto-sklearn left no result ({how}){hint}{_last_words(folder)}")
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise FeatxError(f"auto-sklearn's result.json is not valid: {error}") from None
    if not isinstance(result, dict) or "status" not in result:
        raise FeatxError("auto-sklearn's result.json has no status")
    return result


def _last_words(folder: Path) -> str:
    with contextlib.suppress(OSError):
        text = (folder / "worker.log").read_text(encoding="utf-8", errors="replace").strip()
        if text:
            return f"; its last words: {text.splitlines()[-1][:300]}"
    return ""

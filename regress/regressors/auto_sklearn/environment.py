"""The Python 3.9 environment that auto-sklearn 0.15 needs: find it, build it, describe it."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from featx.errors import FeatxError
from regress.regressors.auto_sklearn import uv_settings

REQUIREMENTS = Path(__file__).with_name("requirements.txt")
VERSION = "0.15.0"
VARIABLE = "FEATX_AUTOSKLEARN_ENV"
#: Set to ``never`` for the tasks of an array, which would all build at a time.
BUILD_VARIABLE = "FEATX_AUTOSKLEARN_BUILD"
_MARKER = "featx-complete.json"  # written last
_BUILDING = "featx-building"  # written first: what lies beside it is ours to remove
_PROBE = (
    "import json, platform, autosklearn, autosklearn.regression, h5py;"
    "print(json.dumps([platform.python_version(), autosklearn.__version__]))"
)
#: Folders of the users' own that this process has tried; a try is an import of some seconds.
_WORKING: set[Path] = set()
_UV_FRAME = " \u00d7\u2502\u2570\u251c\u2500\u25b6"  # what uv draws beside its messages
_ADVICE = (
    "put a python3.9 on PATH, or run `uv python install 3.9` where there is a network, or set "
    f"{VARIABLE} to the folder of an environment with auto-sklearn {VERSION} and h5py (on Python "
    "3.10 and 3.11 it can be compiled: 7 to 12 minutes, with setuptools<60 and cython<3)"
)


def location(folder: str | Path | None = None) -> Path:
    """Return the environment's folder, there or not.

    `folder` if given, else the variable FEATX_AUTOSKLEARN_ENV, else a folder in the user's cache
    whose name changes with the pins.
    """
    chosen = folder or os.environ.get(VARIABLE)
    if chosen:
        return Path(chosen).expanduser().absolute()
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "featx" / f"auto-sklearn-{VERSION}-{_pins()[:8]}"


def find(folder: str | Path | None = None) -> Path | None:
    """Return the environment's interpreter, or None where it is not complete."""
    place = location(folder)
    return _python(place) if _marker(place) else None


def ensure(folder: str | Path | None = None, progress: Callable[[str], object] = print) -> Path:
    """Return the environment's interpreter; build the environment first if need be.

    Processes that ask at the same time wait for the one that builds. An environment left half
    built is built again. A folder that the user made is used as it is, never changed. Where the
    variable FEATX_AUTOSKLEARN_BUILD is ``never`` nothing is built or waited for.

    Parameters
    ----------
    folder : str, Path or None
        As for `location`.
    progress : callable
        Called with a line of text before something that takes long.

    Raises
    ------
    FeatxError
        If there is no Python 3.9 and none can be downloaded, packages cannot be installed, the
        user's own folder holds no working auto-sklearn, or it would have to be built and may not.
    """
    place = location(folder)
    if _marker(place):
        return _python(place)
    if not _may_build():
        if _is_foreign(place):
            return _foreign_python(place)
        raise FeatxError(
            f"auto-sklearn's environment {place} is {_missing(place)}, and {BUILD_VARIABLE}=never "
            "forbids to build it here: run `featx doctor --install auto-sklearn` without it, on a "
            "machine that shares this folder"
        )
    with _locked(place, progress) as lock:
        if _marker(place):  # built while we waited
            return _python(place)
        if _is_foreign(place):
            return _foreign_python(place)
        _build(place, lock, progress)
    return _python(place)


def status(folder: str | Path | None = None) -> dict[str, Any]:
    """Describe the environment: `path`, `complete`, `python`, `autosklearn`, `problem`."""
    place = location(folder)
    told: dict[str, Any] = {
        "path": str(place),
        "complete": False,
        "python": None,
        "autosklearn": None,
        "problem": None,
    }
    marker = _marker(place)
    if marker is None and not _is_foreign(place):
        told["problem"] = _missing(place)
        return told
    found = _probe(_python(place))
    if isinstance(found, str):
        told["problem"] = found
        return told
    told.update(complete=True, python=found[0], autosklearn=found[1])
    return told


def python39() -> str | None:
    """Return a Python 3.9 on PATH or in pyenv; None leaves it to uv to find or download one."""
    candidates = [Path(found)] if (found := shutil.which("python3.9")) else []
    roots = [os.environ.get("PYENV_ROOT"), Path.home() / ".pyenv"]
    if shutil.which("pyenv"):
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            told = subprocess.run(
                ["pyenv", "root"], capture_output=True, text=True, timeout=30, check=False
            )
            roots.append(told.stdout.strip())
    for root in roots:
        if root:
            candidates += sorted(Path(root, "versions").glob("3.9*/bin/python"), reverse=True)
    for candidate in candidates:
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            told = subprocess.run(
                [candidate, "-I", "-c", "import sys, zlib; print(*sys.version_info[:2])"],
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )  # pyenv's shim is on PATH even where it leads nowhere
            if told.returncode == 0 and told.stdout.split() == ["3", "9"]:
                return str(candidate)
    return None


def _may_build() -> bool:
    told = os.environ.get(BUILD_VARIABLE, "")
    if told not in ("", "never"):
        raise FeatxError(f"{BUILD_VARIABLE} is {told!r}: give never, or leave it unset")
    return told != "never"


def _missing(place: Path) -> str:
    python = _python(place)
    if python.is_symlink() and not python.exists():
        return f"without its Python: {python.resolve()} is not on this machine"
    return "half built" if place.exists() else "not built yet"


def _foreign_python(place: Path) -> Path:
    """Return the interpreter in a folder of the user's own, which is tried once a process."""
    if place not in _WORKING:
        found = _probe(_python(place))
        if isinstance(found, str):
            raise FeatxError(
                f"{place} is not an environment with auto-sklearn {VERSION}: {found}; give "
                f"another folder ({VARIABLE}) or remove this one and it is built there"
            )
        _WORKING.add(place)
    return _python(place)


def _pins() -> str:
    return hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()


def _python(place: Path) -> Path:
    return place / "bin" / "python"


def _marker(place: Path) -> dict[str, Any] | None:
    try:
        marker = json.loads((place / _MARKER).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    usable = marker.get("requirements_sha256") == _pins() and _python(place).exists()
    return marker if usable else None


def _is_foreign(place: Path) -> bool:
    """Tell whether the folder holds something that this module did not put there."""
    if not place.exists():
        return False
    if not place.is_dir():
        return True
    ours = (place / _MARKER).exists() or (place / _BUILDING).exists()
    return not ours and any(place.iterdir())


def _probe(python: Path) -> list[str] | str:
    """Return the versions of Python and auto-sklearn, or what is wrong."""
    try:
        done = subprocess.run(
            [python, "-I", "-W", "ignore", "-c", _PROBE],
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{python} does not run ({error})"
    if done.returncode:
        return (done.stderr.strip().splitlines() or ["it does not run"])[-1][:300]
    try:
        versions = [str(version) for version in json.loads(done.stdout.splitlines()[-1])]
    except (IndexError, ValueError):
        return f"{python} is no Python interpreter"
    if versions[1:] != [VERSION]:
        return f"it has auto-sklearn {versions[1]}"
    return versions


@contextlib.contextmanager
def _locked(place: Path, progress: Callable[[str], object]) -> Iterator[int]:
    """Hold the lock file beside `place`; yield its file descriptor."""
    path = place.with_name(f".{place.name}.lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise FeatxError(
            f"cannot write {path}: {error.strerror}; set {VARIABLE} to a folder that can be written"
        ) from error
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress(f"waiting for another process that builds {place}")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield lock
    finally:
        os.close(lock)


def _build(place: Path, lock: int, progress: Callable[[str], object]) -> None:
    progress(f"building the auto-sklearn {VERSION} environment in {place} (once, about a minute)")
    started = time.monotonic()
    try:
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        (place / _BUILDING).touch()
        interpreter = python39()
        environment = uv_settings.environment()
        # Paths are baked into a virtual environment, so it is made where it stays.
        made = _uv(
            ["venv", "--allow-existing", "--python", interpreter or "3.9", str(place)],
            environment,
            lock,
        )
        if made:
            where = f" with {interpreter}" if interpreter else ""
            raise FeatxError(f"cannot make a Python 3.9 environment{where}: {made}; {_ADVICE}")
        pins = str(REQUIREMENTS)
        # The pins also hold for what builds the pure-Python packages that have no wheel.
        options = ["-r", pins, "--build-constraints", pins]
        python = str(_python(place))
        installed = _uv(["pip", "install", "--python", python, *options], environment, lock)
        if installed:
            raise FeatxError(
                f"cannot install auto-sklearn {VERSION} into {place}: {installed}; check the "
                "network and the package index (pip's settings are passed on to uv)"
            )
        found = _probe(_python(place))
        if isinstance(found, str):
            raise FeatxError(f"auto-sklearn {VERSION} was installed into {place}, but {found}")
        marker = {"requirements_sha256": _pins(), "python": found[0], "autosklearn": found[1]}
        (place / _MARKER).write_text(json.dumps(marker), encoding="utf-8")
    except OSError as error:
        shutil.rmtree(place, ignore_errors=True)
        raise FeatxError(
            f"cannot build {place}: {error.strerror or error}; set {VARIABLE} to a folder that "
            "can be written and has 1 GB free"
        ) from error
    except BaseException:
        shutil.rmtree(place, ignore_errors=True)
        raise
    progress(f"auto-sklearn environment ready after {time.monotonic() - started:.0f} s")


def _uv(arguments: list[str], environment: dict[str, str], lock: int) -> str:
    """Run uv; return nothing where it went well, else its complaint in one line."""
    # With the lock's descriptor, for a uv that outlives a killed parent still writes there.
    done = subprocess.run(
        [uv_settings.binary(), *arguments],
        env=environment,
        cwd=Path(sys.prefix),  # not in a project, whose own uv settings would count
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        pass_fds=(lock,),
        check=False,
    )
    if done.returncode == 0:
        return ""
    said = [text for line in done.stderr.splitlines() if (text := line.strip(_UV_FRAME))]
    return " ".join(said[-6:])[-600:] or f"uv ended with status {done.returncode}"

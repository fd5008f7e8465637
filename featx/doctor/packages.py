"""The packages that featx is made with: there or not, and new enough; none is imported."""

from __future__ import annotations

import importlib.metadata
import platform
import re
import shutil
import sys
from pathlib import Path

from featx.doctor.finding import Finding

#: What featx never works without, and from which release on.
CORE: dict[str, str] = {
    "click": "8.2.1",
    "h5py": "3.14",
    "jinja2": "3.1",
    "joblib": "1.5",
    "matplotlib": "3.10",
    "numpy": "2.0",
    "pandas": "2.2",
    "scikit-learn": "1.6",
    "scipy": "1.15",
    "threadpoolctl": "3.5",
    "tqdm": "4.66",
    "uv": "0.5",
}

#: What writes features files faster, on platforms for which there is a wheel.
FASTER: dict[str, str] = {"isal": "1.7"}

#: What each extra brings: the package, and the name under which it is imported.
EXTRAS: dict[str, dict[str, str]] = {
    "extract": {
        "torch": "torch",
        "torchvision": "torchvision",
        "captum": "captum",
        "facenet-pytorch": "facenet_pytorch",
        "timm": "timm",
        "safetensors": "safetensors",
        "pillow": "PIL",
    },
    "finetune": {
        "pydantic": "pydantic",
        "PyYAML": "yaml",
        "coral-pytorch": "coral_pytorch",
        "optuna": "optuna",
        "tensorboard": "tensorboard",
    },
    "haar": {"opencv-python-headless": "cv2", "pillow": "PIL"},
    "dlib": {
        "dlib-bin": "dlib",
        "face_recognition_models": "face_recognition_models",
        "pillow": "PIL",
    },
    "parquet": {"pyarrow": "pyarrow"},
    "video": {"opencv-python-headless": "cv2"},
}

#: Releases from which on featx can use what extras bring.
LEAST: dict[str, str] = {
    "captum": "0.9",
    "coral-pytorch": "1.4",
    "dlib-bin": "20",
    "face_recognition_models": "0.3",
    "facenet-pytorch": "2.5.3",
    "opencv-python-headless": "4.13",
    "optuna": "4",
    "pillow": "10.3",
    "pyarrow": "15",
    "pydantic": "2.7",
    "PyYAML": "6",
    "safetensors": "0.4.3",
    "tensorboard": "2.17.1",
    "timm": "1.0",
    "torch": "2.5",
    "torchvision": "0.20",
}

#: Releases from which on a package no longer has what featx needs of it: OpenCV 5 has no cascades,
#: facenet-pytorch 2.6 puts old releases of torch and NumPy in place of newer ones.
BELOW: dict[str, str] = {"opencv-python-headless": "5", "facenet-pytorch": "2.6"}


def install(extra: str) -> str:
    """Return the command that installs an extra."""
    return f"pip install 'featx[{extra}]'"


def extra_of(module: str) -> str | None:
    """Return the extra that brings an importable module; None where no extra does."""
    top = module.partition(".")[0]
    return next((extra for extra, parts in EXTRAS.items() if top in parts.values()), None)


def version_of(name: str) -> str | None:
    """Return the release of a package that is installed; None where it is not."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def check_packages() -> list[Finding]:
    """Look at Python, featx itself, the core packages, and those of the extras, each once."""
    remedies = {name: f"pip install {name}" for name in FASTER}
    for extra, parts in EXTRAS.items():
        for name in parts:
            remedies.setdefault(name, install(extra))
    return [
        _python(),
        _program(),
        *(check_package(name, "pip install --upgrade featx", CORE[name]) for name in CORE),
        *(
            check_package(name, remedy, (FASTER | LEAST)[name], optional=True)
            for name, remedy in remedies.items()
        ),
    ]


def check_package(name: str, remedy: str, least: str = "0", *, optional: bool = False) -> Finding:
    """Look whether a package is installed, in a release that featx can use.

    One that is `optional` is only so where it is not there at all: a release that does not fit
    breaks what uses it.
    """
    version = version_of(name)
    if version is None:
        severity = "optional" if optional else "required"
        return Finding(name, False, "not installed", remedy, severity)  # type: ignore[arg-type]
    if not reaches(version, least):
        return Finding(name, False, f"{version}, needed is {least} or newer", remedy)
    below = BELOW.get(name)
    if below and reaches(version, below):
        return Finding(name, False, f"{version}, needed is one below {below}", remedy)
    return Finding(name, True, version, severity="optional" if optional else "required")


def reaches(version: str, least: str) -> bool:
    """Return whether a release is `least` or newer."""
    return _numbers(version) >= _numbers(least)


def _numbers(version: str) -> tuple[int, ...]:
    """Return a release's numbers without zeros at their end: ``(2, 4)`` of ``2.4.0+cu121``."""
    found = re.match(r"\d+(?:\.\d+)*", version)
    numbers = [int(part) for part in found[0].split(".")] if found else []
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)


def _python() -> Finding:
    return Finding(
        "python",
        sys.version_info >= (3, 11),
        f"{platform.python_version()} on {platform.platform()}, {sys.executable}",
        "" if sys.version_info >= (3, 11) else "install Python 3.11 or newer",
    )


def _program() -> Finding:
    """Look which ``featx`` a shell would run: that of another environment has other packages."""
    from featx import __version__

    own, found = Path(sys.executable).with_name("featx"), shutil.which("featx")
    told = f"featx {__version__}, {Path(__file__).parents[1]}"
    if found is None:
        remedy = f"call it as {own}, or put its folder on PATH" if own.exists() else ""
        return Finding("featx", True, f"{told}; not on PATH", remedy, "optional")
    if own.exists() and Path(found).resolve() != own.resolve():
        detail = f"{told}; on PATH there is another, {found}"
        remedy = f"call it as {own}, or put its folder first on PATH"
        return Finding("featx", False, detail, remedy, "optional")
    return Finding("featx", True, f"{told}; {found}", severity="optional")

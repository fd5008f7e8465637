"""Libraries that can be installed and broken all the same: each is tried."""

from __future__ import annotations

from featx.doctor.finding import Finding
from featx.doctor.packages import install, version_of
from featx.doctor.probes import probe

#: What is tried, the packages that it needs, and the remedy.
TRIED: dict[str, tuple[tuple[str, ...], str]] = {
    "opencv": (
        ("opencv-python-headless",),
        f"{install('haar')} --force-reinstall (and pip uninstall opencv-python, whose files lie in "
        "the same place)",
    ),
    "dlib": (
        ("dlib-bin", "face_recognition_models"),
        f"{install('dlib')} --force-reinstall (and pip uninstall dlib, which lies in the same "
        "place)",
    ),
    "parquet": (("pyarrow",), f"{install('parquet')} --force-reinstall"),
    "hdf5": (("h5py",), "pip install --force-reinstall h5py"),
}


def check_library(name: str) -> list[Finding]:
    """Try one of `TRIED`; nothing is found where its packages are not installed."""
    packages, remedy = TRIED[name]
    if not all(map(version_of, packages)):
        return []
    told = probe("libraries", name)
    if isinstance(told, str):
        return [Finding(name, False, told, remedy)]
    if "problem" in told:
        return [Finding(name, False, told["problem"], remedy)]
    return [Finding(name, True, told["detail"])]

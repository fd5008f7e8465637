"""A method's folder from its first fold to its published tables."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from featx import __version__
from featx.atomic import remove_leftovers, write_json
from featx.errors import FeatxError
from featx.plugins import plugin_versions
from regress.fold_pieces import gather
from regress.fold_records import finished_folds
from regress.predictions import FORMAT, write_csv
from regress.probabilities import write_probabilities
from regress.summary import summarise

_LIBRARIES = ("numpy", "scipy", "scikit-learn", "h5py", "joblib", "pandas")


def start_folder(folder: Path, resume: bool) -> None:
    """Make a method's folder, or take up the one that is there.

    Raises
    ------
    FeatxError
        If it holds an earlier run and `resume` is false, or cannot be made.
    """
    if not resume and (folder / "folds").is_dir() and any((folder / "folds").iterdir()):
        raise FeatxError(f"{folder} holds an earlier run; add --resume, or give another -o")
    for place in (folder, folder / "folds"):
        remove_leftovers(place)  # of a killed run
    try:
        (folder / "folds").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FeatxError(f"cannot make {folder}: {error.strerror or error}") from None


def publish(
    folder: Path,
    key: str,
    planned: Sequence[str],
    failed: Mapping[str, str],
    info: Mapping[str, Any],
) -> dict[str, Any]:
    """Join a method's finished folds and write its tables, then ``run.json``.

    Parameters
    ----------
    folder : Path
        The method's.
    key : str
        What its folds are computed from; folds with another key don't count.
    planned : sequence of str
        All folds of the protocol, in order.
    failed : mapping of str to str
        Folds that failed in this run, with the reason.
    info : mapping
        What else ``run.json`` tells: method, layer, regressor, parameters, protocol, seed, split
        hash, features, counts; for classes task and groups.

    Returns
    -------
    dict
        The content of ``run.json``.
    """
    records = finished_folds(folder, key)
    names = [name for name in planned if name in records]
    write_csv(folder / "predictions.csv", gather(folder, names, str(info.get("task", "age"))))
    probable = write_probabilities(folder, names)
    told = {
        "format": FORMAT,
        **info,
        "key": key,
        "folds": {
            "planned": len(planned),
            "done": len(names),
            "missing": [name for name in planned if name not in records],
            "failed": dict(failed),
        },
        "probabilities": probable,
        "statistics": summarise([records[name].get("report", {}) for name in names]),
        "versions": {
            "featx": __version__,
            **{name: importlib.metadata.version(name) for name in _LIBRARIES},
            **plugin_versions(),
        },
        "seconds": round(sum(records[name]["seconds"] for name in names), 3),
    }
    write_json(folder / "run.json", told)
    return told

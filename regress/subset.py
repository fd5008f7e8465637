"""Some images of a run, as a run of its own: one data set among several, for instance."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np

from featx import __version__
from featx.errors import FeatxError
from regress.fold_pieces import write_fold
from regress.fold_records import finished_folds
from regress.predictions import FORMAT, Run
from regress.probabilities import has_probabilities, probabilities_sha256, read_probabilities
from regress.protocols import Fold, split_hash
from regress.publishing import publish, start_folder


def write_subset(
    run: Run,
    images: Collection[str],
    name: str,
    folder: Path,
    *,
    told: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Write the predictions of some of a run's images, for `featx compare` and all else.

    The models stay those of the run; only who is looked at is fewer. A fold without such an image
    is no fold of the subset.

    Parameters
    ----------
    run : Run
        Of any task.
    images : collection of str
        Ids; those that the run has not tested are of no account, save that they are counted.
    name : str
        What they are, as ``utkface``: the run's method is shown under its name and this.
    folder : Path
        The subset's own. What it holds of the same subset is kept.
    told : dict, optional
        What else ``run.json`` tells.

    Returns
    -------
    dict
        The content of ``run.json``: the run's, with ``subset``, and a split hash and counts of its
        own; ``seconds`` are the run's.

    Raises
    ------
    FeatxError
        If the run has none of the images, or the folder is the run's own.
    """
    if folder.resolve() == run.folder.resolve():
        raise FeatxError(f"{folder} is the folder of the run itself; give another")
    wanted = run.predictions["image"].isin(set(images)).to_numpy()
    if not wanted.any():
        raise FeatxError(f"{run.folder} has predicted no image of {name}")
    table = run.predictions[wanted].reset_index(drop=True)
    probable = None
    files = [run.predictions_sha256]
    if has_probabilities(run):
        given = read_probabilities(run)
        probable = given.classes, given.values[wanted]
        files.append(probabilities_sha256(run))
    source = [FORMAT, __version__, name, table["image"].tolist(), files]
    key = hashlib.sha256(json.dumps(source).encode()).hexdigest()
    folds = table["fold"].to_numpy(str)
    done = list(dict.fromkeys(folds))
    start_folder(folder, resume=True)
    finished = finished_folds(folder, key)
    for fold in done:
        if fold in finished:
            continue
        rows = np.flatnonzero(folds == fold)
        record = {
            "fold": fold,
            "key": key,
            "n_test": len(rows),
            "seconds": round(run.seconds_a_fold, 3),
        }
        some = None if probable is None else (probable[0], probable[1][rows])
        write_fold(folder, table.iloc[rows], record, some)
    none = np.array([], int)
    tested = [Fold(fold, none, np.flatnonzero(folds == fold)) for fold in done]
    missing = [str(fold) for fold in run.info.get("folds", {}).get("missing", [])]
    info = {
        **{k: v for k, v in run.info.items() if k not in _OWN},
        "method": f"{run.method} · {name}",
        "split_hash": split_hash(table, tested),
        "counts": {"total": len(images), "evaluated": len(table)},
        "subset": {
            "name": name,
            "of": str(run.folder),
            "of_images": len(run.predictions),
            "predictions_sha256": run.predictions_sha256,
        },
        **(told or {}),
    }
    return publish(folder, key, [*done, *missing], {}, info)


#: What is said of a run and not of some of its images.
_OWN = ("format", "key", "folds", "probabilities", "statistics", "versions", "seconds", "command")

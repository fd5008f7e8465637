"""The protocol passport: under which conditions each number was measured."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from regress.compare import Comparison
from regress.compare_groups import GroupComparison
from regress.predictions import Run
from regress.report.formats import of_total

UNKNOWN = "not recorded"


@dataclass(frozen=True)
class Passport:
    """Conditions shared by all methods, and those in which they differ.

    Attributes
    ----------
    shared : list of tuple of (str, str)
        Label and value.
    differing : list of str
        Labels of what differs.
    rows : list of list of str
        One row a method, one value a label of `differing`.
    """

    shared: list[tuple[str, str]]
    differing: list[str]
    rows: list[list[str]]


def passport(runs: Sequence[Run]) -> Passport:
    """Collect the conditions of some runs; what nobody recorded is said to be so."""
    shared, differing, columns = [], [], []
    for label, describe in _FIELDS:
        values = [describe(run) or UNKNOWN for run in runs]
        if label in _OPTIONAL and set(values) == {UNKNOWN}:
            continue
        if len(set(values)) == 1:
            shared.append((label, values[0]))
        else:
            differing.append(label)
            columns.append(values)
    return Passport(shared, differing, [list(row) for row in zip(*columns, strict=True)])


def find(record: Any, *keys: str) -> Any:
    """Return the first value under one of some keys, anywhere in nested dicts or JSON text."""
    record = _parsed(record)
    if not isinstance(record, dict):
        return None
    for key in keys:
        if record.get(key) not in (None, "", [], {}):
            return record[key]
    for value in record.values():
        found = find(value, *keys)
        if found is not None:
            return found
    return None


def _parsed(value: Any) -> Any:
    if isinstance(value, str) and value.lstrip().startswith("{"):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


def plain(value: Any) -> str:
    """Write a recorded value on one line; nothing for nothing."""
    value = _parsed(value)
    if value is None:
        return ""
    if isinstance(value, dict):
        return ", ".join(f"{key} {plain(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        whole = all(isinstance(item, int | float) for item in value)
        return (" \N{MULTIPLICATION SIGN} " if whole and len(value) == 2 else ", ").join(
            map(plain, value)
        )
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _provenance(*keys: str) -> Callable[[Run], str]:
    return lambda run: plain(find(run.info.get("features", {}).get("provenance", {}), *keys))


def _hash(value: Any) -> str:
    return "" if value is None else str(value)[:12]


def _images(run: Run) -> str:
    counts = run.info.get("counts", {})
    if not counts:
        return ""
    n = len(run.predictions)
    return f"{of_total(n, int(counts.get('total', n)))} evaluated"


def statuses(run: Run) -> str:
    """Return the image table's rows by status, for example ``999 ok, 3 no_face``."""
    counts = run.info.get("counts", {})
    by_status = counts.get("by_status", {})
    first = sorted(by_status.items(), key=lambda item: (item[0] != "ok", -item[1]))
    told = [f"{n:,} {status}" for status, n in first]
    if counts.get("ok_without_age"):
        told.append(f"{counts['ok_without_age']:,} of the ok without an age")
    return ", ".join(told)


def _folds(run: Run) -> str:
    folds = run.info.get("folds", {})
    if not folds:
        return ""
    done, planned = folds.get("done"), folds.get("planned")
    return f"{done} of {planned} planned"


def _features_hash(run: Run) -> str:
    features = run.info.get("features", {})
    return _hash(features.get("layer_sha256") or features.get("sha256"))


def _margin(run: Run) -> str:
    crop = _provenance("crop")(run)
    return _provenance("margin")(run) if crop in ("", "margin") else f"none ({crop} crop)"


def _versions(*path: str) -> Callable[[Run], str]:
    def describe(run: Run) -> str:
        record = run.info.get("features", {})
        for key in (*path, "versions"):
            record = _parsed(record)
            record = record.get(key) if isinstance(record, dict) else None
        return plain(record)

    return describe


_FIELDS: tuple[tuple[str, Callable[[Run], str]], ...] = (
    ("Data set", _provenance("dataset", "datasets")),
    ("Features file", lambda run: plain(run.info.get("features", {}).get("file"))),
    ("Images", _images),
    ("Rows by status", statuses),
    ("Face detector", _provenance("detector")),
    ("Crop", _provenance("crop")),
    ("Margin", _margin),
    ("Network input", _provenance("input_size")),
    ("Averaged with mirror image", _provenance("mirror")),
    ("Backbone", _provenance("backbone")),
    ("Weights", _provenance("weights")),
    (
        "Weights sha256",
        lambda run: _hash(
            find(run.info.get("features", {}).get("provenance", {}), "weights_sha256")
        ),
    ),
    ("Weights trained on", _provenance("weights_trained_on")),
    ("Precision", _provenance("precision")),
    ("Layer", lambda run: plain(run.info.get("layer"))),
    ("Layer sha256", _features_hash),
    ("Regressor", lambda run: plain(run.info.get("regressor"))),
    ("Protocol", lambda run: plain(run.info.get("protocol"))),
    ("Split hash", lambda run: _hash(run.info.get("split_hash"))),
    ("Folds", _folds),
    ("Seed", lambda run: plain(run.info.get("seed"))),
    ("Regressed with", lambda run: plain(run.info.get("versions"))),
    ("Extracted with", _versions("context")),
    ("Prepared with", _versions("provenance", "prepare")),
)

#: Left out where no run recorded it; anything else that is missing is said to be.
_OPTIONAL = ("Weights trained on", "Extracted with", "Prepared with")

_BUDGETS = ("time_budget", "evaluations", "run_time_limit", "search_space", "memory_limit")


def commands(
    comparison: Comparison | GroupComparison, out: Path, flags: Sequence[str] = ()
) -> list[str]:
    """Return the commands that make the runs and the report again, the latter with some flags."""
    told = {regress_command(run): None for run in comparison.runs}
    folders = [str(run.folder) for run in comparison.runs]
    splits = {run.info.get("split_hash") for run in comparison.runs}
    compare = ["featx", "compare", *sorted(folders), "-o", str(out)]
    compare += ["--bootstrap", str(comparison.bootstrap), "--seed", str(comparison.seed)]
    compare += flags
    if len(splits) > 1:
        compare.append("--allow-different-splits")
    if isinstance(comparison, GroupComparison) and comparison.task.ordered:
        compare += ["--groups", ",".join(comparison.groups)]
    return [*told, shlex.join(compare)]


def regress_command(run: Run) -> str:
    """Return the command that makes a run again."""
    info = run.info
    if "command" in info:
        return shlex.join(info["command"])
    if "members" in info:
        words = ["featx", "ensemble", *(member["folder"] for member in info["members"])]
        return shlex.join([*words, "--name", run.method, "-o", str(run.folder)])
    if "cascade" in info:
        words = ["featx", "finetune", info["cascade"], "--protocol", info["protocol"]]
        if info.get("seed") is not None:
            words += ["--seed", str(info["seed"])]
        if info["regressor"] != "end-to-end":
            words += ["--layer", info["layer"], "--regressor", info["regressor"]]
        return shlex.join([*words, "-o", str(run.folder.parent.parent)])
    words = ["featx", "regress", plain(info.get("features", {}).get("file")) or "FEATURES.h5"]
    for option, key in (("--layer", "layer"), ("--regressor", "regressor"),
                        ("--protocol", "protocol"), ("--seed", "seed")):  # fmt: skip
        if info.get(key) is not None:
            words += [option, str(info[key])]
    parameters = info.get("parameters", {})
    if str(info.get("regressor", "")).startswith("auto-sklearn"):
        for key in _BUDGETS:
            if parameters.get(key) is not None:
                words += [f"--{key.replace('_', '-')}", plain(parameters[key])]
    return shlex.join([*words, "-o", str(run.folder.parent)])

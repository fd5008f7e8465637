"""What a method's folder tells of its folds in JSON: which are planned, done or failed, and why.

A fold is finished once its record is there, was computed from what is asked for, and matches the
bytes of its table: what several processes on several machines leave in one folder is told apart by
content. Light to import, for `featx status`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from featx.atomic import write_json
from featx.file_hash import file_sha256

FORMAT = "featx-predictions/1"

#: The file in a method's folder that names its folds.
PLAN = "plan.json"


def fold_stem(fold: str) -> str:
    """Return a file name for a fold: its own name where that is safe, else a readable hash."""
    if re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}", fold):
        return fold
    digest = hashlib.sha256(fold.encode()).hexdigest()[:12]
    return f"{re.sub(r'[^A-Za-z0-9_-]+', '-', fold)[:40]}.{digest}"


def write_plan(folder: Path, method: str, key: str, folds: Sequence[str]) -> None:
    """Write down a method's folds beside them, for `featx status`; once where nothing changed."""
    told = {"format": FORMAT, "method": method, "key": key, "folds": list(folds)}
    path = folder / PLAN
    try:
        there = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        there = None
    if there != told:
        write_json(path, told)


def unit_label(method: str, fold: str | None) -> str:
    """Return in words what a task computes: a fold of a method, or all where that is None."""
    return f"{method}, {'all folds' if fold is None else f'fold {fold}'}"


def write_failure(folder: Path, fold: str, key: str, reason: str) -> None:
    """Record that a fold failed, and why; it stays to be done."""
    record = {"fold": fold, "key": key, "error": reason}
    write_json(folder / "folds" / f"{fold_stem(fold)}.json", record)


def finished_folds(
    folder: Path, key: str, only: Iterable[str] | None = None
) -> dict[str, dict[str, Any]]:
    """Return the records of the folds that are whole and were computed from `key`.

    A fold counts by content, not by its file being there: its record must parse, carry the same
    key, and match its table's bytes. Where only some folds are asked for, no other is looked at.
    """
    pieces = folder / "folds"
    if only is None:
        paths = sorted(pieces.glob("*.json"))
    else:
        paths = [pieces / f"{fold_stem(fold)}.json" for fold in only]
    found = {}
    for path in paths:
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if not isinstance(record, dict) or record.get("key") != key or "error" in record:
            continue
        table = path.with_suffix(".csv")
        if table.is_file() and record.get("table_sha256") == file_sha256(table):
            found[str(record["fold"])] = record
    return found


def failed_folds(folder: Path, key: str, only: Iterable[str]) -> dict[str, str]:
    """Return why some folds failed, of those that left word of it (see `write_failure`)."""
    found = {}
    for fold in only:
        path = folder / "folds" / f"{fold_stem(fold)}.json"
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(record, dict) and record.get("key") == key and "error" in record:
            found[fold] = str(record["error"])
    return found


def forget(folder: Path, folds: Iterable[str]) -> None:
    """Remove the records of folds that are to be computed again."""
    for fold in folds:
        (folder / "folds" / f"{fold_stem(fold)}.json").unlink(missing_ok=True)

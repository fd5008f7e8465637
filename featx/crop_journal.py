"""What has been done so far in a folder of face crops, so that a killed run can go on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import pandas as pd

from featx.duplicates import own_reason
from featx.errors import FeatxError
from featx.json_lines import JsonLines, complete_lines
from featx.manifest import NUMERIC, read_table

_NAME = ".prepare.jsonl"


class CropJournal:
    """A line for each image that is done, written as it is done, keyed by its content.

    The first line holds the settings. A folder that was finished (its journal is gone) is read
    back from its image table, so that it can be added to.

    Parameters
    ----------
    folder : Path
        The output folder.
    settings : mapping
        What determines the crops, as JSON values.
    resume : bool
        Whether a folder that is not empty may be gone on with.

    Raises
    ------
    FeatxError
        If the folder is not empty and `resume` is False, or it was made with other settings, or
        by something else, or it cannot be read.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any], *, resume: bool) -> None:
        """Look at what the folder holds; nothing is written before the journal is entered."""
        self.folder = folder
        self.path = folder / _NAME
        self._settings = dict(settings)
        self._records: dict[tuple[str, str], dict[str, Any]] = {}
        self._lines: JsonLines | None = None
        self._whole = 0  # bytes of the journal's complete lines
        self.former: dict[str, Any] = {}
        try:
            self._look(resume)
        except OSError as error:
            raise FeatxError(f"cannot read {folder}: {error.strerror or error}") from error

    def _look(self, resume: bool) -> None:
        if self.folder.exists() and not self.folder.is_dir():
            raise FeatxError(f"{self.folder} is a file; give a folder")
        if not self.folder.exists() or not any(self.folder.iterdir()):
            return
        if not resume:
            raise FeatxError(
                f"{self.folder} is not empty; add --resume to go on with it, or give another -o"
            )
        finished = self.folder / "prepare.json"
        if not self.path.exists() and not finished.exists():
            raise FeatxError(
                f"{self.folder} holds no output of featx prepare to resume; give another -o"
            )
        if finished.exists():
            try:
                self.former = json.loads(finished.read_text(encoding="utf-8"))
            except ValueError:
                raise FeatxError(f"{finished} is damaged; delete it and --resume") from None
            self._compare(self.former.get("settings"))
            for row in read_table(self.folder).to_dict("records"):
                self._remember(row["sha256"], row["crop"], _record(row))
        if self.path.exists():
            self._read()

    def _read(self) -> None:
        entries, self._whole = complete_lines(self.path)
        for number, entry in enumerate(entries):
            if number == 0:
                self._compare(entry["settings"])
            else:
                self._remember(entry.pop("sha256"), entry.pop("crop"), entry)

    def _remember(self, sha256: str, crop: str, record: dict[str, Any]) -> None:
        if sha256 and record["status"] == "ok":
            self._records[sha256, crop] = record
        elif sha256 and record["status"] in ("no_face", "corrupt"):
            self._records[sha256, ""] = record

    def _compare(self, settings: Any) -> None:
        if settings == self._settings:
            return
        former = settings if isinstance(settings, dict) else {}
        keys = sorted({*former, *self._settings})
        told = ", ".join(
            f"{key} {former.get(key)} then and {self._settings.get(key)} now"
            for key in keys
            if former.get(key) != self._settings.get(key)
        )
        raise FeatxError(f"{self.folder} was made with other settings ({told}); give another -o")

    def get(self, sha256: str, crop: str) -> dict[str, Any] | None:
        """Return what is known of an image, None where it has to be done.

        Parameters
        ----------
        sha256 : str
            Of the source's bytes.
        crop : str
            The crop's path relative to the folder; where the record says that there is one, it has
            to be there.
        """
        record = self._records.get((sha256, crop)) or self._records.get((sha256, ""))
        if record and record["status"] == "ok" and not _holds_bytes(self.folder / crop):
            return None
        return record

    def __enter__(self) -> CropJournal:
        """Open the journal for writing; only one run at a time may."""
        self._lines = JsonLines(self.path, self._whole)
        if not self._whole:
            self._lines.write({"settings": self._settings})
        return self

    def append(self, sha256: str, crop: str, record: Mapping[str, Any]) -> None:
        """Note what became of an image."""
        assert self._lines is not None, "the journal is not open"
        self._lines.write({"sha256": sha256, "crop": crop, **record})

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the journal; the file is removed where all went well, for the table has it all."""
        assert self._lines is not None
        self._lines.close()
        if kind is None:
            self.path.unlink(missing_ok=True)


def _holds_bytes(path: Path) -> bool:
    try:
        return path.stat().st_size > 0
    except OSError:
        return False


def _record(row: Mapping[Any, Any]) -> dict[str, Any]:
    found = {name: row[name] for name in NUMERIC if name != "age" and pd.notna(row[name])}
    return {"status": row["status"], "reason": own_reason(row["reason"]), **found}

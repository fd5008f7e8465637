"""What has been told of pictures so far in a folder, so that a killed run can go on."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from featx import __version__
from featx.atomic import write_json
from featx.errors import FeatxError
from featx.json_lines import JsonLines, complete_lines

#: What each command's records end in.
RESULTS = {"predict": "predictions.json", "explain": "explanations.json"}


class PredictionJournal:
    """A line for each picture, written as it is done; the first line holds the settings.

    Parameters
    ----------
    folder : Path
        The output folder.
    settings : mapping
        What determines the predictions, as JSON values.
    kind : {"images", "frames", "groups"}
        What the pictures are, or whose pictures a record is of.
    resume : bool
        Whether a folder that is not empty may be gone on with.
    command : {"predict", "explain"}
        Which command's output it is.

    Raises
    ------
    FeatxError
        If the folder is not empty and `resume` is False, or it was made with other settings or by
        something else, or it cannot be read.
    """

    def __init__(
        self,
        folder: Path,
        settings: Mapping[str, Any],
        kind: str,
        *,
        resume: bool,
        command: str = "predict",
    ) -> None:
        """Look at what the folder holds; nothing is written before the journal is entered."""
        self.folder = folder
        self._key = kind[:-1]
        self._kind = kind
        self._command = command
        self._path = folder / f".{command}.jsonl"
        self._result = folder / RESULTS[command]
        self._settings = json.loads(json.dumps(settings))  # as it will be read back
        self._known: dict[tuple[Any, str], dict[str, Any]] = {}
        self._whole = 0  # bytes of the journal's complete lines
        self._lines: JsonLines | None = None
        try:
            self._look(resume)
        except OSError as error:
            raise FeatxError(f"cannot read {folder}: {error.strerror or error}") from error

    def _look(self, resume: bool) -> None:
        folder = self.folder
        if folder.exists() and not folder.is_dir():
            raise FeatxError(f"{folder} is a file; give a folder")
        if not folder.exists() or not any(folder.iterdir()):
            return
        if not resume:
            raise FeatxError(
                f"{folder} is not empty; add --resume to go on with it, or give another -o"
            )
        if self._path.exists():
            self._read()
        elif self._result.exists():
            try:
                former = json.loads(self._result.read_text(encoding="utf-8"))
                self._compare(former["settings"])
                self._remember(former[self._kind])
            except (ValueError, KeyError, TypeError):
                raise FeatxError(f"{self._result} is damaged; give another -o") from None
        else:
            raise FeatxError(f"{folder} holds no output of featx {self._command}; give another -o")

    def _read(self) -> None:
        entries, self._whole = complete_lines(self._path)
        for number, entry in enumerate(entries):
            if number == 0:
                self._compare(entry.get("settings"))
            else:
                self._remember([entry])

    def _remember(self, records: Sequence[dict[str, Any]]) -> None:
        for record in records:
            self._known[record[self._key], record.get("sha256", "")] = record

    def _compare(self, settings: Any) -> None:
        if settings == self._settings:
            return
        former = settings if isinstance(settings, dict) else {}
        keys = sorted({*former, *self._settings})
        told = ", ".join(key for key in keys if former.get(key) != self._settings.get(key))
        raise FeatxError(f"{self.folder} was made with another {told}; give another -o")

    def get(self, name: str | int, sha256: str = "") -> dict[str, Any] | None:
        """Return what an earlier run told of a picture; None where it has to be looked at."""
        record = self._known.get((name, sha256))
        if record is None:
            return None
        there = all((self.folder / name).is_file() for name in record.get("files", ()))
        return record if there else None

    def __enter__(self) -> PredictionJournal:
        """Open the journal for writing; only one run at a time may."""
        self._lines = JsonLines(self._path, self._whole)
        if not self._whole:
            for entry in ({"settings": self._settings}, *self._known.values()):
                self._lines.write(entry, allow_nan=False)
        return self

    def note(self, record: dict[str, Any]) -> None:
        """Note what was told of a picture."""
        assert self._lines is not None, "the journal is not open"
        self._lines.write(record, allow_nan=False)

    def finish(
        self,
        records: Sequence[dict[str, Any]],
        counts: dict[str, int] | None = None,
        **more: Any,
    ) -> dict[str, int]:
        """Write the records' file; returns the counts.

        Parameters
        ----------
        records : sequence of dict
            All pictures', in order.
        counts : dict of str to int, optional
            By default those of `count`.
        **more
            What else it is to tell.
        """
        counts = count(records, self._kind) if counts is None else counts
        told = {"featx": __version__, "settings": self._settings, **more, "counts": counts}
        write_json(self._result, {**told, self._kind: list(records)})
        return counts

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the journal; its file goes where all went well, for the results have it all."""
        assert self._lines is not None
        self._lines.close()
        if kind is None:
            self._path.unlink(missing_ok=True)


def count(records: Sequence[Mapping[str, Any]], kind: str) -> dict[str, int]:
    """Count pictures, each status, and faces."""
    statuses = Counter(record["status"] for record in records)
    return {
        kind: len(records),
        **{status: statuses[status] for status in ("ok", "no_face", "corrupt")},
        "faces": sum(len(record["faces"]) for record in records),
    }

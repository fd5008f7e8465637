"""Mean maps over many aligned faces: of a subject, of an age group, of all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from featx.explanation.choice import Explaining, Method
from featx.explanation.figures import Panel, heat_figure, overview_figure, panels, save
from featx.explanation.grouping import Grouping
from featx.explanation.index import write_index
from featx.explanation.run import save_maps, settings, shown_part, titled
from featx.explanation.sides import Side, rgb
from featx.loading import Batch, Crops, batches
from featx.prediction.images import output_names
from featx.prediction.journal import PredictionJournal
from featx.prediction.model import Model

#: What can be averaged: maps of places, which aligned faces have in common.
METHODS: tuple[Method, ...] = ("attention", "grad-cam")

#: Groups in the overview; more would be too small to see.
SHOWN = 12


@dataclass
class _Sum:
    """What the faces of a group add up to."""

    images: int = 0
    unreadable: dict[str, str] = field(default_factory=dict)
    totals: dict[str, np.ndarray] = field(default_factory=dict)

    def add(self, values: Mapping[str, np.ndarray]) -> None:
        """Add maps (n, …) of n faces more."""
        for name, each in values.items():
            total = each.sum(0, dtype=np.float64)
            self.totals[name] = self.totals[name] + total if name in self.totals else total

    def means(self) -> dict[str, np.ndarray]:
        """Return the means, float32."""
        return {k: (each / self.images).astype(np.float32) for k, each in self.totals.items()}


def average_maps(
    model: Model,
    sides: Sequence[Side],
    grouping: Grouping,
    out: Path,
    explaining: Explaining,
    *,
    batch_size: int = 16,
    resume: bool = False,
    advance: Callable[[int], None] = lambda n: None,
) -> dict[str, int]:
    """Average the attention and Grad-CAM maps of each group's faces, and the faces.

    The faces go through the network batch by batch, group after group, and only the sums of the
    group in hand are kept: the memory does not grow with the images or the groups.

    Parameters
    ----------
    model : Model
        The network.
    sides : sequence of Side
        From `featx.explanation.sides.sides`; the last is the network itself.
    grouping : Grouping
        The faces.
    out : Path
        The folder to write: ``explanations.json``, an object a group, with its counts;
        ``index.html``; ``averages.png``, groups side by side on one scale of colours; and for each
        group a folder with ``average.png`` and ``maps.npz``, the means in float32: ``face``
        (height, width, 3), 0 to 255; ``attention/MODULE``; ``grad-cam/TARGET``, the mean of what
        speaks for the target (each map's ReLU); ``signed/grad-cam/TARGET``, that of the maps with
        what speaks against it.
    explaining : Explaining
        Of `METHODS`.
    batch_size : int
        Faces at a time.
    resume : bool
        Take up what the folder holds; groups are known by their images.
    advance : callable
        Told how many images more are done.

    Returns
    -------
    dict of str to int
        ``groups``, ``images`` in the means, ``unreadable`` crops.

    Raises
    ------
    FeatxError
        If the folder is not empty (and not `resume`) or made with other settings.
    """
    made_with = {
        **settings(model, sides, explaining),
        "average_by": grouping.by,
        "crops": grouping.crops,
    }
    journal = PredictionJournal(out, made_with, "groups", resume=resume, command="explain")
    folders = output_names(grouping.names)
    digests = [grouping.digest(group) for group in range(len(grouping.names))]
    done = {
        group: record
        for group, name in enumerate(grouping.names)
        if (record := journal.get(name, digests[group])) is not None
    }
    starts = grouping.starts
    rows = np.concatenate(
        [
            np.arange(starts[group], starts[group + 1])
            for group in range(len(grouping.names))
            if group not in done
        ]
        or [np.empty(0, int)]
    )
    advance(len(grouping.samples) - len(rows))
    of_row = np.searchsorted(starts, rows, side="right") - 1
    names = grouping.samples.table["image"].to_numpy()[rows]
    files = [grouping.samples.files[row] for row in rows]
    crops = Crops(files, np.ones(len(rows), bool), model.preprocessing)
    open_: dict[int, _Sum] = {}

    def close(group: int) -> None:
        total = open_.pop(group)
        record: dict[str, Any] = {
            "group": grouping.names[group],
            "sha256": digests[group],
            "images": total.images,
            "unreadable": total.unreadable,
        }
        if total.images:
            made = _write(sides, grouping.names[group], total, out / folders[group], explaining)
            record["files"] = [f"{folders[group]}/{file}" for file in made]
        journal.note(record)
        done[group] = record

    with journal:
        for batch in batches(crops, batch_size) if len(rows) else ():
            _add(batch, sides, model, explaining, of_row, names, open_)
            advance(batch[1] - batch[0])
            ended = len(rows) if batch[1] == len(rows) else of_row[batch[1]]
            for group in [each for each in open_ if each < ended]:
                close(group)
        for group in list(open_):
            close(group)
        records = [done[group] for group in range(len(grouping.names))]
        _overview(sides, records, out, explaining)
        counts = {
            "groups": len(records),
            "images": sum(record["images"] for record in records),
            "unreadable": sum(len(record["unreadable"]) for record in records),
        }
        ledger = {"rows": grouping.n_total, "usable": grouping.n_usable}
        whole = [name for name in ("averages.png",) if (out / name).is_file()]
        journal.finish(records, counts, ledger=ledger, warning=grouping.warning, files=whole)
        write_index(out)
    return counts


def _add(
    batch: Batch,
    sides: Sequence[Side],
    model: Model,
    explaining: Explaining,
    of_row: np.ndarray,
    names: np.ndarray,
    open_: dict[int, _Sum],
) -> None:
    """Add a batch's faces to the sums of their groups."""
    _, _, pixels, rows, reasons = batch
    for row, reason in reasons.items():
        open_.setdefault(of_row[row], _Sum()).unreadable[str(names[row])] = reason
    if not rows:
        return
    faces = rgb(pixels.numpy(), model.preprocessing)
    values: dict[str, np.ndarray] = {"face": faces}
    for side in sides:
        before = "" if side is sides[-1] else f"{side.name}/"
        for name, maps in side.place_maps(side.input(faces), explaining).items():
            values[f"{before}{name}"] = shown_part(name, maps)
            if name.startswith("grad-cam/"):
                values[f"{before}signed/{name}"] = maps
    groups = of_row[rows]
    for group in np.unique(groups):
        total = open_.setdefault(group, _Sum())
        own = groups == group
        total.images += int(own.sum())
        total.add({name: each[own] for name, each in values.items()})


def _write(
    sides: Sequence[Side], name: str, total: _Sum, folder: Path, explaining: Explaining
) -> list[str]:
    means = total.means()
    save_maps(folder / "maps.npz", means)
    face, placed = _placed(sides, means)
    rows: list[list[Any]] = [[] for _ in sides]
    for method in explaining.methods:
        shown = titled(placed, method, face.shape[:2])
        for row, more in zip(rows, panels(shown, from_zero=method == "grad-cam"), strict=True):
            row += more
    count = f"mean of {total.images} face{'s' if total.images > 1 else ''}"
    save(heat_figure(face, f"{name}\n{count}", rows), folder / "average.png")
    return ["average.png", "maps.npz"]


def _placed(
    sides: Sequence[Side], means: Mapping[str, np.ndarray]
) -> tuple[np.ndarray, dict[str, dict[str, np.ndarray]]]:
    """Return the mean face as it is shown, and each side's mean maps."""
    placed: dict[str, dict[str, np.ndarray]] = {}
    for side in sides:
        start = "" if side is sides[-1] else f"{side.name}/"
        placed[side.name] = {
            name.removeprefix(start): each
            for name, each in means.items()
            if name.startswith((f"{start}attention/", f"{start}grad-cam/"))
        }
    return np.rint(means["face"]).astype(np.uint8), placed


def _overview(
    sides: Sequence[Side],
    records: Sequence[Mapping[str, Any]],
    out: Path,
    explaining: Explaining,
) -> None:
    """Draw the largest groups side by side, in their order."""
    full = [record for record in records if record["images"]]
    if len(full) < 2:
        return
    least = sorted((record["images"] for record in full), reverse=True)[:SHOWN][-1]
    chosen = [record for record in full if record["images"] >= least][:SHOWN]
    heads, faces = [], []
    found: dict[tuple[str, str, str], list[np.ndarray]] = {}
    for record in chosen:
        with np.load(out / record["files"][-1]) as file:
            face, placed = _placed(sides, dict(file))
        heads.append(f"{record['group']}\n{record['images']} faces")
        faces.append(face)
        for method in explaining.methods:
            for side, maps in titled(placed, method, face.shape[:2]).items():
                for name, heat in maps.items():
                    found.setdefault((method, name, side), []).append(heat)
    rows = []
    for (kind, name, side), heats in found.items():
        alike = [each for (_, other, _), each in found.items() if other == name]  # of all sides
        low = 0.0 if kind == "grad-cam" else float(np.min(alike))
        high = float(np.max(alike))
        titles = [
            f"{side}{': ' if side else ''}{name}\n{low:.3g} to {high:.3g}",
            *([""] * (len(heats) - 1)),
        ]
        rows.append(
            [Panel(told, heat, low, high) for told, heat in zip(titles, heats, strict=True)]
        )
    note = "colours: blue to red as the first of each row says"
    if len(chosen) < len(full):
        note += f"; the {len(chosen)} largest of {len(full)}"
    save(overview_figure(heads, faces, rows, note), out / "averages.png")

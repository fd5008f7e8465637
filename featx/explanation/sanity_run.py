"""The sanity check of a network's maps on faces that were explained: numbers, table and figure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from featx.atomic import write_json, write_text
from featx.errors import FeatxError
from featx.explanation.choice import Explaining
from featx.explanation.figures import sanity_figure, save
from featx.explanation.index import write_index
from featx.explanation.run import enlarge, shown_part
from featx.explanation.sanity import Check, check, table
from featx.explanation.sides import Side

#: Faces that are looked at, the first of those explained; more would not change the means much.
FACES = 64

#: Pictures of the cascade that the figure shows.
_SHOWN = 6


def check_faces(
    side: Side,
    out: Path,
    records: Sequence[Mapping[str, Any]],
    explaining: Explaining,
    *,
    seed: int = 0,
    batch_size: int = 16,
    advance: Callable[[int], None] = lambda n: None,
) -> Check:
    """Check the attention and Grad-CAM maps of the faces in a folder of explanations.

    Writes ``sanity.json``, ``sanity.txt`` (the same as a table) and ``sanity.png`` there, and
    ``index.html`` with them.

    Parameters
    ----------
    side : Side
        The network.
    out : Path
        The folder; the faces are read from its ``maps.npz``.
    records : sequence of mapping
        From `featx.explanation.run.explain_images`.
    explaining : Explaining
        With attention or Grad-CAM.
    seed, advance
        As `featx.explanation.sanity.check`.
    batch_size : int
        Faces at a time.

    Raises
    ------
    FeatxError
        If there is no face.
    """
    found = [record["files"][-1] for record in records if record.get("files")][:FACES]
    if not found:
        raise FeatxError(
            "--sanity-check: no face was found to check the maps of; give other images"
        )
    faces = np.stack([_face(out / name) for name in found])
    history: list[dict[str, np.ndarray]] = []  # of the first face: trained, then draw by draw

    def mapper(module: nn.Module) -> dict[str, np.ndarray]:
        own = side.with_module(module)
        parts = [
            own.place_maps(own.input(faces[start : start + batch_size]), explaining)
            for start in range(0, len(faces), batch_size)
        ]
        maps = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        history.append({name: each[0] for name, each in maps.items()})
        return {name: _finite(name, each) for name, each in maps.items()}

    size = faces.shape[1:3]
    done = check(
        side.network, mapper, lambda name, maps: enlarge(shown_part(name, maps), size),
        images=side.input(faces[:batch_size]), seed=seed, advance=advance,
    )  # fmt: skip
    write_json(out / "sanity.json", done.describe())
    write_text(out / "sanity.txt", table(done))
    cascades = {}
    for name in done.maps:
        units = [step.drawn for step in done.steps if step.map == name]
        chosen = np.unique(np.linspace(1, len(units), _SHOWN).round().astype(int)) if units else ()
        shown = [(f"down to {units[n - 1]}", history[n][name]) for n in chosen]
        cascades[name] = [
            (title, enlarge(shown_part(name, heat), size))
            for title, heat in [("trained", history[0][name]), *shown]
        ]
    save(sanity_figure(faces[0], cascades, done), out / "sanity.png")
    write_index(out)
    return done


def _face(path: Path) -> np.ndarray:
    with np.load(path) as file:
        face: np.ndarray = file["face"]
        return face


def _finite(name: str, maps: np.ndarray) -> np.ndarray:
    if not np.isfinite(maps).all():
        raise FeatxError(f"--sanity-check: {name} is not finite; the weights are damaged")
    return maps

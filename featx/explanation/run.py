"""Explanations of what a network tells of the faces in some images: figures and raw maps."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from torch.nn import functional

from featx.atomic import writing
from featx.devices import exact_arithmetic
from featx.explanation.choice import Explaining
from featx.explanation.figures import feature_figure, filter_figure, heat_figure, panels, save
from featx.explanation.filters import first_filters
from featx.explanation.index import write_index
from featx.explanation.maps import most_varied, stage_maps
from featx.explanation.sides import Side, rgb
from featx.prediction.crop_choice import CropChoice
from featx.prediction.faces import estimate_all
from featx.prediction.images import output_names
from featx.prediction.journal import PredictionJournal
from featx.prediction.model import Model
from featx.prediction.picture import Picture

#: What a map is called in a figure, by the beginning of its name among the raw maps.
TITLES = {"attention": "", "grad-cam": "for "}


def settings(model: Model, sides: Sequence[Side], explaining: Explaining) -> dict[str, Any]:
    """Return what determines explanations of given faces, as JSON values."""
    before = [side.describe() for side in sides[:-1]]
    return {
        "model": {k: v for k, v in model.describe().items() if k != "file"},
        "before": before[0] if before else None,
        **explaining.describe(),
    }


def explain_images(
    model: Model,
    sides: Sequence[Side],
    images: Sequence[tuple[str, str]],
    out: Path,
    crops: CropChoice,
    explaining: Explaining,
    *,
    resume: bool = False,
    advance: Callable[[int], None] = lambda n: None,
) -> tuple[dict[str, int], list[dict[str, Any]]]:
    """Explain what a network tells of the largest face in each of some images.

    Parameters
    ----------
    model : Model
        The network.
    sides : sequence of Side
        From `featx.explanation.sides.sides`; the last is the network itself.
    images : sequence of (str, str)
        Ids and paths, from `featx.prediction.images.list_images`.
    out : Path
        The folder to write: ``explanations.json``, an object an image; ``index.html``, which shows
        all figures and says what each file is; ``filters.png``, if asked for; and for each image
        with a face a folder with ``attention.png``, ``features.png`` and ``grad-cam.png``, as
        asked, and the raw maps in ``maps.npz`` (see `explain_face`).
    crops : CropChoice
        How faces are found and cropped.
    explaining : Explaining
        From `featx.explanation.choice.choose`.
    resume : bool
        Take up what the folder holds; images are known by their bytes.
    advance : callable
        Told how many images more are done.

    Returns
    -------
    dict of str to int
        Counts of images, of each status, and of faces.
    list of dict
        What ``explanations.json`` tells of each image.

    Raises
    ------
    FeatxError
        If the folder is not empty (and not `resume`) or made with other settings.
    """
    made_with = {**settings(model, sides, explaining), "crops": crops.settings.describe()}
    journal = PredictionJournal(out, made_with, "images", resume=resume, command="explain")
    folders = output_names([name for name, _ in images])
    records = []
    with journal:
        of_network = write_filters(sides, out) if "filters" in explaining.methods else []
        for (name, path), folder in zip(images, folders, strict=True):
            picture = Picture(path)
            record = journal.get(name, picture.digest)
            if record is None:
                seen = picture.see(model, crops.settings)
                seen.faces = seen.faces[:1]
                estimate_all([seen], model)
                record = {"image": name, "sha256": picture.digest, **seen.describe()}
                if seen.faces:
                    told = seen.estimates[0].told()
                    (face,) = rgb(seen.faces[0].pixels[None], model.preprocessing)
                    made = explain_face(sides, face, told, out / folder, explaining)
                    record["files"] = [f"{folder}/{file}" for file in made]
                journal.note(record)
            records.append(record)
            advance(1)
        counts = journal.finish(records, crops=crops.describe(), files=of_network)
        write_index(out)
    return counts, records


def explain_face(
    sides: Sequence[Side], face: np.ndarray, title: str, folder: Path, explaining: Explaining
) -> list[str]:
    """Write the figures and raw maps of one face; returns the names of the files.

    In ``maps.npz``: ``face``, uint8 (height, width, 3), RGB, as the network sees it;
    ``attention/MODULE``, (h, w), the mean over the mask's channels; ``features/MODULE``,
    (channels, h, w), and ``channels/MODULE``, which those are; ``grad-cam/TARGET``, (h, w), with
    what speaks against the target below 0. Maps are float32, of the module's own resolution. Those
    of a network before fine-tuning have ``before/`` in front.

    Parameters
    ----------
    sides : sequence of Side
        The networks.
    face : numpy.ndarray
        uint8, (height, width, 3), RGB.
    title : str
        Above the face.
    folder : Path
        To be made.
    explaining : Explaining
        What is wanted.
    """
    raw: dict[str, np.ndarray] = {"face": face}
    figures: dict[str, Figure] = {}
    placed: dict[str, dict[str, np.ndarray]] = {}
    inputs = {side.name: side.input(face[None]) for side in sides}
    for side in sides:
        maps = side.place_maps(inputs[side.name], explaining)
        placed[side.name] = {name: heat[0] for name, heat in maps.items()}
        raw |= {f"{_prefix(sides, side)}{name}": heat for name, heat in placed[side.name].items()}
    for method in ("attention", "grad-cam"):
        if method in explaining.methods:
            rows = titled(placed, method, face.shape[:2])
            figures[method] = heat_figure(face, title, panels(rows, from_zero=method == "grad-cam"))
    if "features" in explaining.methods:
        with exact_arithmetic():
            maps_of = {
                side.name: stage_maps(side.network.module, inputs[side.name]) for side in sides
            }
        shown: dict[str, tuple[list[int], dict[str, np.ndarray]]] = {}
        for name, found in maps_of[sides[-1].name].items():
            best = most_varied(found[0], explaining.channels)
            shown[name] = (best.tolist(), {})
            raw[f"channels/{name}"] = best.cpu().numpy()
            for side in sides:
                chosen = maps_of[side.name][name][0][best].cpu().numpy()
                shown[name][1][side.name] = chosen
                raw[f"{_prefix(sides, side)}features/{name}"] = chosen
        figures["features"] = feature_figure(face, title, shown)
    order = [method for method in explaining.methods if method in figures]
    for method in order:
        save(figures[method], folder / f"{method}.png")
    save_maps(folder / "maps.npz", raw)
    return [*(f"{method}.png" for method in order), "maps.npz"]


def write_filters(sides: Sequence[Side], out: Path) -> list[str]:
    """Write the first convolution's filters, figure and raw weights; returns the files' names.

    In ``filters.npz``: ``weights``, float32 (filters, channels, height, width), channels red, green
    and blue or grey; those before fine-tuning as ``before/weights``.
    """
    found = {side.name: first_filters(side.network) for side in sides}
    save(filter_figure(found), out / "filters.png")
    raw = {f"{_prefix(sides, side)}weights": found[side.name].weights for side in sides}
    save_maps(out / "filters.npz", raw)
    return ["filters.png", "filters.npz"]


def titled(
    sides: Mapping[str, Mapping[str, np.ndarray]], method: str, size: tuple[int, ...]
) -> dict[str, dict[str, np.ndarray]]:
    """Return each side's maps of a method as they are shown, of a height and width, by title.

    Of Grad-CAM that is what speaks for the target: its ReLU.
    """
    shown: dict[str, dict[str, np.ndarray]] = {}
    for side, maps in sides.items():
        shown[side] = {}
        for name, heat in maps.items():
            kind, _, what = name.partition("/")
            if kind == method:
                shown[side][f"{TITLES[kind]}{what}"] = enlarge(shown_part(name, heat), size)
    return shown


def shown_part(name: str, maps: np.ndarray) -> np.ndarray:
    """Return what of a raw map is shown: of Grad-CAM what is above 0 (its ReLU), else all."""
    return maps.clip(min=0) if name.startswith("grad-cam/") else maps


def enlarge(maps: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """Bring maps (h, w) or (n, h, w) to a height and width, bilinearly."""
    given = torch.from_numpy(np.ascontiguousarray(maps))
    flat = given.reshape(-1, 1, *given.shape[-2:])
    large = functional.interpolate(flat, size=size, mode="bilinear")
    return large.reshape(*given.shape[:-2], *size).numpy()


def save_maps(path: Path, raw: Mapping[str, np.ndarray]) -> None:
    """Write raw maps as .npz, atomically."""
    with writing(path) as temporary, temporary.open("wb") as stream:
        np.savez_compressed(stream, **raw)  # type: ignore[arg-type]


def _prefix(sides: Sequence[Side], side: Side) -> str:
    return "" if side is sides[-1] else f"{side.name}/"

"""Explanations of what a network tells of the faces in some images: figures and raw maps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch.nn import functional

from featx.atomic import writing
from featx.devices import exact_arithmetic
from featx.errors import FeatxError, unknown
from featx.explanation.figures import feature_figure, heat_figure, save
from featx.explanation.grad_cam import Target, grad_cam, read_target
from featx.explanation.maps import attention_maps, attention_modules, most_varied, stage_maps
from featx.prediction.crop_choice import CropChoice
from featx.prediction.faces import SeenFace, estimate_all
from featx.prediction.images import output_names
from featx.prediction.journal import PredictionJournal
from featx.prediction.model import Model
from featx.prediction.picture import Picture
from featx.views import Normalise
from featx.views import crops as views

Method = Literal["attention", "features", "grad-cam"]

#: In the order in which they are made.
METHODS: tuple[Method, ...] = get_args(Method)


@dataclass(frozen=True)
class Explaining:
    """What is to be explained, and how.

    Attributes
    ----------
    methods : tuple of str
        Of `METHODS`.
    targets : tuple of Target
        What Grad-CAM explains.
    channels : int
        Feature maps a stage: those that vary most from place to place.
    """

    methods: tuple[Method, ...]
    targets: tuple[Target, ...]
    channels: int = 6

    def describe(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "methods": list(self.methods),
            "targets": [target.name for target in self.targets],
            "channels": self.channels,
        }


def choose(
    model: Model, methods: Sequence[str] = (), targets: Sequence[str] = (), channels: int = 6
) -> Explaining:
    """Check what is asked for against what a network has.

    Parameters
    ----------
    model : Model
        The network.
    methods : sequence of str
        Of `METHODS`; by default all that it can be explained by.
    targets : sequence of str
        As `read_target`; by default the expected age or, of a network without it, both genders.
    channels : int
        Feature maps a stage.

    Raises
    ------
    FeatxError
        If a method or target is unknown, or the network has no attention to show.
    """
    for method in methods:
        if method not in METHODS:
            raise unknown("method", method, METHODS)
    attentive = bool(attention_modules(model.network.module))
    if "attention" in methods and not attentive:
        raise FeatxError(
            f"{model.network.backbone.name} has no modules of attention; residual_attention has, "
            "or use --method grad-cam"
        )
    chosen = tuple(
        method
        for method in METHODS
        if method in methods or (not methods and _has(method, attentive))
    )
    specs = model.specs
    default = ("age",) if "age" in specs else specs["gender"].groups
    read = tuple(read_target(target, specs) for target in dict.fromkeys(targets or default))
    return Explaining(chosen, read if "grad-cam" in chosen else (), channels)


def _has(method: str, attentive: bool) -> bool:
    return method != "attention" or attentive


def explain_images(
    model: Model,
    images: Sequence[tuple[str, str]],
    out: Path,
    crops: CropChoice,
    explaining: Explaining,
    *,
    resume: bool = False,
    advance: Callable[[int], None] = lambda n: None,
) -> dict[str, int]:
    """Explain what a network tells of the largest face in each of some images.

    Parameters
    ----------
    model : Model
        The network.
    images : sequence of (str, str)
        Ids and paths, from `featx.prediction.images.list_images`.
    out : Path
        The folder to write: ``explanations.json``, an object an image; and for each image with a
        face a folder with ``attention.png``, ``features.png`` and ``grad-cam.png``, as asked, and
        the raw maps in ``maps.npz`` (see `explain_face`).
    crops : CropChoice
        How faces are found and cropped.
    explaining : Explaining
        From `choose`.
    resume : bool
        Take up what the folder holds; images are known by their bytes.
    advance : callable
        Told how many images more are done.

    Returns
    -------
    dict of str to int
        Counts of images, of each status, and of faces.

    Raises
    ------
    FeatxError
        If the folder is not empty (and not `resume`) or made with other settings.
    """
    settings = {
        "model": {k: v for k, v in model.describe().items() if k != "file"},
        "crops": crops.settings.describe(),
        **explaining.describe(),
    }
    journal = PredictionJournal(out, settings, "images", resume=resume, command="explain")
    folders = output_names([name for name, _ in images])
    records = []
    with journal:
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
                    made = explain_face(model, seen.faces[0], told, out / folder, explaining)
                    record["files"] = [f"{folder}/{file}" for file in made]
                journal.note(record)
            records.append(record)
            advance(1)
        return journal.finish(records, crops=crops.describe())


def explain_face(
    model: Model, face: SeenFace, title: str, folder: Path, explaining: Explaining
) -> list[str]:
    """Write the figures and raw maps of one face; returns the names of the files.

    In ``maps.npz``: ``face``, uint8 (height, width, 3), RGB, as the network sees it;
    ``attention/MODULE``, (h, w), the mean over the mask's channels; ``features/MODULE``,
    (channels, h, w), and ``channels/MODULE``, which those are; ``grad-cam/TARGET``, (h, w), with
    what speaks against the target below 0. Maps are float32, of the module's own resolution.
    """
    shown, images = _input(model, face)
    network = model.network.module
    size = shown.shape[:2]
    raw: dict[str, np.ndarray] = {"face": shown}
    figures = {}
    with exact_arithmetic():
        if "attention" in explaining.methods:
            masks = {k: v[0].cpu().numpy() for k, v in attention_maps(network, images).items()}
            raw |= {f"attention/{name}": mask for name, mask in masks.items()}
            enlarged = {name: enlarge(mask, size) for name, mask in masks.items()}
            figures["attention"] = heat_figure(shown, title, enlarged)
        if "features" in explaining.methods:
            stages = {}
            for name, maps in stage_maps(network, images).items():
                best = most_varied(maps[0], explaining.channels)
                stages[name] = (best.tolist(), maps[0][best].cpu().numpy())
                raw |= {
                    f"features/{name}": stages[name][1],
                    f"channels/{name}": np.array(stages[name][0]),
                }
            figures["features"] = feature_figure(shown, title, stages)
        if "grad-cam" in explaining.methods:
            layer, speaking = model.network.backbone.last_conv, {}
            for target in explaining.targets:
                found = grad_cam(network, layer, images, partial(target.score, model.heads))
                heat = found[0].cpu().numpy()
                raw[f"grad-cam/{target.name}"] = heat
                speaking[f"for {target.name}"] = enlarge(heat.clip(min=0), size)
            figures["grad-cam"] = heat_figure(shown, title, speaking, from_zero=True)
    for method, figure in figures.items():
        save(figure, folder / f"{method}.png")
    with writing(folder / "maps.npz") as temporary, temporary.open("wb") as stream:
        np.savez_compressed(stream, **raw)  # type: ignore[arg-type]
    return [*(f"{method}.png" for method in figures), "maps.npz"]


def enlarge(heat: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """Bring a map (h, w) to a height and width, bilinearly."""
    given = torch.from_numpy(heat)[None, None]
    return functional.interpolate(given, size=size, mode="bilinear")[0, 0].numpy()


def _input(model: Model, face: SeenFace) -> tuple[np.ndarray, torch.Tensor]:
    """Return the face as the network sees it, in RGB, and its input (1, 3, height, width)."""
    preprocessing = model.preprocessing
    pixels = torch.tensor(face.pixels).permute(2, 0, 1)[None]
    (middle,) = views(pixels, preprocessing.input_size)
    shown = middle[0].permute(1, 2, 0).numpy()
    if preprocessing.channels == "BGR":
        shown = shown[..., ::-1]
    return np.ascontiguousarray(shown), Normalise(preprocessing, model.device)(pixels)

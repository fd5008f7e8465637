"""All faces of image files, folder or archive: predictions, and annotated pictures."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image

from featx.archives import is_archive
from featx.atomic import writing
from featx.datasets.listing import ImageFiles
from featx.errors import FeatxError
from featx.prediction.crop_choice import CropChoice
from featx.prediction.drawing import draw_faces
from featx.prediction.faces import BATCH, Seen, estimate_all
from featx.prediction.journal import PredictionJournal
from featx.prediction.model import Model
from featx.prediction.picture import Picture
from featx.prediction.table import write_csv
from featx.preparation import crop_names

#: Pixels of pictures that wait together for the network; more would cost memory, not save time.
_WAITING = 50_000_000

_QUALITY = 92  # of the annotated JPEGs


@dataclass(frozen=True)
class Done:
    """What a run came to.

    Attributes
    ----------
    counts : dict of str to int
        Images or frames, of each status, and faces, earlier runs' included.
    pictures, faces : int
        Images or frames that this run went through, and faces that its network was shown.
    seconds : float
        That this took, reading, drawing and writing included.
    records : list of dict
        What ``predictions.json`` tells of each.
    """

    counts: dict[str, int]
    pictures: int
    faces: int
    seconds: float
    records: list[dict[str, Any]]


def list_images(sources: Sequence[str | Path]) -> list[tuple[str, str]]:
    """Return an id and a path for each image of files, folders and archives.

    An image of a folder or archive is known by its path in it, a file by its path as given.

    Raises
    ------
    FeatxError
        If a source is not there or a folder holds no image.
    """
    found: dict[str, str] = {}
    for source in map(Path, sources):
        if source.is_dir() or (is_archive(source) and source.is_file()):
            files = ImageFiles(source)
            if not len(files):
                raise FeatxError(f"{source} holds no images; give a folder that does")
            several = len(sources) > 1
            for name in files.names:
                found[str(source / name) if several else name] = files.joined(name)
        elif source.is_file():
            found[str(source)] = str(source)
        else:
            raise FeatxError(f"{source} is not there; give an image, a folder or a video")
    return list(found.items())


@dataclass
class _Waiting:
    """Pictures that have been looked at and wait for the network."""

    names: list[str] = field(default_factory=list)
    digests: list[str] = field(default_factory=list)
    images: list[Image.Image | None] = field(default_factory=list)
    seen: list[Seen] = field(default_factory=list)

    def add(self, name: str, digest: str, image: Image.Image | None, seen: Seen) -> None:
        self.names.append(name)
        self.digests.append(digest)
        self.images.append(image)
        self.seen.append(seen)

    @property
    def faces(self) -> int:
        return sum(len(seen.faces) for seen in self.seen)

    @property
    def pixels(self) -> int:
        return sum(image.width * image.height for image in self.images if image is not None)


def predict_images(
    model: Model,
    images: Sequence[tuple[str, str]],
    out: Path,
    crops: CropChoice,
    *,
    pictures: bool = True,
    batch_size: int = BATCH,
    mirror: bool = True,
    precision: str = "fp32",
    resume: bool = False,
    advance: Callable[[int], None] = lambda n: None,
) -> Done:
    """Estimate all faces of some images.

    Parameters
    ----------
    model : Model
        The network.
    images : sequence of (str, str)
        Ids and paths, from `list_images`.
    out : Path
        The folder to write: ``predictions.json``, an object an image with its faces inside;
        ``predictions.csv``, a row a face; ``pictures/``, each image with a face, annotated.
    crops : CropChoice
        How faces are found and cropped.
    pictures : bool
        Whether annotated pictures are wanted.
    batch_size : int
        Faces that go through the network together.
    mirror, precision
        As `Model.estimate`.
    resume : bool
        Take up what the folder holds; images are known by their bytes.
    advance : callable
        Told how many images more are done.

    Raises
    ------
    FeatxError
        If the folder is not empty (and not `resume`) or made with other settings, or the detector
        is not installed.
    """
    settings = describe_settings(model, crops, mirror, precision, pictures)
    journal = PredictionJournal(out, settings, "images", resume=resume)
    names = [name for name, _ in images]
    targets = {n: f"pictures/{own}.jpg" for n, own in zip(names, output_names(names), strict=True)}
    waiting = _Waiting()
    looked = faces = 0
    start = time.monotonic()

    def tell() -> int:
        told = estimate_all(waiting.seen, model, mirror=mirror, precision=precision)
        everything = zip(waiting.names, waiting.digests, waiting.images, waiting.seen, strict=True)
        for name, digest, image, seen in everything:
            width, height = (None, None) if image is None else image.size
            record: dict[str, Any] = {"image": name, "sha256": digest}
            record |= {"width": width, "height": height, **seen.describe()}
            if image is not None and seen.faces and pictures:
                record["files"] = [targets[name]]
                with writing(out / targets[name]) as temporary:
                    drawn = draw_faces(image, record["faces"])
                    drawn.save(temporary, format="JPEG", quality=_QUALITY)
            done[name] = record
            journal.note(record)
        advance(len(waiting.names))
        return told

    done: dict[str, dict[str, Any]] = {}
    with journal:
        for name, path in images:
            picture = Picture(path)
            known = journal.get(name, picture.digest)
            if known is not None:
                done[name] = known
                advance(1)
                continue
            looked += 1
            seen = picture.see(model, crops.settings)
            waiting.add(name, picture.digest, picture.image, seen)
            if waiting.faces >= batch_size or waiting.pixels >= _WAITING:
                faces += tell()
                waiting = _Waiting()
        faces += tell()
        seconds = time.monotonic() - start
        records = [done[name] for name in names]
        write_csv(out / "predictions.csv", records, "images")
        counts = journal.finish(records, crops=crops.describe())
    return Done(counts, looked, faces, seconds, records)


def describe_settings(
    model: Model, crops: CropChoice, mirror: bool, precision: str, pictures: bool
) -> dict[str, Any]:
    """Return what determines predictions, as JSON values; equal where they would be."""
    return {
        "model": {k: v for k, v in model.describe().items() if k != "file"},
        "crops": crops.settings.describe(),
        "mirror": mirror,
        "precision": precision,
        "pictures": pictures,
    }


def output_names(images: Sequence[str]) -> list[str]:
    """Return a name for each image's own output, the shortest that tells all apart.

    It is that of the image's file without its ending, or with it, or the whole id.

    Whatever a file system might not bear is replaced, as `featx.preparation.crop_names` does.
    """
    choices = [Path(name).stem for name in images], [Path(name).name for name in images]
    apart = [own for own in choices if len({name.lower() for name in own}) == len(images)]
    names = crop_names(pd.Series([*apart, list(images)][0], dtype=str))
    return [Path(name).name.removesuffix(".png") for name in names]

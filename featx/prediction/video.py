"""All faces of a video file or a camera: predictions frame by frame, and an annotated video."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from featx.errors import FeatxError
from featx.prediction.crop_choice import CropChoice
from featx.prediction.drawing import draw_faces
from featx.prediction.estimates import told_of
from featx.prediction.faces import Seen, estimate_all, see
from featx.prediction.frames import Frames, VideoFile
from featx.prediction.images import Done, describe_settings
from featx.prediction.journal import PredictionJournal
from featx.prediction.model import Model
from featx.prediction.table import write_csv

#: Of a file: frames whose faces go through the network together, and frames held meanwhile. Of a
#: camera it is one, for what is shown should be of now.
_TOGETHER = 8
_HELD = 32

#: Number of the frame, its time in seconds, the frame.
Numbered = tuple[int, float, Image.Image]


def predict_video(
    model: Model,
    source: str,
    out: Path,
    crops: CropChoice,
    *,
    camera: bool = False,
    every: int = 1,
    frames: int | None = None,
    pictures: bool = True,
    mirror: bool = True,
    precision: str = "fp32",
    resume: bool = False,
    advance: Callable[[int], None] = lambda n: None,
    say: Callable[[str], None] = lambda line: None,
) -> Done:
    """Estimate all faces of a video.

    Parameters
    ----------
    model : Model
        The network.
    source : str
        A video file; or a camera's number or device path, or a file that stands in for one.
    out : Path
        The folder to write: ``predictions.json``, an object a frame with its faces inside;
        ``predictions.csv``, a row a face; ``annotated.mp4``, every frame, with the last faces drawn
        on those that were not looked at.
    crops : CropChoice
        How faces are found and cropped.
    camera : bool
        Whether the source is a camera: it ends with Ctrl-C, and all until then is kept.
    every : int
        Look at every so many frames.
    frames : int, optional
        Stop after so many, looked at or not.
    pictures : bool
        Whether the annotated video is wanted.
    mirror, precision
        As `Model.estimate`.
    resume : bool
        Take up what the folder holds: frames that were looked at are not again.
    advance : callable
        Told how many frames more are done.
    say : callable
        Told the faces of each frame that is looked at, in a line.

    Raises
    ------
    FeatxError
        If the video cannot be opened, or as `featx.prediction.images.predict_images`.
    """
    if camera and resume:
        raise FeatxError("a camera does not show the same again: leave out --resume")
    with Frames(source, camera=camera) as reading:
        settings = {
            **describe_settings(model, crops, mirror, precision, pictures),
            "source": f"camera {source}" if camera else _digest(source),
            "every": every,
            "frames": frames,
        }
        journal = PredictionJournal(out, settings, "frames", resume=resume)
        start = time.monotonic()
        with journal:
            video = VideoFile(out / "annotated", reading.size, reading.rate) if pictures else None
            run = _Run(model, crops, journal, video, every, mirror, precision, say)
            # Ctrl-C is how a camera ends; a video file that is broken off is to be resumed
            ending = contextlib.suppress(KeyboardInterrupt) if camera else contextlib.nullcontext()
            with video or contextlib.nullcontext(), ending:
                numbered = ((n, *rest) for n, rest in enumerate(itertools.islice(reading, frames)))
                for group in _groups(numbered, every, 1 if camera else _TOGETHER):
                    run.tell(group, by_the_clock=camera)
                    advance(len(group))
            seconds = time.monotonic() - start
            write_csv(out / "predictions.csv", run.records, "frames")
            counts = journal.finish(
                run.records,
                crops=crops.describe(),
                video={
                    "source": source,
                    "width": reading.size[0],
                    "height": reading.size[1],
                    "rate": reading.rate,
                    "frames": run.shown,
                },
            )
    return Done(counts, run.shown, run.faces, seconds, run.records)


@dataclass
class _Run:
    """A video on its way: what was told of each frame so far."""

    model: Model
    crops: CropChoice
    journal: PredictionJournal
    video: VideoFile | None
    every: int
    mirror: bool
    precision: str
    say: Callable[[str], None]
    records: list[dict[str, Any]] = field(default_factory=list)
    faces: int = 0
    shown: int = 0

    def tell(self, group: list[Numbered], *, by_the_clock: bool) -> None:
        """Look at the frames of a group that are wanted, and show all of them."""
        fresh: dict[int, Seen] = {}
        for number, _, image in group:
            if number % self.every == 0 and self.journal.get(number) is None:
                fresh[number] = see(image, self.model, self.crops.settings)
        self.faces += estimate_all(
            list(fresh.values()), self.model, mirror=self.mirror, precision=self.precision
        )
        for number, seconds, image in group:
            if number % self.every == 0:
                self._note(number, seconds, fresh.get(number))
            if self.video is not None:
                drawn = draw_faces(image, self.records[-1]["faces"])
                self.video.write(drawn, at=seconds if by_the_clock else None)
            self.shown += 1

    def _note(self, number: int, seconds: float, seen: Seen | None) -> None:
        record = self.journal.get(number)
        if seen is not None:
            record = {"frame": number, "seconds": round(seconds, 4), **seen.describe()}
            self.journal.note(record)
        assert record is not None
        self.records.append(record)
        self.say(f"{record['seconds']:.2f} s: {told_of(record)}")


def _groups(numbered: Iterator[Numbered], every: int, together: int) -> Iterator[list[Numbered]]:
    """Yield runs of frames of which at most `together` are to be looked at."""
    group: list[Numbered] = []
    wanted = 0
    for item in numbered:
        group.append(item)
        wanted += item[0] % every == 0
        if wanted >= together or len(group) >= (_HELD if together > 1 else 1):
            yield group
            group, wanted = [], 0
    if group:
        yield group


def _digest(source: str) -> str:
    try:
        with Path(source).open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise FeatxError(f"cannot read {source}: {error.strerror or error}") from None

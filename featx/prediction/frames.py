"""Frames out of a video file or a camera, and into an annotated video, by OpenCV."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from PIL import Image

from featx.atomic import publish
from featx.errors import FeatxError

#: What a video file's name ends with, in lower case.
VIDEO_EXTENSIONS = frozenset(
    {
        *(".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".flv"),
        *(".mts", ".m2ts", ".ts", ".ogv", ".3gp"),
    }
)

#: Frames a second of what does not tell, as cameras may not.
RATE = 25.0

#: The codecs that are tried for the annotated video, and the container of each. The first plays
#: nearly everywhere; the second is built into OpenCV, whatever it was compiled with.
_CODECS = (("mp4v", ".mp4"), ("MJPG", ".avi"))


def opencv() -> Any:
    """Return the module cv2.

    Raises
    ------
    FeatxError
        If it is not installed.
    """
    try:
        import cv2
    except ImportError as error:
        raise FeatxError(f"video needs OpenCV ({error}): pip install 'featx[video]'") from error
    return cv2


class Frames:
    """The frames of a video file or a camera, as RGB images.

    Parameters
    ----------
    source : str
        A file, or a camera's number or device path.
    camera : bool
        Whether it is a camera, or a file that stands in for one.

    Attributes
    ----------
    size : tuple of int
        Width and height, pixels.
    rate : float
        Frames a second, as the file or camera says.

    Raises
    ------
    FeatxError
        If OpenCV is not installed, or cannot open the source or read a first frame.
    """

    def __init__(self, source: str, *, camera: bool = False) -> None:
        self.source, self.camera = source, camera
        self._opencv = opencv()
        number = camera and source.isdigit()
        if not number and not Path(source).exists():
            raise FeatxError(f"{source} is not there; give a {'camera' if camera else 'video'}")
        with _quiet(self._opencv):
            self._capture = self._opencv.VideoCapture(int(source) if number else source)
            opened = self._capture.isOpened()
            there, frame = self._capture.read() if opened else (False, None)
        if not there or frame is None:
            self._capture.release()
            what = f"camera {source}" if number else source
            raise FeatxError(
                f"{what} cannot be opened as a video by OpenCV; "
                + ("check that the camera is there and free" if camera else "convert it to MP4")
            )
        if number:  # what is read should be of now, however long the frame before took
            self._capture.set(self._opencv.CAP_PROP_BUFFERSIZE, 1)
        self._first: np.ndarray | None = frame
        height, width = frame.shape[:2]
        self.size = (width, height)
        rate = float(self._capture.get(self._opencv.CAP_PROP_FPS))
        self.rate = rate if 0 < rate <= 1000 else RATE

    def total(self) -> int:
        """Return how many frames a file says that it has; 0 where that is not known."""
        if self.camera:
            return 0
        return max(0, int(self._capture.get(self._opencv.CAP_PROP_FRAME_COUNT)))

    def __iter__(self) -> Iterator[tuple[float, Image.Image]]:
        """Yield each frame's time, in seconds, and the frame; once, to the end or to `close`.

        The time is since the first frame: by the rate in a file, by the clock from a camera.
        """
        frame, number, start = self._first, 0, time.monotonic()
        self._first = None
        while frame is not None:
            seconds = time.monotonic() - start if self.camera else number / self.rate
            yield seconds, Image.fromarray(np.ascontiguousarray(frame[..., ::-1]))
            number += 1
            with _quiet(self._opencv):
                there, frame = self._capture.read()
            frame = frame if there else None

    def __enter__(self) -> Frames:
        """Return the frames, whose source is let go of at the block's end."""
        return self

    def __exit__(self, *_: object) -> None:
        """Let go of the source."""
        self._capture.release()


class VideoFile:
    """A video that is written frame by frame, and has its name only once it is whole.

    Parameters
    ----------
    stem : Path
        Its path without the ending, which follows from the codec.
    size : tuple of int
        Width and height, pixels.
    rate : float
        Frames a second.

    Attributes
    ----------
    path : Path
        Its final path.
    written : int
        Frames so far.

    Raises
    ------
    FeatxError
        If OpenCV has none of the codecs, or the folder cannot be written.
    """

    def __init__(self, stem: Path, size: tuple[int, int], rate: float) -> None:
        self._opencv = opencv()
        self._size, self._rate = size, rate
        self._last: np.ndarray | None = None
        self.written = 0
        stem.parent.mkdir(parents=True, exist_ok=True)
        for codec, ending in _CODECS:
            self.path = stem.with_name(f"{stem.name}{ending}")
            # the container is known by the name's end, so that `featx.atomic.writing` will not do
            self._partial = stem.with_name(f".{stem.name}.partial{ending}")
            with _quiet(self._opencv):
                self._writer = self._opencv.VideoWriter(
                    str(self._partial), self._opencv.VideoWriter_fourcc(*codec), rate, size
                )
                if self._writer.isOpened():
                    return
                self._writer.release()
        raise FeatxError(
            f"cannot write {self.path}: OpenCV has no codec for it, or the folder cannot be "
            "written; use --no-pictures for predictions without a video"
        )

    def write(self, image: Image.Image, at: float | None = None) -> None:
        """Add a frame.

        Parameters
        ----------
        image : PIL.Image.Image
            RGB; one of another size than the video's is resized.
        at : float, optional
            When it was seen, in seconds; the frame before it is shown until then. So what a slow
            machine sees of a camera plays at the speed at which it was seen.
        """
        if image.size != self._size:  # of a camera that changed its mode
            image = image.resize(self._size)
        pixels = np.ascontiguousarray(np.asarray(image)[..., ::-1])
        if at is not None and self._last is not None:
            for _ in range(int(at * self._rate) - self.written):
                self._add(self._last)
        self._add(pixels)
        self._last = pixels

    def _add(self, pixels: np.ndarray) -> None:
        self._writer.write(pixels)
        self.written += 1

    def __enter__(self) -> VideoFile:
        """Return the file, finished at the block's end."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Give the file its name or, after an error, remove it."""
        self._writer.release()
        try:
            if kind is None:
                publish(self._partial, self.path)
        except OSError as failure:
            raise FeatxError(
                f"cannot write {self.path}: {failure.strerror or failure}"
            ) from failure
        finally:
            self._partial.unlink(missing_ok=True)


@contextlib.contextmanager
def _quiet(cv2: Any) -> Iterator[None]:
    """Keep OpenCV and FFmpeg from writing to stderr; what is wrong is told in one line."""
    former = os.environ.get("OPENCV_FFMPEG_LOGLEVEL")
    os.environ["OPENCV_FFMPEG_LOGLEVEL"] = "-8"  # FFmpeg's AV_LOG_QUIET
    logging = cv2.utils.logging
    level = logging.getLogLevel()
    logging.setLogLevel(logging.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        logging.setLogLevel(level)
        if former is None:
            os.environ.pop("OPENCV_FFMPEG_LOGLEVEL", None)
        else:
            os.environ["OPENCV_FFMPEG_LOGLEVEL"] = former

"""Face crops from disk to batches of the network's input size, in table order."""

from __future__ import annotations

import multiprocessing
import multiprocessing.util
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch
from PIL import Image
from torch.nn.functional import interpolate
from torch.utils.data import DataLoader, Dataset

from featx.backbones import Preprocessing
from featx.errors import FeatxError
from featx.images import MAX_PIXELS, ImageError, read_rgb

#: How `fit` brings an image to the network's size, for the provenance.
RESIZE_RULE = "centre crop to the input's aspect ratio, then antialiased bilinear resize by torch"


def fit(image: Image.Image, size: tuple[int, int], channels: str = "RGB") -> np.ndarray:
    """Crop an image around its centre to the aspect ratio of `size`, and resize it.

    A five-point aligned face of 112 × 112 pixels gives 112 × 96 networks exactly its columns 8 to
    104, which is the alignment that they are trained with; a square stays whole for square input.

    torch resizes 8-bit pixels in vectors, in a fraction of Pillow's time; the two differ by
    rounding, 1 of 255.

    Parameters
    ----------
    image : PIL.Image.Image
        RGB, of any size.
    size : tuple of int
        Height and width, in pixels.
    channels : {"RGB", "BGR"}
        The order of the channels that are returned.

    Returns
    -------
    ndarray of shape (height, width, 3), uint8
    """
    height, width = size
    crop_width = min(image.width, max(1, round(image.height * width / height)))
    crop_height = min(image.height, max(1, round(image.width * height / width)))
    left = (image.width - crop_width) // 2
    top = (image.height - crop_height) // 2
    middle = image.crop((left, top, left + crop_width, top + crop_height))
    encoded = bytearray(middle.tobytes("raw", channels))  # writable, as torch wants all memory
    pixels = np.frombuffer(encoded, np.uint8).reshape(crop_height, crop_width, 3)
    if (crop_height, crop_width) == size:
        return pixels
    batch = torch.from_numpy(pixels)[None].permute(0, 3, 1, 2)  # channels last in memory
    resized = interpolate(batch, size, mode="bilinear", antialias=True)
    return resized.permute(0, 2, 3, 1)[0].numpy()


def pixel_array(image: Image.Image, preprocessing: Preprocessing) -> np.ndarray:
    """Bring an RGB image to a network's size and order of channels: uint8 (height, width, 3)."""
    pixels = fit(image, preprocessing.decoded_size, preprocessing.channels)
    return np.ascontiguousarray(pixels)


def packed(paths: Iterable[str]) -> np.ndarray:
    """Return paths as bytes in one block, for worker processes would come to copy a list of them.

    Returns
    -------
    numpy.ndarray
        Bytes, shape (paths,).
    """
    return np.array([path.encode("utf-8", "surrogateescape") for path in paths])


class Crops(Dataset[tuple[int, np.ndarray | None, str]]):
    """The rows of an image table as pixel arrays; unusable rows are not opened.

    Parameters
    ----------
    paths : sequence of str, or numpy.ndarray
        An image file a row; in an array as of `packed`.
    usable : numpy.ndarray
        bool, shape (rows,).
    preprocessing : Preprocessing
        For the size and the order of channels.
    max_pixels : int
        Larger images are refused before they are decoded.
    """

    def __init__(
        self,
        paths: Sequence[str] | np.ndarray,
        usable: np.ndarray,
        preprocessing: Preprocessing,
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        self._paths = paths if isinstance(paths, np.ndarray) else packed(paths)
        self._usable = usable
        self._preprocessing = preprocessing
        self._max_pixels = max_pixels

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self._paths)

    def __getitem__(self, row: int) -> tuple[int, np.ndarray | None, str]:
        """Return the row, its pixels (height, width, 3) uint8 or None, and why there are none."""
        if not self._usable[row]:
            return row, None, ""
        path = bytes(self._paths[row]).decode("utf-8", "surrogateescape")
        try:
            image = read_rgb(path, self._max_pixels)
        except ImageError as error:
            return row, None, str(error)
        return row, pixel_array(image, self._preprocessing), ""


#: First row, row after the last, pixels (k, height, width, 3) uint8 of the rows that could be
#: read, those rows, and the reason for each row that should have been readable and was not.
Batch = tuple[int, int, torch.Tensor, list[int], dict[int, str]]


def _collate(items: list[tuple[int, np.ndarray | None, str]]) -> Batch:
    pixels = [image for _, image, _ in items if image is not None]
    stacked = torch.from_numpy(np.stack(pixels)) if pixels else torch.empty(0, dtype=torch.uint8)
    rows = [row for row, image, _ in items if image is not None]
    reasons = {row: reason for row, _, reason in items if reason}
    return items[0][0], items[-1][0] + 1, stacked, rows, reasons


def batches(
    crops: Crops,
    batch_size: int,
    *,
    rows: range | None = None,
    workers: int = 0,
    pin: bool = False,
) -> Iterator[Batch]:
    """Return the batches in order; they are cut at multiples of `batch_size`, whichever are wanted.

    Processes begin to decode at once, before the first batch is asked for.

    Parameters
    ----------
    crops : Crops
        The rows.
    batch_size : int
        Rows a batch, unusable ones counted.
    rows : range, optional
        The rows that are wanted, in one run; the batches that hold the first and the last come
        whole. All by default.
    workers : int
        Processes that decode; 0 decodes here.
    pin : bool
        Whether pixels go into page-locked memory, for copies to a GPU.

    Raises
    ------
    FeatxError
        If a worker process dies.
    """
    wanted = range(len(crops)) if rows is None else rows
    first = wanted.start // batch_size * batch_size
    cuts = [
        range(begin, min(begin + batch_size, len(crops)))
        for begin in range(first, wanted.stop, batch_size)
    ]
    count = min(workers, len(cuts))
    if count:
        _shorten_sockets()
    loader = DataLoader(
        crops,
        batch_sampler=cuts,  # type: ignore[arg-type]
        collate_fn=_collate,
        num_workers=count,
        multiprocessing_context=_starting() if count else None,
        pin_memory=pin,
    )
    return _telling_deaths(iter(loader))


def _telling_deaths(loaded: Iterator[Batch]) -> Iterator[Batch]:
    try:
        yield from loaded
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise FeatxError(
            "a process that reads images was killed, most likely for want of memory; use fewer "
            "--workers or a smaller --batch-size, and --resume"
        ) from error


def _shorten_sockets() -> None:
    """Let processes meet in /tmp where the path of a socket in TMPDIR would be too long.

    Linux takes 107 bytes (unix(7)), of which multiprocessing's names in the folder need 32. Beyond
    that torch's workers fail where nobody looks, and who waits for them waits for ever.
    """
    if len(os.fsencode(tempfile.gettempdir())) <= 107 - 32:
        return
    former, tempfile.tempdir = tempfile.tempdir, "/tmp"  # mkdtemp makes a folder in it  # nosec B108
    try:
        multiprocessing.util.get_temp_dir()  # made once; processes that are started take it over
    except OSError as error:
        raise FeatxError(
            f"TMPDIR is too long for sockets ({former}), and /tmp cannot be written; set TMPDIR to "
            "a shorter path, or give --workers 0"
        ) from error
    finally:
        tempfile.tempdir = former


def _starting() -> str | None:
    """Return how a loader's processes start where Python's own way would fail, else None.

    joblib's processes start others in joblib's way, which knows nothing of torch's.
    """
    return "fork" if multiprocessing.get_start_method(allow_none=True) == "loky" else None

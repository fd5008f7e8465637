"""Image files to upright 8-bit RGB, whatever mode they were saved in."""

from __future__ import annotations

import threading
import warnings
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, UnidentifiedImageError

from featx.archives import open_binary
from featx.errors import FeatxError

__all__ = ["EXTENSIONS", "FORMATS", "MAX_PIXELS", "ImageError", "read_rgb"]

#: Pillow's own bound on what is no decompression bomb: 1 GiB / 4 / 3 pixels.
MAX_PIXELS = 89_478_485

#: The formats that are read. A closed list, for some of Pillow's others (EPS) run a program.
FORMATS = (
    *("JPEG", "MPO", "PNG", "TIFF", "WEBP", "BMP", "DIB", "GIF", "PPM", "JPEG2000"),
    *("AVIF", "TGA", "PCX", "SGI", "ICO"),
)

#: What an image file's name ends with, in lower case.
EXTENSIONS = frozenset(
    {
        *(".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".tif", ".tiff", ".webp", ".bmp"),
        *(".dib", ".gif", ".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".j2k", ".avif", ".tga"),
        *(".pcx", ".sgi", ".ico"),
    }
)

# EXIF 2.32, tag 0x0112: how the stored rows and columns have to be turned to be upright.
_ORIENTATION = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

_limit = threading.Lock()


class ImageError(Exception):
    """An image that cannot be used; the message is a short reason, ``kind: detail``."""


def read_rgb(path: str | Path, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Read an image file as upright 8-bit RGB.

    EXIF orientation is applied. Grey, palette and 1-bit images become RGB; 16-bit grey is scaled
    by 255/65535; transparent images are laid on white, as a viewer shows them; CMYK and YCCK JPEGs
    are read by Adobe's inverted convention and converted without colour management; of an animated
    image the first frame is taken.

    Parameters
    ----------
    path : str or Path
        The image file, or its path in an archive (`featx.archives`).
    max_pixels : int
        An image with more pixels is refused before it is decoded.

    Returns
    -------
    PIL.Image.Image
        Mode ``RGB``, fully loaded.

    Raises
    ------
    ImageError
        If the file is missing, empty, truncated, too large, or no image in a known format.
    """
    with warnings.catch_warnings():
        # Pillow warns of odd metadata in images that it reads well enough.
        warnings.simplefilter("ignore")
        try:
            with open_binary(path) as stream, _open(stream, max_pixels) as image:
                if image.width * image.height > max_pixels:
                    raise ImageError(
                        f"too large: {image.width} x {image.height} pixels, "
                        f"more than {max_pixels} (--max-pixels)"
                    )
                image.load()
                return _rgb(_upright(image))
        except ImageError:
            raise
        except Image.DecompressionBombError:
            raise ImageError(f"too large: more than {max_pixels} pixels (--max-pixels)") from None
        except FileNotFoundError:
            raise ImageError("not there") from None
        except UnidentifiedImageError:
            raise ImageError("not an image: format unknown") from None
        except FeatxError as error:
            raise ImageError(f"cannot be read: {error}") from None
        except OSError as error:
            if error.errno is not None:
                raise ImageError(f"cannot be read: {error.strerror}") from None
            raise ImageError(f"damaged: {_one_line(error)}") from None
        except Exception as error:  # a damaged file makes Pillow's plugins raise nearly anything
            raise ImageError(f"damaged: {_one_line(error)}") from None


def _open(stream: BinaryIO, max_pixels: int) -> Image.Image:
    if not stream.read(1):
        raise ImageError("empty file")
    stream.seek(0)
    Image.init()
    formats = [name for name in FORMATS if name in Image.OPEN]
    with _limit:  # Pillow's bound is a global of its module
        former, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, max_pixels
        try:
            return Image.open(stream, formats=formats)
        finally:
            Image.MAX_IMAGE_PIXELS = former


def _upright(image: Image.Image) -> Image.Image:
    try:
        turn = _UPRIGHT.get(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # unreadable EXIF says nothing about the pixels
        return image
    return image if turn is None else image.transpose(turn)


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16"):
        return _from_levels(np.asarray(image).astype(np.float64), 65535)
    if image.mode == "I":
        # Pillow's container for 16-bit PNG and PGM; a 32-bit image shows itself by its values.
        levels = np.asarray(image).astype(np.float64)
        deep = bool(levels.max() > 65535 or levels.min() < 0)
        return _from_levels(levels % 2**32 if deep else levels, 2**32 - 1 if deep else 65535)
    if image.mode == "F":
        levels = np.asarray(image).astype(np.float64)
        if not np.isfinite(levels).all():
            raise ImageError("damaged: pixels that are not finite")
        return _from_levels(levels, 1 if levels.max() <= 1 else 255)
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        white = Image.new("RGBA", layer.size, "white")
        return Image.alpha_composite(white, layer).convert("RGB")
    return image.convert("RGB") if image.mode != "RGB" else image.copy()


def _from_levels(levels: np.ndarray, white: float) -> Image.Image:
    grey = np.rint(levels * (255 / white)).clip(0, 255).astype(np.uint8)
    return Image.fromarray(grey).convert("RGB")


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__

"""Small pictures that stand inside the page."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np

SIDE = 96  # pixels, at most


def thumbnail(path: str | Path) -> str:
    """Return a picture as a ``data:`` URI: JPEG, 96 pixels at most, pixels and nothing else.

    Raises
    ------
    OSError
        If there is no picture that can be read; the message says why.
    """
    # Pillow takes a tenth of a second to import, and most reports show no picture
    from PIL import Image

    from featx.images import ImageError, read_rgb

    try:
        picture = read_rgb(path)
    except ImageError as error:
        raise OSError(str(error)) from None
    picture.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    bare = Image.fromarray(np.asarray(picture))  # without comment, EXIF and colour profile
    out = io.BytesIO()
    bare.save(out, format="JPEG", quality=82, optimize=True)
    return f"data:image/jpeg;base64,{base64.b64encode(out.getvalue()).decode('ascii')}"

"""An image file on its way: known by its bytes, decoded only where it has to be looked at."""

from __future__ import annotations

import hashlib

from PIL import Image

from featx.archives import open_binary
from featx.errors import FeatxError
from featx.faces.cropper import CropSettings
from featx.images import ImageError, read_rgb
from featx.prediction.faces import Seen, see
from featx.prediction.model import Model


class Picture:
    """An image file.

    Parameters
    ----------
    path : str
        The file, or its path in an archive.

    Attributes
    ----------
    digest : str
        SHA-256 of its bytes; empty where they cannot be read.
    image : PIL.Image.Image or None
        Once `see` could decode it.
    """

    def __init__(self, path: str) -> None:
        self.path, self.digest, self._reason = path, "", ""
        self.image: Image.Image | None = None
        try:
            with open_binary(path) as stream:
                self.digest = hashlib.file_digest(stream, "sha256").hexdigest()  # type: ignore[arg-type]
        except (OSError, ValueError, FeatxError) as error:
            self._reason = f"cannot be read: {getattr(error, 'strerror', None) or error}"

    def see(self, model: Model, settings: CropSettings) -> Seen:
        """Decode it and find its faces; one that cannot be read is ``corrupt``, with the reason."""
        if self._reason:
            return Seen("corrupt", self._reason)
        try:
            self.image = read_rgb(self.path, settings.max_pixels)
        except ImageError as error:
            return Seen("corrupt", str(error))
        return see(self.image, model, settings)

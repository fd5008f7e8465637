"""Where the file of some weights is: named, in the torch hub's cache, or downloaded into it."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from featx.backbones import Backbone, Weights
from featx.checkpoints import PICKLES, SAFETENSORS
from featx.errors import FeatxError, unknown

#: Seconds without a byte after which a download is given up.
DOWNLOAD_TIMEOUT = 30.0


def locate(backbone: Backbone, weights: str) -> Path:
    """Return the file that holds some weights, downloading a registered set if need be.

    Raises
    ------
    FeatxError
        If the name is neither registered nor a file, or the set cannot be downloaded.
    """
    published = backbone.weights.get(weights)
    if published is not None:
        return _cached(backbone, weights, published)
    path = Path(weights).expanduser()
    if path.is_file():
        return path
    if path.is_dir():
        raise FeatxError(f"--weights {weights} is a folder; give the weights file itself")
    if path.suffix.lower() in SAFETENSORS + PICKLES or len(path.parts) > 1:
        raise FeatxError(f"--weights {weights} is not there; check the path")
    raise unknown(f"weights for {backbone.name}", weights, [*backbone.weights, "random"])


def _cached(backbone: Backbone, name: str, published: Weights) -> Path:
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    path = folder / published.file
    if path.is_file():
        return path
    digits = f" (SHA-256 {published.sha256}…)" if published.sha256 else ""
    digits = digits.replace("…", "") if len(published.sha256) == 64 else digits
    wanted = f"put {published.file}{digits} into {folder}"
    if published.url is None:
        raise FeatxError(
            f"weights {name!r} of {backbone.name} are not on this machine and have no public "
            f"address: {wanted}, or give the file with --weights FILE"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _timeout(DOWNLOAD_TIMEOUT):
            torch.hub.download_url_to_file(
                published.url,
                str(path),
                hash_prefix=published.sha256 or None,
                progress=sys.stderr.isatty(),
            )
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "reason", None) or error
        raise FeatxError(
            f"cannot download weights {name!r} of {backbone.name} from {published.url} "
            f"({reason}); {wanted}"
        ) from error
    return path


@contextmanager
def _timeout(seconds: float) -> Iterator[None]:
    former = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(former)

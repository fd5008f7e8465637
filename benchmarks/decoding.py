"""How soon a JPEG is a network's input, by one process and in several ways.

    python benchmarks/decoding.py

featx is `featx.images.read_rgb` and `featx.loading.pixel_array`: Pillow, decoded whole, cropped
around the centre and resized by torch's antialiased bilinear filter. The others keep crop and
filter, or come as near as they can: the same with Pillow's filter; Pillow with `draft`, by which
libjpeg decodes at a half, a quarter or an eighth where that is still no smaller than the input;
torchvision's `decode_image` and `resize`; and OpenCV with `INTER_AREA`, whole and reduced, where it
is installed. Each has one thread.

Sources are made-up pictures (seed 0; smooth, with noise and edges) of quality 90, read from files
that the system holds in memory. All ways take turns. Times are the least of the turns; the ratio is
of featx's time over the way's. Differences are to featx's pixels, of 255.
"""

from __future__ import annotations

import importlib.util
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
from PIL import Image, ImageOps
from side_by_side import machine

from featx.backbones import get_backbone
from featx.images import read_rgb
from featx.loading import fit, pixel_array

Way = Callable[[Path], np.ndarray]

#: Sizes of sources, width and height.
_SIZES = ("112x112", "250x250", "1024x768", "4000x3000")

_SIDE = 224


def make_picture(path: Path, width: int, height: int) -> None:
    """Write a made-up JPEG."""
    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(0, 256, (9, 12, 3), dtype=np.uint8))
    pixels = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC)).astype(np.int16)
    pixels = pixels + rng.integers(-8, 9, (height, width, 1))
    pixels[height // 3 : height // 2, width // 4 : width // 2] //= 3  # edges
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path, quality=90)


def drafted(path: Path) -> np.ndarray:
    """Decode at a fraction that covers the input, then crop and resize as featx does."""
    with Image.open(path) as image:
        # the crop is a square of the shorter side, so that side decides on the fraction
        scale = _SIDE / min(image.size)
        image.draft("RGB", (round(image.width * scale), round(image.height * scale)))
        return fit(image.convert("RGB"), (_SIDE, _SIDE))


def by_pillow(path: Path) -> np.ndarray:
    """Decode whole, crop and resize by Pillow."""
    return np.asarray(ImageOps.fit(read_rgb(path), (_SIDE, _SIDE), Image.Resampling.BILINEAR))


def by_torchvision(path: Path) -> np.ndarray:
    """Decode whole by libjpeg-turbo, resize by torch, antialiased."""
    from torchvision.io import ImageReadMode, decode_image
    from torchvision.transforms.v2.functional import center_crop, resize

    image = decode_image(str(path), ImageReadMode.RGB)
    square = center_crop(image, [min(image.shape[1:])] * 2)
    fitted = resize(square, [_SIDE, _SIDE], antialias=True)
    return np.ascontiguousarray(fitted.numpy().transpose(1, 2, 0))


def by_opencv(reduced: bool) -> Way:
    """Return how OpenCV does it, decoding the picture whole or at a fraction."""
    import cv2

    cv2.setNumThreads(1)
    fractions = [
        (8, cv2.IMREAD_REDUCED_COLOR_8),
        (4, cv2.IMREAD_REDUCED_COLOR_4),
        (2, cv2.IMREAD_REDUCED_COLOR_2),
    ]

    def decode(path: Path) -> np.ndarray:
        flag = cv2.IMREAD_COLOR
        if reduced:
            with Image.open(path) as image:  # reads the header only
                short = min(image.size)
            flag = next((mode for part, mode in fractions if short // part >= _SIDE), flag)
        image = cv2.imread(str(path), flag)
        side = min(image.shape[:2])
        top, left = (image.shape[0] - side) // 2, (image.shape[1] - side) // 2
        square = image[top : top + side, left : left + side]
        how = cv2.INTER_AREA if side > _SIDE else cv2.INTER_LINEAR
        return cv2.cvtColor(
            cv2.resize(square, (_SIDE, _SIDE), interpolation=how), cv2.COLOR_BGR2RGB
        )

    return decode


def ways() -> dict[str, Way]:
    """Return all ways by name, featx's first."""
    import torch

    torch.set_num_threads(1)
    preprocessing = get_backbone("vgg16").preprocessing
    found: dict[str, Way] = {
        "featx": lambda path: pixel_array(read_rgb(path), preprocessing),
        "Pillow's filter": by_pillow,
        "Pillow, draft": drafted,
        "torchvision": by_torchvision,
    }
    if importlib.util.find_spec("cv2"):
        found |= {"OpenCV": by_opencv(reduced=False), "OpenCV, reduced": by_opencv(reduced=True)}
    return found


def seconds(way: Way, path: Path, times: int) -> float:
    """Return how long one image takes."""
    start = time.perf_counter()
    for _ in range(times):
        way(path)
    return (time.perf_counter() - start) / times


@click.command(help=__doc__)
@click.option("--size", "sizes", multiple=True, default=_SIZES, show_default=True)
@click.option("--turns", default=7, show_default=True)
@click.option("--budget", default=0.5, show_default=True, help="Seconds a turn, about.")
def main(sizes: tuple[str, ...], turns: int, budget: float) -> None:
    click.echo(f"{machine()}; to {_SIDE}x{_SIDE}, {turns} turns\n")
    click.echo("| source | way | images/s | ratio | greatest difference | mean |")
    click.echo("| --- | --- | ---: | ---: | ---: | ---: |")
    with tempfile.TemporaryDirectory() as folder:
        for size in sizes:
            path = Path(folder) / f"{size}.jpg"
            make_picture(path, *map(int, size.split("x")))
            _compare(size, path, turns, budget)


def _compare(size: str, path: Path, turns: int, budget: float) -> None:
    tried = ways()
    pixels = {name: way(path).astype(int) for name, way in tried.items()}
    times = max(1, round(budget / seconds(tried["featx"], path, 1)))
    taken = [{name: seconds(way, path, times) for name, way in tried.items()} for _ in range(turns)]
    least = {name: min(turn[name] for turn in taken) for name in tried}
    for name in tried:
        difference = np.abs(pixels[name] - pixels["featx"])
        click.echo(
            f"| {size} | {name} | {1 / least[name]:,.1f} | {least['featx'] / least[name]:.2f} | "
            f"{difference.max()} | {difference.mean():.2f} |"
        )


if __name__ == "__main__":
    main()

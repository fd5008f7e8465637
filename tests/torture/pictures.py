"""Bad images: a row for each, with its reason, and no crash."""

from __future__ import annotations

import io
import os
import random
import struct
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from featx.images import EXTENSIONS
from featx.manifest import STATUSES, read_table
from tests.torture.kills import Outcome
from tests.torture.processes import Command


def corpus(folder: Path, face: Path, *, step: int, mutants: int, seed: int) -> int:
    """Write bad images in great variety below a folder; returns how many.

    Parameters
    ----------
    folder : Path
        Made here.
    face : Path
        A good JPEG, of which most are made.
    step : int
        The good one is cut at every `step`-th byte.
    mutants : int
        So many copies of images of several formats get random bytes changed.
    seed : int
        Of the changes.
    """
    folder.mkdir(parents=True)
    content, draw = face.read_bytes(), random.Random(seed)
    for at in range(0, len(content), step):
        (folder / f"cut-{at:06d}.jpg").write_bytes(content[:at])
    image = Image.open(face).convert("RGB")
    small = image.resize((64, 64))
    for name, picture, options in _odd(image, small):
        picture.save(folder / name, **options)
    for wrong in ("face.png", "face.gif", "face.webp", "face.tif"):
        (folder / wrong).write_bytes(content)
    (folder / "text.jpg").write_text("no image")
    (folder / "archive.png").write_bytes(b"PK\x03\x04" + bytes(200))
    (folder / "bomb.png").write_bytes(_png_header(60000, 60000) + bytes(64))
    (folder / "wide.png").write_bytes(_png_of_zeros(65535, 1))
    (folder / "tall.png").write_bytes(_png_of_zeros(1, 65535))
    for turn in range(0, 10):
        exif = Image.Exif()
        exif[0x0112] = turn
        small.save(folder / f"turned-{turn}.jpg", exif=exif.tobytes())
    for kind in ("JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "PPM", "JPEG2000", "TGA", "PCX"):
        stream = io.BytesIO()
        small.save(stream, kind)
        for number in range(mutants):
            changed = bytearray(stream.getvalue())
            for _ in range(draw.choice((1, 1, 4, 32))):
                changed[draw.randrange(len(changed))] = draw.randrange(256)
            (folder / f"mutant-{kind.lower()}-{number}.{_ENDING[kind]}").write_bytes(changed)
    _names(folder, content)
    return sum(1 for each in _images(folder))


_ENDING = {
    **dict(JPEG="jpg", PNG="png", GIF="gif", WEBP="webp", TIFF="tif", BMP="bmp", PPM="ppm"),
    **dict(JPEG2000="jp2", TGA="tga", PCX="pcx"),
}


def _odd(
    image: Image.Image, small: Image.Image
) -> list[tuple[str, Image.Image, dict[str, object]]]:
    deep = Image.fromarray(np.linspace(0, 65535, 64 * 64).astype(np.uint16).reshape(64, 64))
    return [
        ("one.png", Image.new("RGB", (1, 1)), {}),
        ("one.jpg", Image.new("L", (1, 1)), {}),
        ("line.png", Image.new("RGB", (3, 2000)), {}),
        ("cmyk.jpg", image.convert("CMYK"), {}),
        ("grey.jpg", image.convert("L"), {}),
        ("palette.png", image.convert("P"), {}),
        ("bits.tif", image.convert("1"), {}),
        ("alpha.png", image.convert("RGBA"), {}),
        ("clear.png", Image.new("RGBA", (64, 64), (0, 0, 0, 0)), {}),
        ("deep.png", deep, {}),
        ("deep.tif", deep, {}),
        ("float.tif", Image.fromarray(np.full((64, 64), np.nan, np.float32)), {}),
        ("moves.gif", small, {"save_all": True, "append_images": [small.rotate(9)] * 5}),
        ("moves.webp", small, {"save_all": True, "append_images": [small.rotate(9)] * 5}),
        ("black.png", Image.new("RGB", (300, 300)), {}),
    ]


def _names(folder: Path, content: bytes) -> None:
    """Write files with names that programs stumble over, links that go round, and no files."""
    for name in (
        "new\nline.jpg",
        'quote".jpg',
        "comma,.jpg",
        " space .jpg",
        "-o.jpg",
        "é\u0301.jpg",
    ):
        (folder / name).write_bytes(content)
    (folder / ("n" * 251 + ".jpg")).write_bytes(content)
    (folder / os.fsdecode(b"bytes-\xff\xfe.jpg")).write_bytes(content)  # no UTF-8
    (folder / "loop").symlink_to(folder)
    (folder / "itself.jpg").symlink_to("itself.jpg")
    (folder / "nowhere.jpg").symlink_to("nothing")
    (folder / "folder.jpg").mkdir()
    os.mkfifo(folder / "pipe.jpg")


def _images(folder: Path) -> list[bytes]:
    """Return what is named as an image and is no folder, links whatever they lead to."""
    endings = tuple(ending.encode() for ending in EXTENSIONS)
    return [
        entry.name
        for entry in os.scandir(os.fsencode(folder))
        if entry.name.lower().endswith(endings) and (entry.is_symlink() or not entry.is_dir())
    ]


def _chunk(kind: bytes, content: bytes) -> bytes:
    checked = kind + content
    return struct.pack(">I", len(content)) + checked + struct.pack(">I", zlib.crc32(checked))


def _png_header(width: int, height: int) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + _chunk(
        b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    )


def _png_of_zeros(width: int, height: int) -> bytes:
    rows = zlib.compress((b"\0" + bytes(3 * width)) * height)
    return _png_header(width, height) + _chunk(b"IDAT", rows) + _chunk(b"IEND", b"")


def pictures(folder: Path, face: Path, *, step: int, mutants: int, seed: int) -> Outcome:
    """Prepare a corpus of bad images: every one keeps its row."""
    outcome = Outcome("bad images, prepare")
    count = corpus(folder / "corpus", face, step=step, mutants=mutants, seed=seed)
    out = folder / "out"
    words = ["prepare", "folder", str(folder / "corpus"), "--crop", "aligned", "-o", str(out)]
    command = Command(words, folder)
    status, problems = command.wait(), []
    if status != 0:
        return _all_lost(outcome, count, f"ended with {status}:\n{command.text}")
    table = read_table(out / "images.csv")
    if len(table) != count:
        problems.append(f"{len(table)} rows of {count} images")
    for row in table.itertuples():
        wrong = []
        if row.status not in STATUSES:
            wrong.append(f"{row.image}: status {row.status!r}")
        if row.status == "corrupt" and not row.reason:
            wrong.append(f"{row.image}: no reason")
        if row.status == "ok" and not (out / row.crop).is_file():
            wrong.append(f"{row.image}: no crop")
        outcome.take(wrong, str(row.status))
    outcome.problems += problems
    outcome.survived -= bool(problems)
    return outcome


def _all_lost(outcome: Outcome, count: int, problem: str) -> Outcome:
    outcome.rounds, outcome.problems = count, [problem]
    return outcome


def many_files(folder: Path, count: int) -> Outcome:
    """List a folder of very many images."""
    outcome = Outcome(f"{count:,} images in one folder, prepare --dry-run")
    (folder / "many").mkdir(parents=True)
    for number in range(count):
        (folder / "many" / f"{number}.jpg").touch()
    words = ["prepare", "folder", str(folder / "many"), "--dry-run", "-o", str(folder / "out")]
    command = Command(words, folder)
    status = command.wait()
    told = pd.Series(command.text).str.contains(f"{count} images").any()
    outcome.take([] if status == 0 and told else [f"ended with {status}: {command.text[-300:]}"])
    return outcome

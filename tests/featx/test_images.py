"""Decoding, each mode against the same picture known in plain RGB."""

import contextlib
import io
import subprocess
import sys
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from featx.images import ImageError, read_rgb

RED_GREEN = np.zeros((8, 12, 3), np.uint8)
RED_GREEN[:, :6, 0] = 220
RED_GREEN[:4, 6:, 1] = 180


@pytest.fixture
def saved(tmp_path):
    def save(image, name="picture.png", **options):
        image.save(tmp_path / name, **options)
        return tmp_path / name

    return save


def pixels(path, **options):
    image = read_rgb(path, **options)
    assert image.mode == "RGB"
    return np.asarray(image)


def test_rgb_is_unchanged(saved):
    assert (pixels(saved(Image.fromarray(RED_GREEN))) == RED_GREEN).all()


# EXIF's eight orientations, by what they do to rows and columns (EXIF 2.32, table 6).
STORED = {
    1: lambda upright: upright,
    2: lambda upright: upright[:, ::-1],
    3: lambda upright: upright[::-1, ::-1],
    4: lambda upright: upright[::-1],
    5: lambda upright: upright.swapaxes(0, 1),
    6: lambda upright: np.rot90(upright),
    7: lambda upright: upright[::-1, ::-1].swapaxes(0, 1),
    8: lambda upright: np.rot90(upright, -1),
}


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("suffix", ["png", "tiff", "jpg"])
def test_exif_orientation(saved, orientation, suffix):
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = np.ascontiguousarray(STORED[orientation](RED_GREEN))
    options = {"quality": 100, "subsampling": 0} if suffix == "jpg" else {}
    path = saved(Image.fromarray(stored), f"turned.{suffix}", exif=exif, **options)
    found = pixels(path)
    assert found.shape == RED_GREEN.shape
    assert np.abs(found.astype(int) - RED_GREEN).max() <= (20 if suffix == "jpg" else 0)


def test_unreadable_exif_is_ignored(saved):
    path = saved(Image.fromarray(RED_GREEN), "odd.png", exif=b"Exif\0\0not a TIFF header at all")
    assert (pixels(path) == RED_GREEN).all()


@pytest.mark.parametrize("mode", ["L", "1", "P", "LA"])
def test_grey_modes_become_rgb(saved, mode):
    grey = Image.fromarray(RED_GREEN).convert("L").point(lambda level: 255 * (level > 100))
    found = pixels(saved(grey.convert(mode)))
    assert (found == np.asarray(grey)[..., None]).all()


def test_palette_colours(saved):
    palette = Image.fromarray(RED_GREEN).quantize(4)
    assert (pixels(saved(palette, "p.gif")) == np.asarray(palette.convert("RGB"))).all()


def test_transparency_is_laid_on_white(saved):
    rgba = np.dstack([RED_GREEN, np.full(RED_GREEN.shape[:2], 255, np.uint8)])
    rgba[0, :, 3] = 0
    rgba[1, :, 3] = 51  # a fifth
    expected = RED_GREEN.astype(float)
    expected[0] = 255
    expected[1] = 0.2 * expected[1] + 0.8 * 255
    found = pixels(saved(Image.fromarray(rgba)))
    assert np.abs(found - expected).max() <= 1


def test_palette_with_a_transparent_colour(saved):
    palette = Image.fromarray(RED_GREEN).quantize(4)
    found = pixels(saved(palette, transparency=palette.getpixel((11, 7))))
    assert (found[7, 11] == 255).all()
    assert (found[0, 0] == palette.convert("RGB").getpixel((0, 0))).all()


LEVELS = np.array([[0, 257, 32896, 65535], [128, 129, 40000, 255]], np.uint16)


@pytest.mark.parametrize("name", ["deep.png", "deep.tiff"])
def test_sixteen_bit_grey_is_scaled(saved, name):
    found = pixels(saved(Image.fromarray(LEVELS), name))
    assert (found == np.rint(LEVELS / 257)[..., None]).all()


def test_sixteen_bit_pgm_is_scaled(tmp_path):
    path = tmp_path / "deep.pgm"
    path.write_bytes(b"P5 4 2 65535\n" + LEVELS.astype(">u2").tobytes())
    assert (pixels(path) == np.rint(LEVELS / 257)[..., None]).all()


def test_big_endian_sixteen_bit_tiff(saved):
    levels = np.array([[0, 65535, 25700]], ">u2")
    found = pixels(saved(Image.frombytes("I;16B", (3, 1), levels.tobytes()), "big.tiff"))
    assert found[0, :, 0].tolist() == [0, 255, 100]


@pytest.mark.parametrize("white", [1.0, 255.0])
def test_float_grey(saved, white):
    found = pixels(saved(Image.fromarray(np.float32([[0, 0.2 * white, white]])), "float.tiff"))
    assert found[0, :, 0].tolist() == [0, 51, 255]


def test_float_grey_that_is_not_finite(saved):
    with pytest.raises(ImageError, match="not finite"):
        read_rgb(saved(Image.fromarray(np.float32([[0, np.nan]])), "nan.tiff"))


def test_cmyk_jpeg_keeps_its_colours(saved):
    # Pillow writes Adobe's convention (inverted, APP14 marker) and so do Photoshop and cameras.
    path = saved(Image.fromarray(RED_GREEN).convert("CMYK"), "c.jpg", quality=100, subsampling=0)
    with Image.open(path) as raw:
        assert raw.mode == "CMYK"
        assert raw.info["adobe_transform"] in (0, 2)
    assert np.abs(pixels(path).astype(int) - RED_GREEN).max() <= 20


def test_first_frame_of_an_animation(saved):
    frames = [Image.new("RGB", (5, 4), colour) for colour in ("red", "blue")]
    for name in ("moving.gif", "moving.webp"):
        path = saved(frames[0], name, save_all=True, append_images=frames[1:], lossless=True)
        assert pixels(path)[0, 0].tolist() == pytest.approx([255, 0, 0], abs=2)


def jpeg_bytes():
    stream = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(stream, "JPEG")
    return stream.getvalue()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty file"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image"),
        (b"path,age\na.png,3\n", "not an image"),
        (jpeg_bytes()[:2000], "damaged: "),
    ],
)
def test_damaged_files(tmp_path, content, reason):
    path = tmp_path / "odd.jpg"
    path.write_bytes(content)
    with pytest.raises(ImageError, match=reason) as caught:
        read_rgb(path)
    assert "\n" not in str(caught.value)
    assert str(tmp_path) not in str(caught.value)


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(ImageError, match="not there"):
        read_rgb(tmp_path / "none.png")
    with pytest.raises(ImageError, match="cannot be read"):
        read_rgb(tmp_path)


@given(
    cut=st.integers(0, 3000), flips=st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 255)))
)
@settings(max_examples=60, deadline=None)
def test_any_damage_is_an_image_error_or_an_image(tmp_path_factory, cut, flips):
    content = bytearray(jpeg_bytes())
    for place, value in flips:
        content[place % len(content)] = value
    path = tmp_path_factory.mktemp("damage") / "odd.jpg"
    path.write_bytes(content[:-cut] if cut else content)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with contextlib.suppress(ImageError):
            assert read_rgb(path).mode == "RGB"


def test_too_many_pixels_are_refused_before_decoding(saved, monkeypatch):
    path = saved(Image.new("1", (10_000, 10_000)))
    monkeypatch.setattr(Image.Image, "convert", lambda *_: pytest.fail("decoded"))
    former = Image.MAX_IMAGE_PIXELS
    for limit in (89_478_485, 10_000_000):  # above, and more than twice above: Pillow's bomb
        with pytest.raises(ImageError, match="too large"):
            read_rgb(path, limit)
    assert former == Image.MAX_IMAGE_PIXELS


def test_the_bound_itself_passes(saved):
    path = saved(Image.new("L", (20, 10)))
    assert read_rgb(path, 200).size == (20, 10)
    with pytest.raises(ImageError, match=r"20 x 10 pixels, more than 199"):
        read_rgb(path, 199)


def test_nothing_on_the_console(tmp_path):
    path = tmp_path / "odd.tiff"
    Image.fromarray(RED_GREEN).save(path)
    path.write_bytes(path.read_bytes()[:-40])
    code = (
        f"from featx.images import read_rgb\ntry: read_rgb({str(path)!r})\nexcept Exception: pass"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")

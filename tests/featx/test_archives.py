"""Archives left packed."""

import io
import multiprocessing
import os
import tarfile
import zipfile
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from featx.archives import Files, exists, open_binary
from featx.errors import FeatxError
from featx.images import ImageError, read_rgb
from tests.featx.datasets.miniatures import pack


def fill(folder, contents):
    for name, data in contents.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


NAMES = st.text(
    st.characters(codec="utf-8", exclude_characters="/\\\0:.", exclude_categories=("Cc", "Cs")),
    min_size=1,
    max_size=12,
)


@given(
    contents=st.dictionaries(
        st.lists(NAMES, min_size=1, max_size=3).map("/".join), st.binary(max_size=300), min_size=1
    )
)
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_folder_zip_and_tar_hold_the_same(tmp_path_factory, contents):
    names = set(contents)
    if any(name != other and other.startswith(f"{name}/") for name in names for other in names):
        return  # a file cannot be a folder too
    for kind in ("folder", "zip", "tar"):
        folder = fill(tmp_path_factory.mktemp("x") / "set", contents)
        files = Files(pack(folder, kind))
        top = "" if kind == "folder" else "set/"
        assert files.names == sorted(top + name for name in contents)
        for name, data in contents.items():
            assert files.read(top + name) == data
            assert exists(files.joined(top + name))
        assert not exists(files.path / top / "nowhere" / "x")


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_many_readers_at_once(tmp_path, kind):
    rng = np.random.default_rng(0)
    contents = {f"{n:03d}.bin": rng.bytes(20_000) for n in range(40)}
    files = Files(pack(fill(tmp_path / "set", contents), kind))
    paths = [files.joined(f"set/{name}") for name in contents] * 5
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(read, paths)) == list(contents.values()) * 5
    with multiprocessing.get_context("fork").Pool(4) as pool:
        assert pool.map(read, paths, chunksize=1) == list(contents.values()) * 5


def read(path):
    with open_binary(path) as stream:
        return stream.read()


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_images(tmp_path, kind):
    noise = np.random.default_rng(0).integers(0, 256, (8, 6, 3), np.uint8)
    data = io.BytesIO()
    Image.fromarray(noise).save(data, "PNG")
    path = pack(fill(tmp_path / "set", {"a.png": data.getvalue(), "b.png": b""}), kind)
    assert (np.asarray(read_rgb(path / "set" / "a.png")) == noise).all()
    with pytest.raises(ImageError, match="empty file"):
        read_rgb(path / "set" / "b.png")
    with pytest.raises(ImageError, match="not there"):
        read_rgb(path / "set" / "c.png")


@pytest.mark.parametrize("kind", ["folder", "tar"])
def test_names_that_are_no_utf8(tmp_path, kind):
    """Old collections have names in Latin-1; a table is UTF-8."""
    folder = fill(tmp_path / "set", {"plain": b"1", r"\xe4": b"2"})
    odd = folder / os.fsdecode(b"M\xfcnchen")
    odd.mkdir()
    (odd / os.fsdecode(b"K\xe4the")).write_bytes(b"3")
    files = Files(folder if kind == "folder" else pack(folder, kind))
    names = [name.removeprefix("set/") for name in files.names]
    assert names == [r"M\xfcnchen/K\xe4the", r"\xe4", "plain"]
    paths = [files.joined(name) for name in files.names]
    assert [read(path) for path in paths] == [b"3", b"2", b"1"]
    assert all(map(exists, paths))
    assert not exists(files.joined(r"M\xfcnchen/K\xe5the"))
    if kind == "folder":
        (alone,) = Files(odd).names
        assert read(path := Files(odd).joined(alone)) == b"3"
        assert path.encode().endswith(rb"/set/M\xfcnchen/K\xe4the")


def test_an_archive_that_is_replaced_is_read_anew(tmp_path):
    path = pack(fill(tmp_path / "set", {"a": b"old"}), "zip")
    assert read(path / "set/a") == b"old"
    path.unlink()
    pack(fill(tmp_path / "set", {"a": b"newer"}), "zip")
    assert read(path / "set/a") == b"newer"


def test_a_folder_may_be_named_like_an_archive(tmp_path):
    fill(tmp_path / "set.zip", {"a": b"1"})
    assert Files(tmp_path / "set.zip").names == ["a"]
    assert read(tmp_path / "set.zip" / "a") == b"1"


def test_what_systems_add_is_left_out(tmp_path):
    names = ["x/a.jpg", "x/.DS_Store", "__MACOSX/x/._a.jpg"]
    path = pack(fill(tmp_path / "set", dict.fromkeys(names, b"1")), "zip")
    assert Files(path).names == ["set/x/a.jpg"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.tar.gz", b"", "is compressed as a whole.*unpack it, or repack it as .tar or .zip"),
        ("x.zip", b"PK not really", "is damaged .*fetch it again"),
        ("x.tar", b"no archive at all, but long enough to be read as a header" * 20, "is damaged"),
        ("x.txt", b"text", r"is no folder and no archive \(.zip, .tar\)"),
    ],
)
def test_unusable_archives(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(FeatxError, match=message) as caught:
        Files(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)


def test_a_bad_member_is_one_bad_image(tmp_path):
    """A flipped byte in one member: that image is damaged, the others are read."""
    path = tmp_path / "x.zip"
    good = io.BytesIO()
    Image.new("RGB", (9, 9), "red").save(good, "BMP")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("a.bmp", good.getvalue())
        archive.writestr("b.bmp", good.getvalue())
    data = bytearray(path.read_bytes())
    data[100] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(ImageError, match="CRC"):
        read_rgb(path / "a.bmp")
    assert read_rgb(path / "b.bmp").size == (9, 9)


def test_a_tar_that_is_cut_short(tmp_path):
    path = tmp_path / "x.tar"
    with tarfile.open(path, "w") as archive:
        for name in ("a", "b"):
            info = tarfile.TarInfo(name)
            info.size = 5000
            archive.addfile(info, io.BytesIO(bytes(5000)))
    path.write_bytes(path.read_bytes()[:7000])
    with pytest.raises(FeatxError, match=r"x\.tar is damaged .*fetch it again"):
        Files(path)


def test_an_encrypted_archive_is_told_once(tmp_path):
    path = pack(fill(tmp_path / "set", {"a.png": b"1", "b.png": b"2"}), "zip")
    data = bytearray(path.read_bytes())
    for signature, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        start = data.find(signature)
        while start >= 0:
            data[start + flags] |= 1
            start = data.find(signature, start + 4)
    path.write_bytes(data)
    with pytest.raises(FeatxError, match=r"set\.zip is encrypted; unpack it with its password"):
        Files(path)

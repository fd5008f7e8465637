"""Sets that are labelled by their images' names, as folders and left packed."""

import pytest

from featx.archives import open_binary
from featx.datasets import dataset_names, read_dataset
from featx.errors import FeatxError
from tests.featx.datasets.miniatures import pack, pictures

SETS = {
    "agedb": {
        "0_MariaCallas_35_f.jpg": ("MariaCallas", 35, "female"),
        "1234_José O'Neil_7_m.jpg": ("José O'Neil", 7, "male"),
        "16516_X_Y_101_f.jpg": ("X_Y", 101, "female"),
        "notes_35.jpg": None,
    },
    "cacd": {
        "14_Aaron_Johnson_0001.jpg": ("Aaron_Johnson", 14, ""),
        "62_Robin_Williams_0031.jpg": ("Robin_Williams", 62, ""),
        "Robin_Williams_0031.jpg": None,
    },
    "utkface": {
        "1_0_2_20161219140530307.jpg.chip.jpg": ("", 1, "male"),
        "116_1_4_20170112213500903.jpg.chip.jpg": ("", 116, "female"),
        "24_0_1_20170116220224657 .jpg.chip.jpg": ("", 24, "male"),
        "55_0_0_20170116232725357jpg.chip.jpg": ("", 55, "male"),
        "61_1_20170109142408075.jpg.chip.jpg": None,
        "39_1_20170116174525125.jpg.chip.jpg": None,
        "117_1_0_20170112213500903.jpg.chip.jpg": None,
    },
    "afad": {
        "15/111/292943-1.jpg": ("", 15, "male"),
        "40/112/7.jpg": ("", 40, "female"),
        "40/113/8.jpg": None,
        "112/9.jpg": None,  # below a folder that is no age
    },
    "all-age-faces": {
        "00000A02.jpg": ("", 2, "female"),
        "07380A80.jpg": ("", 80, "female"),
        "07381A02.jpg": ("", 2, "male"),
        "13321A75.jpg": ("", 75, "male"),
        "0A2.jpg": None,
    },
    "fgnet": {
        "001A02.JPG": ("001", 2, ""),
        "082A69b.JPG": ("082", 69, ""),
        "family.JPG": None,
    },
}


@pytest.mark.parametrize("kind", ["folder", "zip", "tar"])
@pytest.mark.parametrize("name", SETS)
def test_labels_by_name(tmp_path, name, kind):
    expected = SETS[name]
    path = pack(pictures(tmp_path / "Set" / "inner", *expected).parent, kind)
    table = read_dataset(name, path)
    assert table["path"].tolist() == [str(path / place) for place in inner(path, expected)]
    for row in table.to_dict("records"):
        labels = expected[row["path"].partition("/inner/")[2]]
        assert row["dataset"] == name
        assert (row["status"] == "ok") == (labels is not None)
        if labels:
            assert (row["subject"], row["age"], row["gender"]) == labels
            assert row["reason"] == ""
        else:
            assert row["reason"].startswith("malformed name: not like ")
        with open_binary(row["path"]) as stream:
            assert stream.read(2) == b"\xff\xd8"  # a JPEG's first bytes


def inner(path, names):
    above = "inner" if path.is_dir() else "Set/inner"
    return [f"{above}/{name}" for name in sorted(names)]


def test_utkface_in_the_wild_and_in_parts(tmp_path):
    pictures(tmp_path, "part1/100_0_0_2.jpg", "part2/1_0_0_3.jpg", "part3/1_0_0_3.jpg")
    table = read_dataset("utkface", tmp_path)
    assert table["image"].tolist() == ["100_0_0_2", "part2/1_0_0_3.jpg", "part3/1_0_0_3.jpg"]
    assert set(table["status"]) == {"ok"}


def test_all_age_faces_takes_the_original_images(tmp_path):
    pictures(tmp_path / "original images", "00000A02.jpg", "00001A03.jpg")
    pictures(tmp_path / "aglined faces", "00000A02.jpg", "00001A03.jpg")
    table = read_dataset("all-age-faces", tmp_path)
    assert table["image"].tolist() == ["00000A02", "00001A03"]
    assert all("/original images/" in path for path in table["path"])


@pytest.mark.parametrize("name", SETS)
def test_a_place_without_images_is_told(tmp_path, name):
    with pytest.raises(FeatxError, match=rf"{tmp_path} holds no images; those of {name}"):
        read_dataset(name, tmp_path)


def test_every_reader_is_named_in_the_help():
    from cli.prepare import prepare

    told = prepare.help.split()
    assert {name for name in dataset_names() if name not in told} <= {"appa-real-apparent"}
    assert "appa-real-apparent" in prepare.help

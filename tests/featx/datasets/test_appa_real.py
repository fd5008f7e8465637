"""APPA-REAL's release: real ages and guessed ones."""

import pytest

from featx.datasets import read_dataset
from featx.errors import FeatxError
from tests.featx.datasets.miniatures import appa_real, pack

PARTS = {
    "train": [("000000.jpg", 4, 5.03), ("000001.jpg", 18, 20.5)],
    "valid": [("004113.jpg", 60, 55.25)],
    "test": [("005613.jpg", 90, 88.0)],
}


@pytest.mark.parametrize("kind", ["folder", "zip", "tar"])
@pytest.mark.parametrize(
    ("name", "ages"),
    [("appa-real", [4, 18, 60, 90]), ("appa-real-apparent", [5.03, 20.5, 55.25, 88])],
)
def test_both_ages(tmp_path, kind, name, ages):
    path = pack(appa_real(tmp_path / "appa-real-release", PARTS), kind)
    table = read_dataset(name, path)
    assert table["age"].tolist() == ages
    assert table["image"].tolist() == [
        "train/000000",
        "train/000001",
        "valid/004113",
        "test/005613",
    ]
    assert table["fold"].tolist() == ["train", "train", "valid", "test"]
    assert set(table["status"]) == {"ok"}
    assert all(path.endswith("_face.jpg") for path in table["path"])


def test_without_the_faces_the_pictures_are_taken(tmp_path):
    appa_real(tmp_path, PARTS)
    for path in tmp_path.rglob("*_face.jpg"):
        path.unlink()
    (tmp_path / "valid" / "004113.jpg").unlink()
    table = read_dataset("appa-real", tmp_path)
    assert table["path"][0].endswith("000000.jpg")
    assert table["status"].tolist() == ["ok", "ok", "corrupt", "ok"]


def test_foreign_files(tmp_path):
    with pytest.raises(FeatxError, match=r"holds no gt_avg_train\.csv"):
        read_dataset("appa-real", tmp_path)
    (tmp_path / "gt_avg_train.csv").write_text("file_name,age\n")
    with pytest.raises(FeatxError, match=r"gt_avg_train\.csv has no column real_age"):
        read_dataset("appa-real", tmp_path)

"""FG-NET's layout, made up."""

import pytest
from PIL import Image

from featx.datasets import dataset_names, read_dataset
from featx.datasets.generate import generate_fgnet
from featx.errors import FeatxError


def touch(folder, *names):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        Image.new("L", (4, 4)).save(folder / name, "PNG")


def test_names_give_subject_and_age(tmp_path):
    touch(tmp_path, "002A04.JPG", "001A43b.JPG", "001A43a.jpg", "082A00.png")
    table = read_dataset("fgnet", tmp_path)
    assert table["image"].tolist() == ["001A43a", "001A43b", "002A04", "082A00"]
    assert table["subject"].tolist() == ["001", "001", "002", "082"]
    assert table["age"].tolist() == [43, 43, 4, 0]
    assert set(table["dataset"]) == {"fgnet"}
    assert set(table["status"]) == {"ok"}


@pytest.mark.parametrize("inner", ["images", "Images", "IMAGES"])
def test_the_folder_above(tmp_path, inner):
    touch(tmp_path / inner, "001A02.JPG")
    (tmp_path / "labels.csv").write_text("path,age\n")
    table = read_dataset("fgnet", tmp_path)
    assert table["path"].tolist() == [str(tmp_path / inner / "001A02.JPG")]


def test_other_names_are_kept_and_told(tmp_path):
    touch(tmp_path, "001A02.JPG", "family.JPG", "1A.JPG", ".001A03.JPG")
    (tmp_path / "Thumbs.db").write_text("")
    table = read_dataset("fgnet", tmp_path).set_index("image")
    assert table["status"].to_dict() == {"001A02": "ok", "family": "excluded", "1A": "excluded"}
    assert "001A02" in table.at["family", "reason"]
    assert table["subject"]["family"] == ""
    assert table["age"].isna()["family"]


def test_the_same_name_with_two_endings(tmp_path):
    touch(tmp_path, "001A02.JPG", "001A02.png", "001A03.png")
    table = read_dataset("fgnet", tmp_path)
    assert table["image"].tolist() == ["001A02.JPG", "001A02.png", "001A03"]


def test_no_images(tmp_path):
    with pytest.raises(FeatxError, match="holds no images"):
        read_dataset("fgnet", tmp_path)
    (tmp_path / "images").mkdir()
    with pytest.raises(FeatxError, match="holds no images"):
        read_dataset("fgnet", tmp_path)
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(FeatxError, match="is no folder"):
        read_dataset("fgnet", file)


def test_paths_and_names_that_are_not_there(tmp_path):
    with pytest.raises(FeatxError, match=r"nowhere.* is not there"):
        read_dataset("fgnet", tmp_path / "nowhere")
    with pytest.raises(FeatxError, match="did you mean fgnet"):
        read_dataset("fg-net", tmp_path)
    assert {"csv", "fgnet"} <= set(dataset_names())


def test_reads_what_generate_writes(tmp_path):
    generate_fgnet(tmp_path, subjects=2, images_per_subject=3, size=(64, 64))
    table = read_dataset("fgnet", tmp_path)
    assert table["subject"].value_counts().to_dict() == {"001": 3, "002": 3}
    assert set(table["status"]) == {"ok"}

"""Images as they lie in folders."""

import pytest

from featx.datasets import read_dataset
from featx.errors import FeatxError
from tests.featx.datasets.miniatures import pack, pictures


@pytest.mark.parametrize("kind", ["folder", "zip", "tar"])
def test_folders_named_by_age(tmp_path, kind):
    names = ["25/a.jpg", "25/deep/b.jpg", "8-12/c.jpg", "(60, 100)/d.jpg", "e.jpg"]
    table = read_dataset("folder", pack(pictures(tmp_path / "faces", *names), kind))
    rows = table.set_index("image")
    assert rows["age"].dropna().to_dict() == {"a": 25, "b": 25}
    assert rows.loc[rows["age_group"] != "", "age_group"].to_dict() == {"c": "8-12", "d": "60-100"}
    assert rows["status"]["e"] == "excluded"
    assert rows["reason"]["e"] == "no age"


def test_of_two_ages_in_a_path_neither_is_believed(tmp_path):
    # AFAD's folders are an age, and a code for the gender
    names = ["15/111/a.jpg", "15/112/b.jpg", "20-30/25/c.jpg", "7/007/d.jpg", "1-2/3-4/e.jpg"]
    rows = read_dataset("folder", pictures(tmp_path, *names, "f.jpg")).set_index("image")
    assert rows["age"].dropna().to_dict() == {"c": 25, "d": 7}
    assert rows.loc[rows["status"] == "excluded", "reason"].to_dict() == {
        "a": "two ages in its path: 15 and 111",
        "b": "two ages in its path: 15 and 112",
        "e": "two age groups in its path: 1-2 and 3-4",
        "f": "no age",
    }


def test_no_labels_at_all(tmp_path):
    table = read_dataset("folder", pictures(tmp_path, "x/a.jpg", "y/a.jpg", "b.png", ".c.jpg"))
    assert table["image"].tolist() == ["b", "x/a.jpg", "y/a.jpg"]
    assert set(table["status"]) == {"ok"}
    assert table["age"].isna().all()


def test_nothing_there(tmp_path):
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(FeatxError, match="holds no images"):
        read_dataset("folder", tmp_path)

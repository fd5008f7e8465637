"""Adience's fold files: made-up ones, and the real labels where they are there."""

import os
from collections import Counter
from pathlib import Path

import pytest

from featx.datasets import read_dataset
from featx.datasets.adience import GROUPS, read_label
from featx.errors import FeatxError
from featx.preparation import count
from tests.featx.datasets.miniatures import adience, pack

ROWS = [
    ("0", "30601258@N03", "1_o.jpg", "1", "(25, 32)", "f"),
    ("0", "30601258@N03", "2_o.jpg", "1", "(25, 23)", "m"),
    ("0", "30601258@N03", "2_o.jpg", "1", "(25, 23)", "m"),
    ("1", "7153718@N04", "3_o.jpg", "2", "None", "u"),
    ("2", "7153718@N05", "3_o.jpg", "3", "35", ""),
    ("3", "7153718@N06", "3_o.jpg", "4", "13", "u"),
    ("4", "7153718@N07", "3_o.jpg", "5", "(38, 48)", "f"),
]


@pytest.mark.parametrize("kind", ["folder", "zip", "tar"])
def test_rows(tmp_path, kind):
    path = pack(adience(tmp_path / "AdienceBenchmark", ROWS), kind)
    table = read_dataset("adience", path)
    assert table["image"].tolist() == [
        "30601258@N03/1.1_o.jpg",
        "30601258@N03/1.2_o.jpg",
        "30601258@N03/1.2_o.jpg#2",
        "7153718@N04/2.3_o.jpg",
        "7153718@N05/3.3_o.jpg",
        "7153718@N06/4.3_o.jpg",
        "7153718@N07/5.3_o.jpg",
    ]
    assert table["age_group"].tolist() == ["25-32", "25-32", "25-32", "", "", "8-12", ""]
    assert table["status"].tolist() == ["ok"] * 3 + ["excluded"] * 2 + ["ok", "excluded"]
    assert table["fold"].tolist() == ["0", "0", "0", "1", "2", "3", "4"]
    assert table["gender"].tolist() == ["female", "male", "male", "", "", "", "female"]
    assert table["subject"].tolist() == ["1", "1", "1", "2", "3", "4", "5"]
    assert count(table)["reasons"] == {
        "ok": {"label read as its group": 3},
        "excluded": {
            "no age group": 1, "label between groups": 1, "label in several groups": 1,
        },
    }  # fmt: skip
    assert table["path"][0].endswith("aligned/30601258@N03/landmark_aligned_face.1.1_o.jpg")


def test_missing_pictures_are_corrupt_rows(tmp_path):
    folder = adience(tmp_path, ROWS)
    next(folder.rglob("landmark_aligned_face.1.1_o.jpg")).unlink()
    table = read_dataset("adience", folder)
    assert (table["status"][0], table["reason"][0]) == ("corrupt", "not there")


def test_frontal_folds_where_there_are_no_others(tmp_path):
    frontal = adience(tmp_path, ROWS[:1], "fold_frontal")
    assert len(read_dataset("adience", frontal)) == 1
    adience(tmp_path, ROWS)
    assert len(read_dataset("adience", tmp_path)) == len(ROWS)


@pytest.mark.parametrize("group", GROUPS)
def test_the_eight_labels(group):
    assert read_label(f"({group.replace('-', ', ')})") == (group, "")


@pytest.mark.parametrize(
    ("label", "group", "kind"),
    [
        ("(27, 32)", "25-32", "label read as its group"),
        ("(38, 42)", "38-43", "label read as its group"),
        ("(25, 23)", "25-32", "label read as its group"),
        ("2", "0-2", "label read as its group"),
        ("3", "", "label between groups"),
        ("22", "", "label between groups"),
        ("(8, 23)", "", "label in several groups"),
        ("None", "", "no age group"),
        ("", "", "no age group"),
    ],
)
def test_odd_labels(label, group, kind):
    assert (read_label(label)[0], read_label(label)[1].split(":")[0]) == (group, kind)


def test_foreign_files(tmp_path):
    with pytest.raises(FeatxError, match="holds no fold_0_data"):
        read_dataset("adience", tmp_path)
    (tmp_path / "fold_0_data.txt").write_text("user_id\tage\n1\t(0, 2)\n")
    with pytest.raises(FeatxError, match=r"fold_0_data\.txt has no column original_image"):
        read_dataset("adience", tmp_path)


@pytest.mark.real
def test_the_official_files():
    path = Path(os.environ.get("FEATX_DATA", "../shared")) / "data" / "adience"
    if not path.exists():
        pytest.skip(f"no Adience labels at {path}; set FEATX_DATA")
    table = read_dataset("adience", path)
    assert len(table) == 19_487
    kinds = Counter(table["reason"].str.split(":").str[0])
    labelled = table[table["age_group"] != ""]
    assert len(labelled) == 17_424 + 77 + 72 + 50 + 169 + 12 + 3 + 3 + 1
    assert kinds["no age group"] == 753
    assert kinds["label in several groups"] == 6 + 1
    assert labelled.groupby("subject")["fold"].nunique().max() == 1

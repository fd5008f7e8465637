"""Tables as people bring them."""

import pytest

from featx.datasets import read_dataset
from featx.errors import FeatxError


@pytest.fixture
def read(tmp_path):
    for name in ("a.png", "b.png", "c.png", "größe 1.png"):
        (tmp_path / name).write_bytes(b"x")

    def write_and_read(text):
        table = tmp_path / "table.csv"
        table.write_text(text, encoding="utf-8")
        return read_dataset("csv", table)

    return write_and_read


def test_all_columns(read, tmp_path):
    table = read(
        "image,path,age,subject,gender,fold,age_group,dataset,extra\n"
        f"one,a.png,3.5,s1,f,0,child,mine,x\ntwo,{tmp_path}/b.png,40,s2,m,1,adult,mine,y\n"
    )
    assert table["image"].tolist() == ["one", "two"]
    assert table["path"].tolist() == [str(tmp_path / "a.png"), str(tmp_path / "b.png")]
    assert table["age"].tolist() == [3.5, 40]
    rest = table[["subject", "gender", "fold", "age_group", "dataset", "status"]]
    assert rest.values.tolist() == [
        ["s1", "f", "0", "child", "mine", "ok"],
        ["s2", "m", "1", "adult", "mine", "ok"],
    ]


def test_path_and_age_suffice(read):
    table = read(" Path , AGE \nb.png,4\ngröße 1.png, 5\n")
    assert table["image"].tolist() == ["b.png", "größe 1.png"]
    assert table["age"].tolist() == [4, 5]


@pytest.mark.parametrize("blank", ["", "nan", "NA", "None"])
def test_rows_without_an_age_are_kept(read, blank):
    table = read(f"path,age\na.png,{blank}\nb.png,4\n")
    assert table["status"].tolist() == ["excluded", "ok"]
    assert table["reason"].tolist() == ["no age", ""]
    assert table["age"].isna().tolist() == [True, False]


def test_age_groups_alone(read):
    table = read("path,age_group\na.png,0-2\nb.png,\n")
    assert table["status"].tolist() == ["ok", "excluded"]
    assert table["reason"].tolist() == ["", "no age group"]


def test_a_group_stands_in_for_an_age(read):
    assert read("path,age,age_group\na.png,,0-2\nb.png,3,\n")["status"].tolist() == ["ok", "ok"]


def test_a_missing_file_is_a_corrupt_row(read):
    table = read("path,age\nz.png,4\na.png,4\n")
    assert table["status"].tolist() == ["corrupt", "ok"]
    assert table["reason"].tolist() == ["not there", ""]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,age\na.png,4\nb.png,-1\n", r"row 2 has the age '-1'"),
        ("path,age\na.png,old\n", r"row 1 has the age 'old'"),
        ("path,age\na.png,inf\n", r"row 1 has the age 'inf'"),
        ("path,age\na.png,x\nb.png,y\n", r"2 such rows"),
        ("path,age,image\na.png,1,i\nb.png,2,i\n", r"row 2 has the id 'i'"),
        ("path,age\na.png,1\na.png,2\n", r"row 2 has the id 'a.png'"),
        ("path,age,subject,fold\na.png,1,s,0\nb.png,2,s,1\n", r"more than one fold \(s\)"),
        ("file,age\na.png,1\n", r"needs the columns path and age .*it has file, age"),
        ("path,years\na.png,1\n", r"needs the columns path and age .*it has path, years"),
        ("path,age\n,1\n", r"row 1 has no path"),
        ("path,age\n", r"no rows"),
        ("", r"is empty"),
        ("path,age,Age\na.png,1,1\n", r"two columns 'age'"),
        ("path,age\ny.png,1\nz.png,1\n", r"none of its 2 images is there"),
    ],
)
def test_unusable_tables(read, text, message):
    with pytest.raises(FeatxError, match=message) as caught:
        read(text)
    assert "table.csv" in str(caught.value)


def test_folds_without_subjects_are_no_clash(read):
    text = "path,age,subject,fold\na.png,1,,0\nb.png,2,,1\nc.png,2,s,1\n"
    assert read(text)["fold"].tolist() == ["0", "1", "1"]


def test_a_folder_is_no_table(tmp_path):
    with pytest.raises(FeatxError, match="is a folder"):
        read_dataset("csv", tmp_path)

"""Adience's fold files: made-up ones, and the real labels where they are there."""

import os
import shutil
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner

from cli.prepare import prepare
from featx.datasets import read_dataset
from featx.datasets.adience import GROUPS, read_label
from featx.errors import FeatxError
from featx.label_counts import label_counts
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


def test_missing_pictures_keep_what_was_read_otherwise_than_written(tmp_path):
    folder = adience(tmp_path, ROWS)
    next(folder.rglob("landmark_aligned_face.4.3_o.jpg")).unlink()
    table = read_dataset("adience", folder)
    assert table["reason"][5] == "not there; label read as its group: 13"


def test_labels_without_pictures_are_counted_before_they_are_refused(tmp_path):
    folder = adience(tmp_path / "in", ROWS)
    shutil.rmtree(folder / "aligned")
    call = ["adience", str(folder), "-o", str(tmp_path / "out")]
    told = CliRunner().invoke(prepare, call)
    assert told.exit_code == 1
    assert "none of the 7 images is there" in str(told.exception)
    planned = CliRunner().invoke(prepare, [*call, "--dry-run"])
    assert planned.exit_code == 0
    for output in (told.output, planned.output):
        assert output.splitlines()[:8] == [
            "7 images, 0 ok",
            "  corrupt: 4 (3 not there; label read as its group, 1 not there)",
            "  excluded: 3 (1 no age group, 1 label between groups, 1 label in several groups)",
            "labels, whatever became of the images:",
            "  age group: 8-12: 1, 25-32: 3, none: 3",
            "  gender: female: 2, male: 2, none: 3",
            "  fold: 0: 3, 1: 1, 2: 1, 3: 1, 4: 1",
            "  subjects: different: 5",
        ]
    assert not (tmp_path / "out").exists()


@pytest.fixture(scope="module")
def official():
    """The reader's table of the official files, and the same files as they are written."""
    path = Path(os.environ.get("FEATX_DATA", "../shared")) / "data" / "adience"
    if not path.exists():
        pytest.skip(f"no Adience labels at {path}; set FEATX_DATA")
    raw = [
        pd.read_csv(path / f"fold_{fold}_data.txt", sep="\t", dtype=str, keep_default_na=False)
        for fold in range(5)
    ]
    return read_dataset("adience", path), pd.concat(raw, keys=range(5), names=["fold", "line"])


#: By hand from the list of labels that occur in the files.
WRITTEN = {
    "0-2": {"(0, 2)", "2"},
    "4-6": {"(4, 6)"},
    "8-12": {"(8, 12)", "13"},
    "15-20": {"(15, 20)"},
    "25-32": {"(25, 32)", "(27, 32)", "(25, 23)", "29", "32"},
    "38-43": {"(38, 43)", "(38, 42)", "42"},
    "48-53": {"(48, 53)"},
    "60-100": {"(60, 100)"},
}
BETWEEN = {"3", "22", "23", "34", "35", "36", "45", "46", "55", "56", "57", "58"}
SEVERAL = {"(38, 48)", "(8, 23)"}


@pytest.mark.real
def test_every_row_of_the_official_files_is_accounted_for(official):
    table, raw = official
    assert len(table) == len(raw) == 19_487
    assert table["fold"].tolist() == [str(fold) for fold in raw.index.get_level_values("fold")]
    assert table["subject"].tolist() == raw["face_id"].tolist()
    assert table["subject"].nunique() == 2_284
    assert set(raw["age"]) == set().union(*WRITTEN.values(), BETWEEN, SEVERAL, {"None"})
    for group, labels in WRITTEN.items():
        assert (table["age_group"] == group).tolist() == raw["age"].isin(labels).tolist()
    kinds = table["reason"].str.split(":").str[0]
    excluded = table["status"] == "excluded"
    for kind, labels in {
        "no age group": {"None"},
        "label between groups": BETWEEN,
        "label in several groups": SEVERAL,
    }.items():
        rows = raw["age"].isin(labels)
        assert ((kinds == kind) & excluded).tolist() == rows.tolist()
    assert excluded.tolist() == (table["age_group"] == "").tolist()
    assert count(table)["reasons"]["excluded"] == {
        "label between groups": 916, "no age group": 753, "label in several groups": 7,
    }  # fmt: skip
    assert label_counts(table) == {
        "age group": {
            **{group: int(raw["age"].isin(labels).sum()) for group, labels in WRITTEN.items()},
            "none": 916 + 753 + 7,
        },
        "gender": {
            "female": int((raw["gender"] == "f").sum()),
            "male": int((raw["gender"] == "m").sum()),
            "none": int((raw["gender"] == "u").sum() + (raw["gender"] == "").sum()),
        },
        "fold": {str(fold): len(rows) for fold, rows in raw.groupby("fold")},
        "subjects": {"different": 2_284},
    }
    names = ["user_id", "face_id", "original_image"]
    assert table["image"].str.contains("#").tolist() == raw.duplicated(names).tolist()
    once = table[~raw.duplicated(names).to_numpy() & (table["age_group"] != "")]
    assert (len(table) - raw.duplicated(names).sum(), len(once)) == (19_370, 17_702)
    assert (once["gender"] != "").sum() == 16_534


@pytest.mark.real
def test_folds_of_the_official_files_share_nobody(official):
    table, _ = official
    assert table.groupby("subject")["fold"].nunique().max() == 1


@pytest.mark.real
def test_the_numbers_that_papers_report_of_the_official_files(official):
    """Aminian and Noubir (2019), Table 1; Eidinger et al. (2014), as König (2019) quotes it."""
    table, raw = official
    published = pd.DataFrame(
        {
            "male": [745, 928, 934, 734, 2308, 1294, 392, 442],
            "female": [682, 1234, 1360, 919, 2589, 1056, 433, 427],
        },
        index=list(GROUPS),
    )
    # they, too, took 13 for the third group and (38, 42) for the sixth, and no other odd label
    eight = {f"({group.replace('-', ', ')})" for group in GROUPS}
    theirs = table[raw["age"].isin(eight | {"13", "(38, 42)"}).to_numpy()]
    assert len(theirs) == 17_643
    named = theirs[theirs["gender"] != ""]
    ours = pd.crosstab(named["age_group"], named["gender"]).loc[list(GROUPS), ["male", "female"]]
    assert ours.to_numpy().tolist() == published.to_numpy().tolist()
    assert len(named) == 16_477  # the table's columns; its total of 19,487 is of all rows
    assert label_counts(table)["gender"] == {"female": 9_411, "male": 8_192, "none": 1_884}

"""Adience from its fold files and pictures to the paper's table, over all five official folds."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from cli.experiment import experiment
from cli.prepare import prepare
from featx.datasets.adience import GROUPS, read_label
from featx.datasets.generate import draw_face, random_identity
from featx.manifest import read_table
from tests.featx.datasets.miniatures import adience

ROWS = ("Gender, centre crop", "Manual 2, embedding from FC2")
#: The recipe as it is, but for its length.
SHORT = [
    f"stages.{stage}.{key}" for stage in ("gender", "age") for key in ("epochs=1", "batch_size=4")
]
IMAGES = 2  # of each person


def read_folds(folder):
    """Return the rows of the fold files as they are written, with their fold."""
    return pd.concat(
        pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False).assign(fold=path.name[5])
        for path in sorted(folder.glob("fold_?_data.txt"))
    )


def draw(folder, rows):
    """Draw the face that each row names, half of the people's in the folder of the other crops."""
    rng = np.random.default_rng(0)
    people = {}
    for row in rows.itertuples():
        people.setdefault(row.face_id, (len(people), random_identity(rng)))
        number, person = people[row.face_id]
        place, kind = (
            ("aligned", "landmark_aligned") if number % 2 else ("faces", "coarse_tilt_aligned")
        )
        file = folder / place / row.user_id / f"{kind}_face.{row.face_id}.{row.original_image}"
        file.parent.mkdir(parents=True, exist_ok=True)
        group, _ = read_label(row.age)
        draw_face(np.mean(GROUPS[group]), person, rng=rng, size=(96, 96)).save(file)


def run(tmp_path, folder):
    """Prepare a folder as Adience is, run the table's rows, and return what it tells of them."""
    data = tmp_path / "data" / "adience"
    call = ["adience", str(folder), "-o", str(data), "--detector", "none", "--jobs", "1"]
    prepared = CliRunner().invoke(prepare, call)
    assert prepared.exit_code == 0, prepared.output
    call = ["run", "cross_modal/adience", "--data", str(tmp_path), "-o", str(tmp_path / "out")]
    call += [word for row in ROWS for word in ("--row", row)]
    call += [word for change in SHORT for word in ("--set", change)]
    result = CliRunner().invoke(experiment, [*call, "--device", "cpu"])
    assert result.exit_code == 0, result.output
    told = json.loads((tmp_path / "out" / "adience.json").read_text())["rows"]
    return read_table(data), [row for row in told if row["name"] in ROWS], result.output


def check(table, told, output, expected):
    """Compare the table's numbers with those of its runs' files, and the runs with the labels.

    `expected` are the rows of the fold files whose pictures there are.
    """
    usable = table[table["status"] == "ok"]
    assert sorted(usable["image"]) == sorted(
        f"{row.user_id}/{row.face_id}.{row.original_image}" for row in expected.itertuples()
    )
    labels = expected.set_index(
        expected["user_id"] + "/" + expected["face_id"] + "." + expected["original_image"]
    )
    assert [row["name"] for row in told] == list(ROWS)
    for row, (truth, guess) in zip(
        told, [("gender", "predicted_gender"), ("age_group", "predicted_group")], strict=True
    ):
        assert row["reason"] == ""
        predicted = pd.read_csv(Path(row["run"]) / "predictions.csv", dtype=str)
        assert sorted(predicted["image"]) == sorted(labels.index)
        own = labels.loc[predicted["image"]]
        assert predicted["fold"].tolist() == own["fold"].tolist()
        assert predicted["subject"].tolist() == own["face_id"].tolist()
        written = {
            "gender": own["gender"].map({"f": "female", "m": "male"}),
            "age_group": own["age"].map(lambda label: read_label(label)[0]),
        }[truth]
        assert predicted[truth].tolist() == written.tolist()
        place = list(GROUPS) if truth == "age_group" else ["female", "male"]
        off = (predicted[truth].map(place.index) - predicted[guess].map(place.index)).abs()
        for measure, allowed in (("accuracy", 0), ("one_off", 1)):
            if truth == "gender" and allowed:
                continue
            shares = (off <= allowed).groupby(predicted["fold"]).mean()
            assert len(shares) == 5
            mean, sd = (row["measures"][f"{measure}_{what}_of_folds"] for what in ("mean", "sd"))
            assert mean == pytest.approx(shares.mean())
            assert sd == pytest.approx(shares.std(ddof=1))
            assert f"{100 * mean:.2f} % | " in output
            assert f"{100 * sd:.2f} % | " in output


@pytest.mark.long
def test_from_generated_fold_files_to_the_table(tmp_path):
    labels = ["(0, 2)", "(4, 6)", "13", "(15, 20)", "(25, 23)", "(38, 43)", "(48, 53)", "(60, 100)"]
    rows = [
        (f"{fold}", f"u{fold}@N00", f"{face}{number}_o.jpg", f"{face}", labels[face % 8], gender)
        for fold in range(5)
        for face, gender in ((2 * fold, "f"), (2 * fold + 1, "m"))
        for number in range(IMAGES)
    ]
    odd = [
        ("0", "u0@N00", "9_o.jpg", "90", "None", "u"),
        ("4", "u4@N00", "9_o.jpg", "91", "35", "f"),
    ]
    folder = adience(tmp_path / "in", [*rows, *odd])
    shutil.rmtree(folder / "aligned")
    written = read_folds(folder)
    expected = written[~written["age"].isin(["None", "35"])]
    draw(folder, expected)
    check(*run(tmp_path, folder), expected)
    shutil.rmtree(tmp_path / "out")  # hundreds of megabytes of networks


@pytest.mark.real
def test_from_the_official_fold_files_to_the_table(tmp_path):
    path = Path(os.environ.get("FEATX_DATA", "../shared")) / "data" / "adience"
    if not path.exists():
        pytest.skip(f"no Adience labels at {path}; set FEATX_DATA")
    folder = tmp_path / "in"
    shutil.copytree(path, folder)
    written = read_folds(folder)
    written = written[~written.duplicated(["user_id", "face_id", "original_image"], keep=False)]
    usable = written[
        written["age"].map(lambda label: read_label(label)[0] != "")
        & written["gender"].isin(["f", "m"])
    ]
    # a woman and a man of every fold
    pictures = usable.groupby(["fold", "gender", "face_id"], as_index=False).size()
    several = pictures[pictures["size"] >= IMAGES].groupby(["fold", "gender"])
    people = several.sample(1, random_state=0)["face_id"]
    expected = usable[usable["face_id"].isin(people)].groupby("face_id").head(IMAGES)
    assert len(expected) == 5 * 2 * IMAGES
    draw(folder, expected)
    table, told, output = run(tmp_path, folder)
    assert len(table) == 19_487
    assert (table["reason"].str.startswith("not there")).sum() == 17_811 - len(expected)
    check(table, told, output, expected)
    shutil.rmtree(tmp_path / "out")

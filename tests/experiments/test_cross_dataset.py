"""A network on a set that it has not seen: what it says, who may not be there, and the rows."""

import json
import math

import h5py
import numpy as np
import pandas as pd
import pytest
import torch
from click.testing import CliRunner

from cli.experiment import experiment as command
from experiments import own_head
from experiments.cross_dataset import plan_cross_dataset, run_cross_dataset
from experiments.experiment_file import read_experiment
from experiments.measures import measures
from featx.errors import FeatxError
from featx.extraction import extract
from featx.manifest import read_table
from featx.store import FeaturesFile
from featx.training.cascade import run_cascade
from featx.training.config.cascade_file import read_cascade
from featx.training.processes import Processes
from regress.predictions import read_run
from tests.featx.training.made_faces import make_folder, write_cascade

ALONE = Processes(0, 1, torch.device("cpu"))
GAPPED = ("0-2", "4-6", "8-12", "15-20", "25-32", "38-43", "48-53", "60-100")
BINS = ("0-5", "6-15", "16-25", "26-35", "36-45", "46-60")
MIDDLES = np.array([2.5, 10.5, 20.5, 30.5, 40.5, 53])

CASCADE = f"""\
backbone: onet
weights: mtcnn
stages:
  - name: early
    data: {{tables: [first], validation: null}}
    head: {{classes: 0-60}}
    batch_size: 8
    epochs: 1
  - name: faces
    data: {{tables: [made], validation: 0.3}}
    tasks: [age, gender]
    head: {{classes: {json.dumps(BINS)}}}
    gender: {{hidden: [8]}}
    optimiser: {{name: adam, learning_rate: 0.003, head_learning_rate: 0.01}}
    batch_size: 8
    epochs: 12
"""

TABLE = """
title: A table
source: Nobody (2026)
needs: {made: make it, first: and it, second: and it, elsewhere: find it, nowhere: look for it}
columns: [expected_exact, expected_one_off, accuracy]
rows:
  - name: Both
    cascade: cascade.yaml
    after: faces
    changes: ["stages.faces.data.tables=[made, second]"]
    protocol: holdout:0.4
  - name: Made
    part_of: Both
    dataset: made
  - name: Second
    part_of: Both
    dataset: second
  - name: Elsewhere
    cascade: cascade.yaml
    tested_on: {table: elsewhere, groups: GROUPS}
    paper: {expected_exact: 0.3}
  - name: Nowhere
    cascade: cascade.yaml
    tested_on: {table: nowhere}
  - name: Sets
    part_of: Both
    dataset: third
""".replace("GROUPS", json.dumps(GAPPED))


def group_of(age):
    """Return the gapped group of an age in whole years, empty where it is in none."""
    spans = {name: tuple(map(int, name.split("-"))) for name in GAPPED}
    return next((name for name, (low, high) in spans.items() if low <= age <= high), "")


def in_groups(folder):
    """Leave a table its gapped groups in place of its ages, as Adience's is."""
    table = read_table(folder)
    groups = [group_of(age) for age in table["age"]]
    table["age_group"], table["age"] = groups, np.nan
    table.loc[table["age_group"] == "", "status"] = "excluded"
    table.to_csv(folder / "images.csv", index=False)
    return table


@pytest.fixture
def sets(tmp_path):
    """Three sets to train on, and one with groups only to be tested on."""
    make_folder(tmp_path / "made", subjects=10, each=8, dataset="made")
    make_folder(tmp_path / "first", subjects=6, each=4, seed=1, dataset="first")
    make_folder(tmp_path / "second", subjects=8, each=4, seed=3, dataset="second")
    make_folder(tmp_path / "elsewhere", subjects=8, each=8, seed=2, dataset="elsewhere")
    in_groups(tmp_path / "elsewhere")
    write_cascade(tmp_path, CASCADE)
    return tmp_path


def plan(sets, table="elsewhere", changes=(), **options):
    return plan_cross_dataset(read_cascade(sets / "cascade.yaml", changes), sets / table, **options)


def trained(sets, planned):
    """Train a plan's stages as `featx finetune` does; return the last network's file."""
    run_cascade(planned.cascade, planned.stages, sets / "nets", ALONE, resume=True)
    return sets / "nets" / planned.last.folder_name / "network.safetensors"


def test_what_it_says_is_what_an_independent_pass_says_and_better_than_a_constant(sets):
    planned = plan(sets, groups=GAPPED)
    network = trained(sets, planned)
    told = run_cross_dataset(planned, network, sets / "run", device="cpu")
    run = read_run(sets / "run")
    table = read_table(sets / "elsewhere").set_index("image")
    usable = table[table["status"] == "ok"]
    assert sorted(run.predictions["image"]) == sorted(usable.index)
    assert told["counts"] == {
        "total": len(table),
        "evaluated": len(usable),
        "by_status": {"ok": len(usable), "excluded": len(table) - len(usable)},
        "without_subject": 0,
    }
    assert told["method"] == "trained on made"
    assert (told["task"], told["groups"]) == ("age-group", list(GAPPED))

    # the probabilities of an independent pass, and the measures by brute force from them
    extract(
        sets / "elsewhere",
        sets / "f.h5",
        backbone="onet",
        weights=str(network),
        layers=["softmax"],
        workers=0,
    )
    with FeaturesFile(sets / "f.h5") as file:
        ages = dict(zip(file.images["image"], file.read("softmax") @ MIDDLES, strict=True))
    with h5py.File(sets / "run" / "probabilities.h5") as file:
        assert file["class"].asstr()[()].tolist() == list(BINS)
        names = file["image"].asstr()[()]
        assert file["probability"][()] @ MIDDLES == pytest.approx(
            [ages[name] for name in names], abs=1e-2
        )
        written = dict(zip(names, file["probability"][()].astype(float) @ MIDDLES, strict=True))
    exact, near, right = [], [], []
    for row in run.predictions.itertuples():
        true = GAPPED.index(usable.loc[row.image, "age_group"])
        assert row.age_group == GAPPED[true]
        assert math.isnan(row.age)
        own = group_of(math.floor(written[row.image]))
        exact.append(own == GAPPED[true])
        near.append(own in GAPPED[max(true - 1, 0) : true + 2])
        right.append(row.predicted_group == GAPPED[true])
        assert not own or row.predicted_group == own
    found = measures(run)
    assert found["expected_exact"] == pytest.approx(np.mean(exact))
    assert found["expected_one_off"] == pytest.approx(np.mean(near))
    assert found["accuracy"] == pytest.approx(np.mean(right))
    # by a margin of 0.15 more than whoever always says the commonest group
    constant = usable["age_group"].value_counts(normalize=True).max()
    assert found["accuracy"] > constant + 0.15


def test_a_person_or_a_picture_of_the_test_set_may_be_in_no_stage(sets):
    table = read_table(sets / "elsewhere")
    for other, what in (("made", "faces"), ("first", "early")):
        own = read_table(sets / other)
        for column, value in (
            ("sha256", table["sha256"][table["status"] == "ok"].iloc[0]),
            ("subject", table["subject"].iloc[0]),
        ):
            copy = own.copy()
            copy.loc[3, column] = value
            if column == "subject":
                copy.loc[3, "dataset"] = "elsewhere"
            copy.to_csv(sets / other / "images.csv", index=False)
            with pytest.raises(FeatxError, match=f"stage {what} and the test set .*elsewhere"):
                plan(sets, groups=GAPPED)
            left_out = [f"stages.{what}.data.without=[elsewhere]"]
            planned = plan(sets, changes=left_out, groups=GAPPED)
            kept = pd.concat(
                side.table
                for stage in planned.stages
                for side in (stage.data.train, stage.data.validation)
                if side is not None
            )
            assert copy.loc[3, "image"] not in set(kept["image"])
            assert planned.stages[("early", "faces").index(what)].data.train.n_total == len(copy)
        own.to_csv(sets / other / "images.csv", index=False)


def test_ages_are_told_as_the_networks_classes_or_as_such(sets):
    make_folder(sets / "aged", subjects=4, each=3, seed=4, dataset="aged")
    planned = plan(sets, "aged")
    run_cross_dataset(planned, trained(sets, planned), sets / "groups", device="cpu")
    groups = read_run(sets / "groups")
    ages = read_table(sets / "aged").set_index("image")["age"]
    for row in groups.predictions.itertuples():
        low, high = map(int, row.age_group.split("-"))
        assert low <= ages[row.image] <= high
        assert row.age == ages[row.image]
    assert groups.groups == BINS
    assert "mae_expected_value" in measures(groups)
    assert "expected_exact" not in measures(groups)  # they have no gaps

    years = ["stages.faces.head.classes=0-60"]
    planned = plan(sets, "aged", years)
    network = sets / "years" / planned.last.folder_name / "network.safetensors"
    run_cascade(planned.cascade, planned.stages, sets / "years", ALONE)
    run_cross_dataset(planned, network, sets / "ages", device="cpu")
    told = read_run(sets / "ages")
    assert told.task == "age"
    with h5py.File(sets / "ages" / "probabilities.h5") as file:
        expected = file["probability"][()] @ np.arange(61)
    assert told.predictions["predicted_age"].to_numpy() == pytest.approx(expected, abs=1e-3)
    with pytest.raises(FeatxError, match=r"no image has an age, and stage faces .* tells ages"):
        plan(sets, "elsewhere", years)


def test_gender_is_told_too_and_images_outside_the_groups_are_counted(sets):
    table = read_table(sets / "elsewhere")
    table.loc[table["subject"] == "00", "gender"] = ""
    table.to_csv(sets / "elsewhere" / "images.csv", index=False)
    planned = plan(sets, task="gender")
    told = run_cross_dataset(planned, trained(sets, planned), sets / "run", device="cpu")
    usable = table[(table["status"] == "ok") & (table["gender"] != "")]
    assert told["counts"]["evaluated"] == len(usable)
    found = read_run(sets / "run").predictions.set_index("image")["gender"]
    assert found.to_dict() == usable.set_index("image")["gender"].to_dict()

    make_folder(sets / "aged", subjects=4, each=6, seed=4, dataset="aged")
    ages = read_table(sets / "aged")["age"]
    inside = [age for age in ages if group_of(age)]
    planned = plan(sets, "aged", groups=GAPPED)
    assert len(planned.test) == len(inside) < len(ages) == planned.test.n_total


def test_what_the_network_does_not_tell_is_told(sets):
    with pytest.raises(FeatxError, match="has the views centre, not five"):
        plan(sets, groups=GAPPED, view="five")
    ages_only = CASCADE.replace("    tasks: [age, gender]\n", "").replace(
        "    gender: {hidden: [8]}\n", ""
    )
    write_cascade(sets, ages_only)
    with pytest.raises(FeatxError, match=r"stage faces of .* has the tasks age, not gender"):
        plan(sets, task="gender")
    with pytest.raises(FeatxError, match=r"elsewhere: none of \d+ images lies in one of the"):
        plan(sets, groups=("101-102", "103-104"))


def test_too_little_memory_is_told(sets, monkeypatch):
    def burst(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory")

    planned = plan(sets, groups=GAPPED)
    network = trained(sets, planned)
    monkeypatch.setattr(own_head, "predict", burst)
    with pytest.raises(FeatxError, match="the test set: this machine has too little memory to use"):
        run_cross_dataset(planned, network, sets / "run", device="cpu")
    monkeypatch.undo()
    assert run_cross_dataset(planned, network, sets / "run", device="cpu")["folds"]["done"] == 1


def test_finished_predictions_are_kept_unless_the_set_is_another(sets):
    planned = plan(sets, groups=GAPPED)
    network = trained(sets, planned)
    run_cross_dataset(planned, network, sets / "run", device="cpu")
    piece = sets / "run" / "folds" / "all.csv"
    before = piece.stat().st_mtime_ns
    run_cross_dataset(planned, network, sets / "run", device="cpu")
    assert piece.stat().st_mtime_ns == before
    table = read_table(sets / "elsewhere")
    table.loc[table["subject"] == "01", "status"] = "excluded"
    table.to_csv(sets / "elsewhere" / "images.csv", index=False)
    run_cross_dataset(plan(sets, groups=GAPPED), network, sets / "run", device="cpu")
    assert "01" not in set(read_run(sets / "run").predictions["subject"])


def test_rows_of_a_table(sets):
    (sets / "table.yaml").write_text(TABLE)
    call = ["run", str(sets / "table.yaml"), "--data", str(sets), "-o", str(sets / "out")]
    result = CliRunner().invoke(command, [*call, "--device", "cpu"])
    assert result.exit_code == 0, result.output
    rows = {
        row["name"]: row for row in json.loads((sets / "out" / "table.json").read_text())["rows"]
    }
    assert {name: row["reason"] for name, row in rows.items() if row["reason"]} == {
        "Nowhere": f"{sets / 'nowhere'} is not there (look for it)",
        "Sets": "Both has no image of the data set third, but of made, second",
    }
    runs = {name: read_run(row["run"]) for name, row in rows.items() if row["run"]}
    whole = runs["Both"].predictions
    for name in ("Made", "Second"):
        part = runs[name].predictions
        assert part["image"].str.startswith(name.lower()).all()
        assert len(part) == whole["image"].str.startswith(name.lower()).sum()
    assert len(runs["Made"].predictions) + len(runs["Second"].predictions) == len(whole)
    found = rows["Elsewhere"]["measures"]
    own = measures(runs["Elsewhere"])
    assert found == pytest.approx({name: value for name, value in own.items() if value == value})
    assert f"| {100 * found['expected_exact']:.2f} % | 30.00 % |" in result.output
    # the command that is recorded makes the row again, and finds it made
    words = runs["Elsewhere"].info["command"]
    again = CliRunner().invoke(command, words[2:])
    assert again.exit_code == 0, again.output
    assert json.loads((sets / "out" / "table.json").read_text())["rows"][3]["measures"] == found
    lone = CliRunner().invoke(command, [*call, "--row", "Made"])
    assert "Made lacks its rows Both" in lone.output


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("    dataset: made\n", ""), "part_of and dataset go together"),
        (("part_of: Both\n    dataset: second", "part_of: Elsewhere\n    dataset: second"),
         "there is no row 'Elsewhere' before it"),
        (("part_of: Both\n    dataset: third", "part_of: Made\n    dataset: third"),
         "'Made' is no cascade under a protocol"),
        (("tested_on: {table: nowhere}", "tested_on: {table: nowhere}\n    protocol: lopo"),
         "such a row has no protocol"),
        (("tested_on: {table: nowhere}", "tested_on: {table: nowhere, groups: [0-12, 10-20]}"),
         "in order and without overlap"),
        (("    cascade: cascade.yaml\n    tested_on: {table: nowhere}",
          "    backbone: onet\n    weights: mtcnn\n    tested_on: {table: nowhere}\n"
          "    regression: {table: nowhere, layer: gap, regressor: mean}"),
         "only a cascade's network"),
    ],
)  # fmt: skip
def test_malformed_rows(tmp_path, change, message):
    path = tmp_path / "t.yaml"
    assert change[0] in TABLE
    path.write_text(TABLE.replace(*change, 1))
    with pytest.raises(FeatxError, match=message):
        read_experiment(str(path))

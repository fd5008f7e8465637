"""Age and gender under a protocol, and stages that every fold trains for itself."""

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from experiments.end_to_end import run_end_to_end
from experiments.fold_plan import plan_end_to_end
from featx.errors import FeatxError
from featx.extraction import extract
from featx.store import FeaturesFile
from featx.training.config.cascade_file import read_cascade
from regress.predictions import read_run
from tests.featx.training.made_faces import make_folder, write_cascade

BOTH = """\
backbone: onet
weights: mtcnn
stages:
  - name: target
    data: {tables: [made], validation: null}
    tasks: [age, gender]
    head: {classes: 0-60, joined: true}
    gender: {hidden: [8], dropout: 0.2}
    optimiser: {name: adam, learning_rate: 0.001}
    batch_size: 6
    epochs: 1
"""

FIRST = """\
  - name: gender
    data: {tables: [made], validation: null}
    tasks: [gender]
    batch_size: 6
    epochs: 1
"""


def run(made, text, out="out", protocol="kfold:3", only=(), changes=()):
    cascade = read_cascade(write_cascade(made, text), changes)
    plan = plan_end_to_end(cascade, protocol, only=only)
    return run_end_to_end(plan, made / out, device="cpu", keep_networks=True)


def test_a_network_of_both_tasks_writes_a_run_of_each(made):
    infos = run(made, BOTH)
    assert [info.get("task", "age") for info in infos] == ["age", "gender"]
    ages = read_run(made / "out" / "runs" / "end-to-end").predictions
    gender = read_run(made / "out" / "runs" / "end-to-end.gender")
    table = pd.read_csv(made / "made" / "images.csv").set_index("image")
    truth = gender.predictions.set_index("image")["gender"]
    assert truth.to_dict() == table.loc[truth.index, "gender"].to_dict()
    assert ages.set_index("image")["gender"].to_dict() == truth.to_dict()
    for info in infos:
        assert info["features"]["tables"] == [str(made / "made" / "images.csv")]

    # an independent pass of a kept network over its fold's test images tells the same
    extract(
        made / "made",
        made / "f.h5",
        backbone="onet",
        weights=str(made / "out" / "folds" / "0" / "network.safetensors"),
        layers=["softmax", "softmax_gender"],
        workers=0,
    )
    with FeaturesFile(made / "f.h5") as file:
        names = file.images["image"].tolist()
        expected = dict(zip(names, file.read("softmax") @ np.arange(61), strict=True))
        female = dict(zip(names, file.read("softmax_gender")[:, 0], strict=True))
        assert file.layers["softmax_gender"].classes == ("female", "male")
    fold = ages[ages["fold"] == "0"]
    assert fold["predicted_age"].to_numpy() == pytest.approx(
        [expected[name] for name in fold["image"]], abs=1e-2
    )
    fold = gender.predictions[gender.predictions["fold"] == "0"]
    told = ["female" if female[name] > 0.5 else "male" for name in fold["image"]]
    assert fold["predicted_gender"].tolist() == told


def test_rows_without_a_gender_train_no_gender(made):
    table = pd.read_csv(made / "made" / "images.csv", dtype={"subject": str, "fold": str})
    table.loc[table["subject"] == "00", "gender"] = ""
    table.to_csv(made / "made" / "images.csv", index=False)
    (info, _) = run(made, BOTH)
    assert info["counts"] == {"total": 24, "evaluated": 20, "without_subject": 0}


def test_each_fold_trains_its_own_stages_without_its_subjects(made):
    """By brute force: deleting the test subject's rows changes no weight of either stage."""
    text = BOTH.replace("stages:\n", "each_fold: gender\nstages:\n" + FIRST)
    run(made, text, protocol="lopo", only=["05"])
    (stage,) = (made / "out" / "stages").iterdir()
    table = pd.read_csv(made / "made" / "images.csv", dtype={"subject": str, "fold": str})
    table[table["subject"] != "05"].to_csv(made / "made" / "images.csv", index=False)
    from featx.training.cascade import run_cascade
    from featx.training.planning import plan_stages
    from featx.training.processes import Processes

    cascade = read_cascade(made / "cascade.yaml")
    run_cascade(cascade, plan_stages(cascade), made / "alone", Processes(0, 1, torch.device("cpu")))
    for ours, alone in (
        (stage, made / "alone" / "1-gender"),
        (made / "out" / "folds" / "05", made / "alone" / "2-target"),
    ):
        left, right = (load_file(path / "network.safetensors") for path in (ours, alone))
        assert left.keys() == right.keys()
        assert all(torch.equal(left[name], right[name]) for name in left)


def test_a_stage_may_grow_its_network_into_another(made, tmp_path):
    make_folder(tmp_path / "small", subjects=4, each=2, seed=5)
    text = """\
backbone: levi_hassner
weights: random
each_fold: gender
stages:
  - name: gender
    data: {tables: [small], validation: null}
    tasks: [gender]
    batch_size: 4
    epochs: 1
  - name: age
    backbone: levi_hassner_manual2_fc2
    data: {tables: [small], validation: null}
    head: {classes: ["0-30", "31-60"]}
    batch_size: 4
    epochs: 1
    views: [centre, five]
"""
    infos = run(tmp_path, text, protocol="kfold:2", only=["0"])
    assert [info["method"] for info in infos] == ["end to end", "end to end · five crops"]
    (stage,) = (tmp_path / "out" / "stages").iterdir()
    gender = load_file(stage / "network.safetensors")
    age = load_file(tmp_path / "out" / "folds" / "0" / "network.safetensors")
    frozen = {n: t for n, t in age.items() if n.startswith("other.")}
    assert frozen
    for name, tensor in frozen.items():  # the gender network, as its own stage left it
        assert torch.equal(tensor, gender[name.removeprefix("other.")])


def test_a_stage_that_is_not_there_is_told(made):
    with pytest.raises(FeatxError, match="each_fold: there is no stage 'gendre'"):
        read_cascade(write_cascade(made, "each_fold: gendre\n" + BOTH))

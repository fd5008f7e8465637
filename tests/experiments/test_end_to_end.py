"""Fine-tuning under a protocol: every fold its own network, no test subject ever seen."""

import pickle

import numpy as np
import pandas as pd
import pytest
import torch

from experiments import end_to_end, fold_networks
from experiments.end_to_end import run_end_to_end
from experiments.fold_plan import plan_end_to_end
from featx.errors import FeatxError
from featx.manifest import read_table, write_table
from featx.training.cascade import run_cascade
from featx.training.config.cascade_file import read_cascade
from featx.training.planning import plan_stages
from featx.training.processes import Processes
from regress.metrics import mae
from regress.predictions import find_runs, read_run
from tests.featx.training.made_faces import CASCADE, make_folder, write_cascade

TWO_STAGES = CASCADE.replace(
    "stages:\n",
    """stages:
  - name: early
    data:
      tables: [large]
      validation: null
    head: {loss: label-distribution, classes: 0-60, label_sd: 3, expected_value_weight: 0.1}
    batch_size: 8
    epochs: 1
""",
)


@pytest.fixture
def two_stages(made):
    make_folder(made / "large", subjects=4, each=4, seed=1, dataset="large")
    write_cascade(made, TWO_STAGES)
    return made


def plan(made, *changes, protocol="kfold:3", **options):
    return plan_end_to_end(read_cascade(made / "cascade.yaml", changes), protocol, **options)


def run(made, settled, out="out", **options):
    return run_end_to_end(settled, made / out, device="cpu", **options)


def test_predictions_are_those_of_each_folds_own_network(two_stages):
    settled = plan(two_stages, regressors=["ridge", "mean"], layers=["gap"])
    infos = run(two_stages, settled, keep_networks=True)
    assert [info["method"] for info in infos] == [
        "end to end",
        "gap · ridge · fold networks",
        "gap · mean · fold networks",
    ]
    own = read_run(two_stages / "out" / "runs" / "end-to-end")
    assert sorted(own.predictions["image"]) == sorted(settled.images["image"])
    assert own.info["folds"] == {"planned": 3, "done": 3, "missing": [], "failed": {}}

    # the mean regressor tells whom each fold was trained on: nobody of its own test subjects
    mean = read_run(two_stages / "out" / "runs" / "gap.mean").predictions
    images = settled.images.set_index("image")
    for fold, rows in mean.groupby("fold"):
        train = images[~images["subject"].isin(rows["subject"])]
        assert rows["predicted_age"].to_numpy() == pytest.approx(train["age"].mean()), fold

    # an independent pass of the kept network over one fold's test images gives the same ages
    from featx.extraction import extract
    from featx.store import FeaturesFile

    network = two_stages / "out" / "folds" / "0" / "network.safetensors"
    extract(
        two_stages / "made",
        two_stages / "f.h5",
        backbone="onet",
        weights=str(network),
        layers=["softmax"],
        workers=0,
    )
    with FeaturesFile(two_stages / "f.h5") as file:
        probable = file.read("softmax")
        names = file.images["image"].tolist()
    ages = dict(zip(names, probable @ np.arange(61), strict=True))
    rows = own.predictions[own.predictions["fold"] == "0"]
    expected = [ages[name] for name in rows["image"]]
    assert rows["predicted_age"].to_numpy() == pytest.approx(expected, abs=1e-2)


def test_a_fold_without_its_subjects_trains_as_if_they_were_not_there(made):
    """The firewall, by brute force: deleting the test subjects' rows changes no weight."""
    from safetensors.torch import load_file

    change = "stages.0.data.validation=null"
    run(made, plan(made, change, protocol="lopo", only=["05"]), keep_networks=True)
    table = pd.read_csv(made / "made" / "images.csv", dtype={"subject": str, "fold": str})
    assert table["subject"].iloc[-1] == "05"  # the last one: the others' positions stay
    table[table["subject"] != "05"].to_csv(made / "made" / "images.csv", index=False)
    cascade = read_cascade(made / "cascade.yaml", [change])
    run_cascade(cascade, plan_stages(cascade), made / "alone", Processes(0, 1, torch.device("cpu")))
    fold = load_file(made / "out" / "folds" / "05" / "network.safetensors")
    alone = load_file(made / "alone" / "1-target" / "network.safetensors")
    assert set(fold) == set(alone)
    assert all(torch.equal(fold[name], alone[name]) for name in fold)


def test_networks_learn_what_the_mean_does_not(made):
    settled = plan(
        made,
        "stages.0.epochs=12",
        "stages.0.augmentation={}",
        "stages.0.optimiser.learning_rate=0.001",
        regressors=["mean"],
    )
    run(made, settled)
    own, mean = (
        read_run(made / "out" / "runs" / name).predictions for name in ("end-to-end", "gap.mean")
    )
    errors = [mae(table["age"], table["predicted_age"]) for table in (own, mean)]
    assert errors[0] < 0.7 * errors[1], errors


def test_split_hashes_are_those_of_regress(made, tmp_path):
    from featx.extraction import extract
    from regress.methods import plan_methods

    settled = plan(made, protocol="lopo")
    extract(
        made / "made", made / "f.h5", backbone="onet", weights="mtcnn", layers=["gap"], workers=0
    )
    (method,) = plan_methods(made / "f.h5", made / "runs", layers=["gap"], regressors=["mean"])
    assert settled.split == method.split


def test_resume_keeps_finished_folds_and_runs_the_rest(two_stages):
    run(two_stages, plan(two_stages, only=["1"]))
    piece = two_stages / "out" / "runs" / "end-to-end" / "folds" / "1.csv"
    before = piece.stat().st_mtime_ns
    with pytest.raises(FeatxError, match="holds an earlier run; add --resume"):
        run(two_stages, plan(two_stages))
    (info,) = run(two_stages, plan(two_stages), resume=True)
    assert info["folds"]["done"] == 3
    assert piece.stat().st_mtime_ns == before


def test_folds_in_processes_equal_folds_in_turn(made):
    run(made, plan(made), out="one")
    run(made, plan(made), out="two", jobs=2)
    one, two = (read_run(made / out / "runs" / "end-to-end").predictions for out in ("one", "two"))
    pd.testing.assert_frame_equal(one, two, rtol=1e-5)


def test_folds_take_gpus_in_turn_and_are_sent_only_what_they_need(two_stages, monkeypatch):
    sent = []

    def record(function, tasks, jobs):
        for task in tasks:
            sent.append(task)
            yield task[1].name, "not run"

    monkeypatch.setattr(end_to_end, "run", record)
    monkeypatch.setattr(end_to_end, "spread_devices", lambda name: ["cuda:0", "cuda:1"])
    run(two_stages, plan(two_stages), jobs=2, save_every=7)
    assert [device for _, _, device, _ in sent] == ["cuda:0", "cuda:1", "cuda:0"]
    assert all(work.save_every == 7 and work.jobs == 2 for work, *_ in sent)
    content = pickle.dumps(sent[0])
    assert b"made00_0" in content
    assert b"large00_0" not in content


def test_an_early_stage_with_a_test_picture_is_refused(made):
    make_folder(made / "large", subjects=6, each=4, seed=0, dataset="large")  # the same pictures
    write_cascade(made, TWO_STAGES)
    with pytest.raises(
        FeatxError, match=r"byte-identical image .* the target, stage target.*without"
    ):
        plan(made)


def test_an_early_stage_with_a_test_subject_is_refused(made):
    make_folder(made / "large", subjects=2, each=4, seed=9, dataset="made")
    write_cascade(made, TWO_STAGES)
    with pytest.raises(FeatxError, match="subject in the training images and in the target"):
        plan(made)


def test_an_unknown_fold_is_told(made):
    with pytest.raises(FeatxError, match="--fold 99: lopo has no such fold"):
        plan(made, protocol="lopo", only=["99"])


def test_a_layer_that_is_not_there_is_told_before_anything_is_trained(made):
    with pytest.raises(FeatxError, match="unknown layer of onet 'gapp': did you mean gap"):
        plan(made, layers=["gapp"], regressors=["mean"])
    layers = ["embedding", "dense5", "softmax"]
    assert len(plan(made, layers=layers, regressors=["mean"]).methods) == 4


def test_leaving_out_persons_of_whom_none_is_known(made):
    table = read_table(made / "made").assign(subject="")
    write_table(table, made / "made" / "images.csv")
    told = r"the target, stage target, names no subjects, so no person .* use --protocol kfold:5"
    with pytest.raises(FeatxError, match=told):
        plan(made, protocol="lopo")
    assert len(plan(made, protocol="kfold:3").folds) == 3


def test_tables_that_share_ids_are_refused(made):
    again = make_folder(made / "again", subjects=2, each=2, seed=8, dataset="again")
    first = read_table(made / "made")["image"].iloc[0]
    again.loc[0, "image"] = first
    write_table(again, made / "again" / "images.csv")
    with pytest.raises(FeatxError, match=f"has 1 image ids .*: '{first}' is .*made.* and .*again"):
        plan(made, "stages.0.data.tables=[made, again]")


def test_a_failing_fold_is_recorded_and_does_not_lose_the_others(made, monkeypatch):
    def fail_once(*given):
        monkeypatch.undo()
        raise FeatxError("no room")

    monkeypatch.setattr(fold_networks, "split_stage", fail_once)
    (info,) = run(made, plan(made))
    assert info["folds"] == {
        "planned": 3, "done": 2, "missing": ["0"], "failed": {"0": "no room"},
    }  # fmt: skip
    (info,) = run(made, plan(made), resume=True)
    assert info["folds"] == {"planned": 3, "done": 3, "missing": [], "failed": {}}


def test_compare_takes_networks_and_regressors_together(made):
    from regress.compare import compare

    run(made, plan(made, regressors=["mean"]))
    comparison = compare(find_runs([made / "out" / "runs"]), seed=0)
    assert len(comparison.names) == 2


def test_a_filter_of_the_target_leaves_each_fold_its_own_images(made):
    """Images that the filter left out shift nobody: as if they had never been in the table."""
    from safetensors.torch import load_file

    filtered = "stages.0.data.filter={age: [20, 60]}"
    changes = ["stages.0.data.validation=null", "stages.0.epochs=1"]
    run(made, plan(made, *changes, filtered, only=["0"]), out="one", keep_networks=True)
    table = pd.read_csv(made / "made" / "images.csv", dtype={"subject": str, "fold": str})
    assert (table["age"] < 20).any()
    table[table["age"] >= 20].to_csv(made / "made" / "images.csv", index=False)
    run(made, plan(made, *changes, only=["0"]), out="two", keep_networks=True)
    one, two = (
        load_file(made / out / "folds" / "0" / "network.safetensors") for out in ("one", "two")
    )
    assert all(torch.equal(one[name], two[name]) for name in one)

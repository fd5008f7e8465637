"""Cleaning by runs and by networks: who may judge, what is written, what is taken up."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from experiments.cleaning import (
    carry_out,
    finished,
    plan_judging,
    plan_review,
    preview,
    write_cleaned,
)
from experiments.cross_dataset import plan_cross_dataset
from experiments.fold_plan import plan_end_to_end
from featx.errors import FeatxError
from featx.manifest import crop_paths, read_table, write_table
from featx.training.cascade import run_cascade
from featx.training.config.cascade_file import read_cascade
from featx.training.images.stage_data import stage_samples
from featx.training.planning import plan_stages
from featx.training.processes import Processes
from featx.weights import load_network
from tests.featx.training.made_faces import CASCADE, make_folder, write_cascade
from tests.regress.made_runs import write_run

BINS = ("0-14", "15-29", "30-44", "45-60")
NETWORK = Path("out") / "2-target" / "network.safetensors"

TRUSTED = CASCADE.replace(
    "stages:\n",
    """stages:
  - name: early
    data: {tables: [early], validation: null}
    head: {classes: 0-60}
    batch_size: 8
    epochs: 1
""",
).replace("    epochs: 2", "    epochs: 1")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A network of two stages, on the tables `early` and `made` (with validation)."""
    folder = tmp_path_factory.mktemp("trained")
    make_folder(folder / "early", subjects=3, each=3, seed=1, dataset="early")
    make_folder(folder / "made", subjects=5, each=3, seed=2)
    make_folder(folder / "noisy", subjects=5, each=4, seed=3, dataset="noisy")
    cascade = read_cascade(write_cascade(folder, TRUSTED))
    run_cascade(cascade, plan_stages(cascade), folder / "out", Processes(0, 1, torch.device("cpu")))
    return folder


def noisy_run(folder, table, **options):
    """Write a run of groups over a table's images, whose probabilities are drawn."""
    ages = table["age"].to_numpy()
    true = [BINS[min(int(age) // 15, 3)] for age in ages]
    given = np.random.default_rng(5).dirichlet(np.full(4, 0.5), len(table)).astype(np.float32)
    usual = {"groups": BINS, "probabilities": given, "ages": ages, "images": table["image"]}
    return write_run(folder, true, true, **(usual | options)), given


# ------------------------------------------------------------------ whom a network has seen


def test_a_networks_file_tells_whom_all_its_stages_have_seen(trained):
    seen = load_network("onet", str(trained / NETWORK)).trained_on
    for name in ("early", "made"):
        images, people = seen.among(read_table(trained / name))
        assert images.all()  # those that validate, too
        assert people.all()
    images, people = seen.among(read_table(trained / "noisy"))
    assert not images.any()
    assert not people.any()
    first = load_network("onet", str(trained / "out" / "1-early" / "network.safetensors"))
    assert not first.trained_on.among(read_table(trained / "made"))[0].any()
    assert (
        not load_network("onet", "mtcnn").trained_on.among(read_table(trained / "early"))[0].any()
    )


def forget(path, to):
    """Write a network as an earlier release did, which did not say whom it had seen."""
    with safe_open(str(path), framework="pt") as file:
        kept = {"featx": file.metadata()["featx"]}
    to.parent.mkdir(parents=True)
    save_file(load_file(path), to, metadata=kept)
    return to


def test_what_is_unknown_stays_unknown(trained, tmp_path):
    old = forget(trained / NETWORK, tmp_path / "old" / "network.safetensors")
    assert load_network("onet", str(old)).trained_on is None
    with pytest.raises(FeatxError, match="does not tell whom it was trained on"):
        plan_judging(trained / "noisy", old, tmp_path / "o")
    cascade = read_cascade(trained / "cascade.yaml", [f"weights={old}"])
    alone = Processes(0, 1, torch.device("cpu"))
    network = run_cascade(cascade, plan_stages(cascade)[:1], tmp_path / "more", alone)
    assert network.trained_on is None
    with pytest.raises(FeatxError, match="does not tell whom it was trained on"):
        plan_end_to_end(cascade, "kfold:2")


def test_no_protocol_starts_from_a_network_that_has_seen_its_test_images(trained, made):
    change = f"weights={trained / NETWORK}"
    cascade = read_cascade(made / "cascade.yaml", [change])
    shutil.rmtree(made / "made")
    shutil.copytree(trained / "made", made / "made")
    message = "was trained on images of the target, stage target: 15 of these 15 images"
    with pytest.raises(FeatxError, match=message):
        plan_end_to_end(cascade, "kfold:2")
    shutil.copytree(trained / "noisy", made / "noisy")
    other = read_cascade(made / "cascade.yaml", [change, "stages.0.data.tables=[noisy]"])
    assert len(plan_end_to_end(other, "kfold:2").folds) == 2
    with pytest.raises(FeatxError, match=r"was trained on images of the test set .*made"):
        plan_cross_dataset(other, made / "made")


# ------------------------------------------------------------------ a network judges


def test_a_network_refuses_to_judge_what_it_was_trained_on(trained, tmp_path):
    with pytest.raises(FeatxError, match="no image may judge itself") as told:
        plan_judging(trained / "made", trained / NETWORK, tmp_path / "o")
    assert "trained on 15 of these 15 images (such as made00_0, made00_1" in str(told.value)
    with pytest.raises(FeatxError, match=r"can be judged .15: the network was trained on"):
        carry_out(
            plan_judging(trained / "made", trained / NETWORK, tmp_path / "o", leave_seen=True),
            resume=False,
        )
    assert not (tmp_path / "o").exists()


def test_one_image_and_one_person_among_many_are_found_and_left(trained, tmp_path):
    shutil.copytree(trained / "noisy", tmp_path / "noisy")
    table, known = read_table(tmp_path / "noisy"), read_table(trained / "early")
    table.loc[3, "sha256"] = known["sha256"][0]
    table.loc[8, ["dataset", "subject"]] = known.loc[0, ["dataset", "subject"]].tolist()
    table.loc[5, "status"] = "duplicate"
    table.loc[6, "age"] = 117
    table.loc[11, "sha256"] = ""  # taken from the file: the sources are not there, the crops are
    write_table(table, tmp_path / "noisy" / "images.csv")
    (tmp_path / "noisy" / table["crop"][9]).write_bytes(b"no picture")
    given = tmp_path / "noisy", trained / NETWORK, tmp_path / "out"
    message = r"1 of these 19 images .such as noisy00_3. and other images of 1 person .such as 00"
    with pytest.raises(FeatxError, match=message):
        plan_judging(*given)
    plan = plan_judging(*given, leave_seen=True, device="cpu", workers=0)
    assert preview(plan).counts["judged"] == 16
    cleaned = carry_out(plan, resume=False)
    assert cleaned.counts["judged"] == 15
    assert cleaned.counts["why_not"] == {
        "the network was trained on it or its person": 2,
        "status duplicate": 1,
        "the label is in none of the bins": 1,
        "cannot be read": 1,
    }
    unjudged = set(table["image"]) - set(cleaned.review["image"])
    assert unjudged == set(table["image"][[3, 8, 5, 6, 9]])


def test_probabilities_are_those_of_featx_predict(trained, tmp_path):
    """The judge's numbers against the other way through the network, class by class."""
    from featx.images import read_rgb
    from featx.loading import pixel_array
    from featx.prediction.model import load_model

    source = trained / "noisy"
    plan = plan_judging(source, trained / NETWORK, tmp_path / "o", bins=BINS, neighbours=0,
                        device="cpu", workers=0)  # fmt: skip
    listed = carry_out(plan, resume=False).review.set_index("image")
    model, table = load_model(trained / NETWORK), read_table(source)
    files = crop_paths(table, source)
    told = model.estimate([pixel_array(read_rgb(f), model.preprocessing) for f in files])["age"]
    for row, image in enumerate(table["image"]):
        number = min(int(table["age"][row]) // 15, 3)
        expected = told.probabilities[row][15 * number : 15 * number + 15 + (number == 3)].sum()
        assert listed.loc[image, "probability"] == pytest.approx(expected, abs=1e-5)
        assert listed.loc[image, "expected_age"] == pytest.approx(told.ages[row], abs=1e-3)


def test_an_interrupted_run_goes_on_where_it_was(trained, tmp_path, monkeypatch):
    given = {"bins": BINS, "device": "cpu", "workers": 0}
    plan = plan_judging(trained / "noisy", trained / NETWORK, tmp_path / "o", **given)
    cleaned = carry_out(plan, resume=False)
    assert [path.name for path in (tmp_path / "o").iterdir()] == ["softmax.h5"]
    with pytest.raises(FeatxError, match="is not empty; add --resume"):
        finished(plan, resume=False)
    assert not finished(plan, resume=True)
    # nothing is computed again
    monkeypatch.setattr("featx.extraction.engine.Engine.__call__", None)
    again = carry_out(plan, resume=True)
    pd.testing.assert_frame_equal(again.review, cleaned.review)
    write_cleaned(plan, again)
    (tmp_path / "o" / "review.csv").write_text("mine\n")
    assert finished(plan, resume=True)
    other = plan_judging(trained / "noisy", trained / NETWORK, tmp_path / "o", least=0.3, **given)
    with pytest.raises(FeatxError, match="was made from another table, judge, list or rule"):
        finished(other, resume=True)


def test_crops_of_another_kind_are_told(trained, tmp_path):
    made = {"detector": "mtcnn", "crop": "margin", "margin": 0.4, "size": [48, 48]}
    for name, margin in (("one", 0.4), ("two", 0.1)):
        shutil.copytree(trained / "noisy", tmp_path / name)
        told = {"settings": {**made, "margin": margin}}
        (tmp_path / name / "prepare.json").write_text(json.dumps(told))
    cascade = read_cascade(trained / "cascade.yaml", [f"stages.1.data.tables=[{tmp_path / 'one'}]"])
    one = Processes(0, 1, torch.device("cpu"))
    run_cascade(cascade, plan_stages(cascade), tmp_path / "out", one)
    for name in ("one", "two"):
        plan = plan_judging(tmp_path / name, tmp_path / NETWORK, tmp_path / "o", leave_seen=True)
        assert len(plan.caveats) == (name == "two")
    assert "margin 0.1" in plan.caveats[0]


# ------------------------------------------------------------------ a run judges


def test_a_run_judges_each_image_by_its_own_row(trained, tmp_path):
    table = read_table(trained / "noisy")
    _, given = noisy_run(tmp_path / "run", table, shuffle=4, left_out=("2",))
    plan = plan_judging(trained / "noisy", tmp_path / "run", tmp_path / "o")
    cleaned = carry_out(plan, resume=False)
    left = [row for row in range(len(table)) if row % 6 % 3 == 2]
    assert cleaned.counts["why_not"] == {"not predicted in the run": len(left)}
    listed = cleaned.review.set_index("image")
    assert not set(listed.index) & set(table["image"][left])
    for row, image in enumerate(table["image"]):
        if row in left:
            continue
        number = min(int(table["age"][row]) // 15, 3)
        expected = given[row].astype(float)[max(0, number - 1) : number + 2].sum()
        assert listed.loc[image, "probability"] == pytest.approx(expected, abs=1e-6)
        assert listed.loc[image, "bin"] == BINS[number]


def test_runs_that_cannot_judge(trained, tmp_path):
    table = read_table(trained / "noisy")
    path = trained / "noisy"
    noisy_run(tmp_path / "all" / "one", table)
    assert plan_judging(path, tmp_path / "all", tmp_path / "o").judge.source.name == "one"
    noisy_run(tmp_path / "all" / "two", table)
    with pytest.raises(FeatxError, match=r"one run of ages .* there are 2: .*one, .*two"):
        plan_judging(path, tmp_path / "all", tmp_path / "o")
    with pytest.raises(FeatxError, match="--leave-seen goes with a network"):
        plan_judging(path, tmp_path / "all" / "one", tmp_path / "o", leave_seen=True)
    write_run(tmp_path / "ages", table["age"], table["age"], task="age", images=table["image"])
    with pytest.raises(FeatxError, match="has no class probabilities"):
        plan_judging(path, tmp_path / "ages", tmp_path / "o")
    sex = table["gender"]
    write_run(tmp_path / "gender", sex, sex, task="gender", groups=("female", "male"),
              images=table["image"])  # fmt: skip
    with pytest.raises(FeatxError, match="it predicts gender"):
        plan_judging(path, tmp_path / "gender", tmp_path / "o")
    noisy_run(tmp_path / "other", table, images=[f"x{row}" for row in range(len(table))])
    with pytest.raises(FeatxError, match="predicted none of the table's 20 images"):
        plan_judging(path, tmp_path / "other", tmp_path / "o")
    ages = table["age"].to_numpy(float, copy=True)
    ages[[2, 7]] += 1
    noisy_run(tmp_path / "older", table, ages=ages)
    with pytest.raises(FeatxError, match=r"years old there and .* in the table .2 such images"):
        plan_judging(path, tmp_path / "older", tmp_path / "o")
    with pytest.raises(FeatxError, match="holds neither a run nor a network"):
        plan_judging(path, trained / "early", tmp_path / "o")


def test_features_of_a_fine_tuned_network_are_told(trained, tmp_path):
    table = read_table(trained / "noisy")
    tuned = {"weights": "network.safetensors", "fine_tuning": {"key": "k"}}
    features = {"features": {"provenance": tuned}}
    for name, info, n in (
        ("regressor", features, 1),
        ("folds", {**features, "cascade": "c.yaml"}, 0),
        ("frozen", {"features": {"provenance": {"weights": "mtcnn"}}}, 0),
    ):
        noisy_run(tmp_path / name, table, info=info)
        assert len(plan_judging(trained / "noisy", tmp_path / name, tmp_path / "o").caveats) == n


# ------------------------------------------------------------------ what is written


def test_the_table_leads_to_the_same_pictures_from_anywhere(trained, tmp_path):
    shutil.copytree(trained / "noisy", tmp_path / "deep" / "noisy")
    source = tmp_path / "deep" / "noisy"
    table = read_table(source)
    table.loc[0, "path"] = str(tmp_path / "somewhere" / "x.jpg")
    table.loc[1, "crop"] = ""
    write_table(table, source / "images.csv")
    prepared = {"settings": {"crop": "margin"}, "n_ok": 20, "dataset": "noisy"}
    (source / "prepare.json").write_text(json.dumps(prepared))
    noisy_run(tmp_path / "run", table)
    out = tmp_path / "a" / "b" / "out"
    plan = plan_judging(source, tmp_path / "run", out)
    write_cleaned(plan, carry_out(plan, resume=False))

    cleaned = read_table(out)
    before = [Path(file).resolve() for file in crop_paths(table, source)]
    assert [Path(file).resolve() for file in crop_paths(cleaned, out)] == before
    assert cleaned["path"][0] == table["path"][0]
    moved = ["path", "crop", "status", "reason"]
    pd.testing.assert_frame_equal(cleaned.drop(columns=moved), table.drop(columns=moved))
    listed = pd.read_csv(out / "review.csv").set_index("image")
    dropped = set(listed.index[listed["decision"] == "drop"])
    assert dropped == set(cleaned["image"][cleaned["status"] == "excluded"]) != set()
    for image, file in zip(table["image"], before, strict=True):
        if image in listed.index and file.exists():
            assert (out / listed.loc[image, "picture"]).resolve() == file
    told = json.loads((out / "prepare.json").read_text())
    assert told["settings"] == prepared["settings"]
    assert told["n_ok"] == 20 - len(dropped)
    assert told["cleaned"]["least"] == 0.4

    # a stage trains on what is left, and on nothing else
    write_cascade(tmp_path, CASCADE.replace("[made]", f"[{out}]"))
    stage = read_cascade(tmp_path / "cascade.yaml").stages[0]
    assert set(stage_samples(stage).table["image"]) == set(table["image"]) - dropped

    # a reviewed list's pictures are found from its own folder
    plan = plan_review(source, out / "review.csv", tmp_path / "reviewed")
    write_cleaned(plan, carry_out(plan, resume=False))
    again = pd.read_csv(tmp_path / "reviewed" / "review.csv").set_index("image")
    for image in again.index:
        ours, theirs = again.loc[image, "picture"], listed.loc[image, "picture"]
        assert (tmp_path / "reviewed" / ours).resolve() == (out / theirs).resolve()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda out: out.write_text("x"), "is a file; give a folder"),
        (lambda out: (out.mkdir(), (out / "x.txt").touch()), "holds x.txt, no output of featx cl"),
        (lambda out: (out.mkdir(), (out / "clean.json").write_text("{")), "clean.json is damaged"),
    ],
)
def test_folders_that_are_anothers(trained, tmp_path, make, message):
    noisy_run(tmp_path / "run", read_table(trained / "noisy"))
    make(tmp_path / "o")
    plan = plan_judging(trained / "noisy", tmp_path / "run", tmp_path / "o")
    with pytest.raises(FeatxError, match=message):
        finished(plan, resume=True)


def test_networks_of_folds_judge_out_of_fold(trained, tmp_path):
    """What `featx finetune --protocol` writes is a judge, whole images in, no row left over."""
    from experiments.end_to_end import run_end_to_end
    from regress.probabilities import read_probabilities

    changes = ["stages.0.data.tables=[noisy]", "stages.0.epochs=1"]
    shutil.copytree(trained / "noisy", tmp_path / "noisy")
    cascade = read_cascade(write_cascade(tmp_path), changes)
    run_end_to_end(plan_end_to_end(cascade, "kfold:2"), tmp_path / "judge", device="cpu")
    plan = plan_judging(tmp_path / "noisy", tmp_path / "judge", tmp_path / "o", bins=BINS)
    cleaned = carry_out(plan, resume=False)
    assert cleaned.counts["judged"] == 20
    assert plan.caveats == ()
    run = plan.judge.run
    given = read_probabilities(run)
    for row, image in enumerate(run.predictions["image"]):
        listed = cleaned.review.set_index("image").loc[image]
        ages = run.predictions["predicted_age"]
        assert listed["expected_age"] == pytest.approx(ages[row], abs=1e-3)
        ends = [int(end) for end in re.findall(r"\d+", listed["bins"])]  # of "0-14 to 15-29"
        inside = (given.classes >= ends[0]) & (given.classes <= ends[-1])
        assert listed["probability"] == pytest.approx(given.values[row][inside].sum())

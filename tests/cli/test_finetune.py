"""`featx finetune` on the command line: what it makes, and one line for every bad input."""

import json
import shutil
from importlib import import_module

import numpy as np
import pandas as pd
import pytest
import torch

from cli import main as program
from featx.manifest import read_table, write_table
from featx.store import FeaturesFile
from tests.featx.training.made_faces import CASCADE, make_folder, write_cascade


@pytest.fixture
def made(tmp_path):
    make_folder(tmp_path / "made")
    write_cascade(tmp_path)
    return tmp_path


@pytest.fixture
def featx(capfd, monkeypatch):
    def call(*arguments):
        with pytest.raises(SystemExit) as ended:
            program.main([str(argument) for argument in arguments])
        captured = capfd.readouterr()
        return ended.value.code, captured.out, captured.err

    return call


def finetune(featx, made, *arguments):
    cascade, out = made / "cascade.yaml", made / "out"
    return featx("finetune", cascade, "-o", out, "--device", "cpu", *arguments)


def change_table(folder, **columns):
    table = read_table(folder)
    write_table(table.assign(**columns), folder / "images.csv")


def test_the_network_goes_straight_into_extract(featx, made):
    code, out, _ = finetune(featx, made)
    assert code == 0
    network = made / "out" / "1-target" / "network.safetensors"
    assert f"-> {network}" in out
    assert [line.partition(": loss ")[0] for line in out.splitlines()[:2]] == [
        "target, epoch 1 of 2", "target, epoch 2 of 2",
    ]  # fmt: skip
    code, _, err = featx(
        "extract", made / "made", "--backbone", "onet", "--weights", network, "--device", "cpu",
        "--layer", "softmax", "--layer", "gap", "--layer", "embedding", "--workers", 0,
        "-o", made / "f.h5",
    )  # fmt: skip
    assert code == 0, err
    with FeaturesFile(made / "f.h5") as file:
        probabilities = file.read("softmax")
        provenance = file.provenance
    assert probabilities.shape == (24, 61)
    assert probabilities.sum(1) == pytest.approx(1, abs=1e-5)
    tuned = provenance["fine_tuning"]
    assert tuned["parent"]["weights"] == "mtcnn"
    assert tuned["stage"]["head"]["label_sd"] == 3
    assert tuned["epochs"] == 2

    import h5py

    with h5py.File(made / "f.h5") as file:
        assert file["class"][()].tolist() == list(range(61))


def test_a_dry_run_tells_and_writes_nothing(featx, made):
    code, out, _ = finetune(featx, made, "--dry-run")
    assert code == 0
    assert "target: 16 of 24 images, 8 for validation, 2 epochs of 4 batches" in out
    assert not (made / "out").exists()


def test_a_protocol_and_compare(featx, made):
    code, out, err = finetune(
        featx, made, "--protocol", "kfold:3", "--regressor", "mean", "--fold", "0", "--fold", "2"
    )
    assert code == 0, err
    assert "end to end: MAE" in out
    assert "2 of 3 folds" in out
    code, out, err = finetune(
        featx, made, "--protocol", "kfold:3", "--regressor", "mean", "--resume"
    )
    assert code == 0, err
    assert "3 of 3 folds" in out
    code, _, err = featx("compare", made / "out" / "runs", "-o", made / "report")
    assert code == 0, err
    table = (made / "report" / "table.csv").read_text()
    assert "end to end" in table
    assert "mean" in table


def test_the_seed_of_the_command_line_replaces_the_files(featx, made):
    finetune(featx, made, "--seed", 11)
    told = json.loads((made / "out" / "1-target" / "stage.json").read_text())
    assert told["provenance"]["seed"] == 11


def one_line(result, *parts):
    code, _, err = result
    lines = [line for line in err.splitlines() if line.startswith("featx: ")]
    assert code == 1, err
    assert len(lines) == 1, err
    assert "Traceback" not in err
    for part in parts:
        assert part in lines[0]


def test_an_unknown_key(featx, made):
    write_cascade(made, CASCADE.replace("batch_size", "batchsize"))
    one_line(
        finetune(featx, made),
        "cascade.yaml, line 11: stages[0].batchsize: unknown key; did you mean batch_size?",
    )


def test_classes_that_do_not_cover_the_ages(featx, made):
    one_line(
        finetune(featx, made, "--set", "stages.target.head.classes=0-20"),
        "stage target: ", "lie in none of the classes (0 to 20): the first is 'made0",
        "widen head.classes",
    )  # fmt: skip


def test_weights_of_another_backbone(featx, made):
    finetune(featx, made)
    network = made / "out" / "1-target" / "network.safetensors"
    one_line(
        finetune(
            featx, made, "--set", "backbone=mobilefacenet", "--set", f"weights={network}",
            "--resume",
        ),
        f"{network} does not fit mobilefacenet: it is a fine-tuned onet; use --backbone onet",
    )  # fmt: skip


def test_a_subject_in_both_splits(featx, made):
    make_folder(made / "held", subjects=3, each=2, seed=5, dataset="made")
    one_line(
        finetune(featx, made, "--set", "stages.0.data.validation={tables: [held]}"),
        "stage target: subject in the training images and in the validation images: 00, 01, 02",
    )


def test_an_empty_validation_split(featx, made):
    change_table(made / "made", subject="one and only")
    one_line(finetune(featx, made), "stage target: ", "validation")
    make_folder(made / "held", subjects=2, each=2, seed=5, dataset="other", ages=(10, 20))
    one_line(
        finetune(
            featx, made, "--set", "stages.0.data.validation={tables: [held]}",
            "--set", "stages.0.data.filter={dataset: [made]}",
        ),
        "filter",
    )  # fmt: skip


def test_a_loss_that_is_no_number(featx, made):
    result = finetune(
        featx, made,
        "--set", "stages.0.optimiser={name: sgd, learning_rate: 100.0, head_learning_rate: 100.0}",
        "--set", "stages.0.schedule={name: constant}", "--set", "stages.0.epochs=20",
        "--set", "stages.0.head={loss: l1}", "--set", "stages.0.augmentation={}",
    )  # fmt: skip
    one_line(result, "stage target: the loss is ", " at step ", " of epoch ", "on the images made0")
    named = result[2].split("on the images ")[1].split(";")[0].split(", ")
    assert len(named) == 4
    assert set(named) <= set(read_table(made / "made")["image"])


SHORTAGES = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:1] DefaultCPUAllocator: can't allocate memory"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"),
    RuntimeError("CUDA error: out of memory"),
    MemoryError(),
]


def burst(monkeypatch, place, name, error):
    def raising(*_, **__):
        raise error

    monkeypatch.setattr(place, name, raising)


@pytest.mark.parametrize("error", SHORTAGES, ids=str)
def test_too_little_memory_says_what_to_lower(featx, made, monkeypatch, error):
    from featx.training.steps import Steps

    burst(monkeypatch, Steps, "one", error)
    one_line(
        finetune(featx, made),
        "too little memory for batches of 4 images; set batch_size: 2 and accumulate: 2",
    )


@pytest.mark.parametrize(("module", "name"), [("loop", "validate"), ("steps", "TaskLosses")])
def test_too_little_memory_outside_of_the_steps(featx, made, monkeypatch, module, name):
    burst(monkeypatch, import_module(f"featx.training.{module}"), name, SHORTAGES[0])
    one_line(finetune(featx, made), "stage target: ", "too little memory for batches of 4 images")


def test_too_little_memory_for_a_folds_predictions(featx, made, monkeypatch):
    from experiments import own_head

    burst(monkeypatch, own_head, "predict", SHORTAGES[2])
    code, _, err = finetune(featx, made, "--protocol", "kfold:2")
    assert code == 1
    assert "too little memory to use its network; run fewer folds at once (--jobs" in err


def test_other_errors_are_not_taken_for_a_shortage(made, monkeypatch):
    from featx.training.shortage import is_shortage

    assert not is_shortage(RuntimeError("CUDA error: device-side assert triggered"))
    assert not is_shortage(ValueError("out of memory"))


def test_a_table_that_is_not_there(featx, made):
    shutil.rmtree(made / "made")
    one_line(finetune(featx, made), "stage target: ", "made", "is not there")


def test_pictures_that_are_not_there(featx, made):
    next((made / "made" / "crops").iterdir()).unlink()
    one_line(finetune(featx, made), "crops/made0")


def test_an_earlier_run_is_kept(featx, made):
    finetune(featx, made)
    one_line(finetune(featx, made), "holds an earlier run; add --resume, or give another -o")
    one_line(
        finetune(featx, made, "--resume", "--set", "stages.0.epochs=1"),
        "was made with other settings",
    )


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--fold", "0"), "--fold goes with --protocol"),
        (("--regressor", "mean"), "--regressor goes with --protocol"),
        (("--part", "1/2"), "--part goes with --protocol"),
        (("--gather",), "--gather goes with --protocol"),
        (("--early-only",), "--early-only goes with --protocol"),
        (("--protocol", "kfold:3", "--part", "4/3"), "--part 4/3: give K/N"),
        (("--protocol", "kfold:3", "--part", "1/2", "--gather"), "give one of --early-only"),
        (("--set", "stages.0.epochs"), "write KEY=VALUE"),
        (("--protocol", "kfold:9", "--dry-run"), "9"),
    ],
)
def test_options_that_make_no_sense(featx, made, arguments, told):
    code, _, err = finetune(featx, made, *arguments)
    assert code in (1, 2)
    assert told in err


def test_parts_and_gathering(featx, made):
    protocol = ("--protocol", "kfold:3")
    assert finetune(featx, made, *protocol, "--early-only")[0] == 0  # there is none
    code, out, err = finetune(featx, made, *protocol, "--part", "1/2")
    assert code == 0, err
    assert "part 1/2 is done" in out
    one_line(finetune(featx, made, *protocol, "--gather"), "1 of 3 folds are missing (run.json")
    assert finetune(featx, made, *protocol, "--part", "2/2")[0] == 0
    code, out, err = finetune(featx, made, *protocol, "--gather")
    assert code == 0, err
    assert "3 of 3 folds" in out


def test_torchrun_is_for_stages_only(featx, made, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    code, _, err = finetune(featx, made, "--protocol", "lopo")
    assert code == 2
    assert "side by side with --jobs, not by torchrun" in err


@pytest.mark.parametrize(("release", "code"), [("2.9.1+cu126", 1), ("2.10.0", 0)])
def test_several_processes_on_a_cluster_need_a_torchrun_that_passes_signals_on(
    featx, made, monkeypatch, release, code
):
    monkeypatch.setattr("featx.doctor.packages.version_of", {"torch": release}.get)
    profile = made / "cluster.toml"
    profile.write_text("[slurm.finetune]\nnodes = 2\n")
    cluster = ["--cluster", "slurm", "--profile", profile, "--dry-run"]
    got, out, err = finetune(featx, made, *cluster)
    assert got == code
    assert ("needs torch 2.10 or newer" in err and release in err) if code else "torchrun" in out


def test_ages_unknown_are_left_out_and_counted(featx, made):
    ages = read_table(made / "made")["age"].to_numpy()
    change_table(made / "made", age=np.where(np.arange(24) < 4, np.nan, ages))
    code, out, _ = finetune(featx, made, "--dry-run")
    assert code == 0
    assert "of 24 images" in out
    counted = pd.Series(out.split()).str.extract(r"(\d+)")[0].dropna().astype(int)
    assert counted.iloc[0] + counted.iloc[2] == 20

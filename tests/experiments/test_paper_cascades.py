"""The paper's networks through its cascade files as they stand, two steps a stage on a CPU."""

import math

import pandas as pd
import pytest
import torch

from experiments.experiment_file import FOLDER
from featx.training.cascade import run_cascade, start_network
from featx.training.cascade_file import read_cascade
from featx.training.planning import plan_stages
from featx.training.processes import Processes
from featx.training.search import _changes, _grid, _stage_number
from featx.training.search_file import read_search
from tests.featx.training.made_faces import make_folder

CASCADES = FOLDER / "cascaded_finetuning" / "cascades"
HEADS = {"vgg16": "classifier", "resnet50": "fc", "senet50": "fc"}


def shortened(path, made, backbone):
    """Return the cascade with its data, weights and length replaced, and nothing else."""
    stages = read_cascade(path).stages
    changes = ["weights=random", f"backbone={backbone}"]
    for number in range(len(stages)):
        for key, value in {
            "data.tables": f"[{made}]",
            "data.validation": 0.5,
            "batch_size": 2,
            "epochs": 1,
        }.items():
            changes.append(f"stages.{number}.{key}={value}")
    return read_cascade(path, changes)


@pytest.mark.parametrize("backbone", HEADS)
@pytest.mark.parametrize("mode", ["mode_a", "mode_c_utkface"])
def test_two_steps_a_stage(tmp_path, backbone, mode):
    make_folder(tmp_path / "made", subjects=4, each=2)
    name = f"{mode}_{backbone}" if mode == "mode_a" else mode
    cascade = shortened(CASCADES / f"{name}.yaml", tmp_path / "made", backbone)
    start = start_network(cascade).module.state_dict()
    network = run_cascade(
        cascade, plan_stages(cascade), tmp_path, Processes(0, 1, torch.device("cpu"))
    )
    for number, stage in enumerate(cascade.stages, start=1):
        history = pd.read_csv(tmp_path / f"{number}-{stage.name}" / "history.csv")
        assert len(history) == 1
        assert math.isfinite(history["train_loss"][0])
        assert math.isfinite(history["validation_mae"][0])
    moved = {
        name
        for name, tensor in network.module.state_dict().items()
        if name in start and tensor.shape == start[name].shape
        if not torch.equal(tensor, start[name])
    }
    body = {name for name in moved if not name.startswith(HEADS[backbone])}
    assert bool(body) == (mode == "mode_c_utkface")


@pytest.mark.parametrize(
    "path", sorted(CASCADES.parent.glob("searches/*.yaml")), ids=lambda p: p.stem
)
def test_the_papers_grid(path):
    search = read_search(path)
    cascade = read_cascade(path.parent / search.cascade)
    assert len(_grid(search)) == 16
    assert {tuple(each) for each in _grid(search)} == {("optimiser.learning_rate", "batch_size")}
    assert (search.epochs, search.sampler) == (1, "grid")
    for settings in _grid(search):  # the cascade takes every one of them
        changes = _changes(search, _stage_number(search, cascade), settings)
        assert read_cascade(cascade.file, changes)


def test_there_is_the_papers_grid():
    assert (CASCADES.parent / "searches" / "grid_vgg16.yaml").is_file()

"""The paper's networks through its cascade files as they stand, two steps a stage on a CPU."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
import torch

from experiments.experiment_file import FOLDER
from featx.heads import HeadSpec
from featx.training.cascade import run_cascade, start_network
from featx.training.config.cascade_file import read_cascade
from featx.training.planning import plan_stages
from featx.training.processes import Processes
from featx.training.rehearsal import check_unlock
from featx.training.search.changes import changes, searched
from featx.training.search.file import read_search
from featx.training.search.space import grid
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


def test_the_papers_grid():
    search = read_search(CASCADES.parent / "searches" / "grid_vgg16.yaml")
    cascade, number = searched(search)
    combinations = list(grid(search.space))
    assert len(combinations) == 16
    assert {tuple(each) for each in combinations} == {("optimiser.learning_rate", "batch_size")}
    assert (search.epochs, search.sampler) == (1, "grid")
    for settings in combinations:  # the cascade takes every one of them
        assert read_cascade(cascade.file, changes(cascade, number, settings))


def test_agenets_search_over_structures():
    search = read_search(FOLDER / "agenet" / "searches" / "structure.yaml")
    cascade, number = searched(search)
    assert sum(phase.models(search.space) for phase in search.settled) == 91
    assert [phase.sampler for phase in search.settled] == ["random", "random"]  # uniform draws
    assert cascade.stages[number].early_stopping == 4
    # what the paper found lies inside
    space = search.space
    assert {5} <= set(space["backbone.conv_layers"])
    assert (256, 128) in space["head.hidden"]
    assert space["backbone.filters"].low < 64 < space["backbone.filters"].high
    assert space["optimiser.learning_rate"].low < 3e-5
    assert space["optimiser.learning_rate"].high > 1e-2
    ends = [v if isinstance(v, tuple) else (v.low, v.high) for v in space.values()]
    for corner in itertools.product(*((values[0], values[-1]) for values in ends)):
        settings = dict(zip(space, corner, strict=True))
        changed = read_cascade(cascade.file, changes(cascade, number, settings))
        head = changed.stages[number].head
        middles, names = head.class_values(np.array([]))
        check_unlock(changed.backbone, [HeadSpec("softmax", middles, names, head.hidden)], "all")

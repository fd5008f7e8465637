"""When a stage stops, and which epoch's weights it leaves."""

import itertools

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from featx.training.cascade import run_cascade
from featx.training.config.cascade_file import read_cascade
from featx.training.loop import StageTraining
from featx.training.planning import plan_stages
from featx.training.processes import Processes
from featx.training.validation import Scores

ALONE = Processes(0, 1, torch.device("cpu"))

#: Of each epoch: the second is the best, and the sixth would be better still.
LOSSES = [3.0, 1.0, 2.0, 1.0, 1.5, 0.5, 4.0]


class Stopped(Exception):
    """Stands for a kill."""


@pytest.fixture
def train(made, monkeypatch):
    """Train with validation losses as given; returns each epoch's weights, and the stage's."""

    def call(*changes, out="out", stop=None, **options):
        weights = []

        def scored(self):
            if stop is not None and self._epoch == stop:
                raise Stopped
            tensors = self._steps.network.state_dict().items()
            weights.append({name: tensor.detach().clone() for name, tensor in tensors})
            return Scores(LOSSES[self._epoch], {"validation_mae": 1.0, "validation_accuracy": 0.0})

        monkeypatch.setattr(StageTraining, "_validate", scored)
        changes = [f"stages.0.epochs={len(LOSSES)}", *changes]
        cascade = read_cascade(made / "cascade.yaml", changes)
        run_cascade(cascade, plan_stages(cascade), made / out, ALONE, **options)
        folder = made / out / "1-target"
        history = pd.read_csv(folder / "history.csv")
        return weights, load_file(folder / "network.safetensors"), history

    return call


def equal(first, second):
    return all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize(
    ("patience", "epochs"), [(None, 7), (1, 3), (2, 4), (3, 5), (4, 7)], ids=str
)
def test_a_stage_stops_after_so_many_epochs_without_a_lower_loss(train, patience, epochs):
    changes = [] if patience is None else [f"stages.0.early_stopping={patience}"]
    weights, left, history = train(*changes)
    assert history["validation_loss"].tolist() == LOSSES[:epochs]
    best = LOSSES.index(min(LOSSES[:epochs]))
    assert all(not equal(a, b) for a, b in itertools.pairwise(weights))
    assert equal(weights[best], left)


def test_the_last_weights_are_kept_where_they_are_asked_for(train):
    weights, left, history = train("stages.0.early_stopping=2", "stages.0.keep=last")
    assert len(history) == len(weights) == 4
    assert equal(weights[-1], left)


@pytest.mark.parametrize("keep", ["best", "last"])
@pytest.mark.parametrize("stop", [2, 3])
def test_a_resumed_stage_knows_the_best_epoch_and_its_patience(train, keep, stop):
    changes = ["stages.0.early_stopping=2", f"stages.0.keep={keep}"]
    _, whole, expected = train(*changes, out="whole")
    with pytest.raises(Stopped):
        train(*changes, stop=stop, save_every=0)
    weights, left, history = train(*changes, resume=True)
    assert len(weights) == 4 - stop
    assert equal(whole, left)
    assert history["validation_loss"].tolist() == expected["validation_loss"].tolist()

"""A search over AgeNet's structure, coarse and then dense, in miniature."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import optuna
import pandas as pd
import pytest
import torch
from torch import nn

from featx.backbones import _registry, register_backbone
from featx.backbones._options import Option
from featx.backbones._registry import Preprocessing
from featx.errors import FeatxError
from featx.training import rehearsal
from featx.training.cascade import run_cascade
from featx.training.config.cascade_file import read_cascade
from featx.training.planning import plan_stages
from featx.training.processes import Processes
from featx.training.search import running as searching
from featx.training.search.file import read_search
from featx.training.search.narrowing import narrow
from featx.training.search.running import run_search
from featx.training.search.space import Range
from tests.exact_csv import EXACT
from tests.featx.training.made_faces import CASCADE, make_folder, write_cascade

ROOT = Path(__file__).parents[3]
ALONE = Processes(0, 1, torch.device("cpu"))
AGENET = (
    CASCADE.replace("onet", "agenet")
    .replace("mtcnn", "random")
    .replace(
        "loss: label-distribution, classes: 0-60, label_sd: 3, expected_value_weight: 0.1", "X"
    )
    .replace("X", 'classes: ["0-20", "21-40", "41-60"]')
)
PHASES = """\
cascade: cascade.yaml
sampler: random
seed: 1
space:
  backbone.conv_layers: [3, 4, 5]
  backbone.filters: {low: 4, high: 8}
  head.hidden: [[8], [16, 8], [32, 16]]
  optimiser.learning_rate: {low: 1e-4, high: 1e-2, log: true}
phases:
  - {name: coarse, trials: 4}
  - {name: dense, trials: 3, epochs: 2, around: {best: 1, fraction: 0.1}}
"""
KEYS = ["backbone.conv_layers", "backbone.filters", "head.hidden", "optimiser.learning_rate"]


@pytest.fixture
def faces(tmp_path):
    make_folder(tmp_path / "made", subjects=6, each=3)
    write_cascade(tmp_path, AGENET)
    return tmp_path


def search(folder, text=PHASES, out="out", **options):
    (folder / "search.yaml").write_text(text)
    best = run_search(read_search(folder / "search.yaml"), folder / out, ALONE, **options)
    return best, pd.read_csv(folder / out / "trials.csv", **EXACT)


def setting(row):
    """Return a row of trials.csv as the search file writes it."""
    return {key: tuple(json.loads(row[key])) if "hidden" in key else row[key] for key in KEYS}


def test_coarse_then_dense(faces):
    lines = []
    best, trials = search(faces, say=lines.append)
    assert trials["phase"].tolist() == ["coarse"] * 4 + ["dense"] * 3
    assert trials["trial"].tolist() == [0, 1, 2, 3, 0, 1, 2]
    assert trials["state"].tolist() == ["complete"] * 7
    assert set(trials["head.hidden"]) <= {"[8]", "[16, 8]", "[32, 16]"}
    assert trials["validation_accuracy"].between(0, 1).all()
    # the dense phase stays where its narrowed space is, trained for as long as it says
    loaded = read_search(faces / "search.yaml")
    coarse, dense = (trials[trials["phase"] == name] for name in ("coarse", "dense"))
    around = loaded.settled[1].around
    space = narrow(loaded.space, [setting(coarse.loc[coarse["validation_loss"].idxmin()])], around)
    for _, row in dense.iterrows():
        for key, value in setting(row).items():
            values = space[key]
            if isinstance(values, Range):
                assert values.low <= value <= values.high
            else:
                assert value in values
    for phase, epochs in (("coarse", 1), ("dense", 2)):
        assert len(pd.read_csv(faces / "out" / "trials" / phase / "0" / "history.csv")) == epochs
    lowest = setting(trials.loc[trials["validation_loss"].idxmin()])
    assert best == lowest
    assert any(line.startswith("dense: backbone.filters: ") for line in lines)
    # both phases lie in one journal
    journal = optuna.storages.journal.JournalFileBackend(str(faces / "out" / "study.log"))
    names = optuna.get_all_study_names(optuna.storages.JournalStorage(journal))
    assert set(names) == {"coarse", "dense"}


def test_best_yaml_has_the_backbone_with_its_options_and_trains(faces):
    best, trials = search(faces)
    cascade = read_cascade(faces / "out" / "best.yaml")
    (stage,) = cascade.stages
    layers, filters = best["backbone.conv_layers"], best["backbone.filters"]
    options = [f"conv_layers={layers}"] * (layers != 5) + [f"filters={filters}"]
    assert cascade.backbone == f"agenet:{','.join(options)}"
    assert stage.head.hidden == best["head.hidden"]
    assert stage.epochs == 2  # the cascade's own
    network = run_cascade(cascade, plan_stages(cascade), faces / "trained", ALONE)
    convolutions = [m for m in network.module.modules() if isinstance(m, nn.Conv2d)]
    assert [c.out_channels for c in convolutions] == [filters * 2**n for n in range(layers)]
    linear = [m for m in network.module.modules() if isinstance(m, nn.Linear)]
    assert [m.out_features for m in linear] == [*best["head.hidden"], 3]
    # a trial of as many epochs is this very training
    history = pd.read_csv(faces / "trained" / "1-target" / "history.csv")
    row = trials.loc[trials["validation_loss"].idxmin()]
    if row["phase"] == "dense":
        assert history["validation_loss"].min() == pytest.approx(row["validation_loss"], rel=1e-6)


KILLED = """\
import os, signal, sys
from pathlib import Path
import torch
from featx.training.search import running as searching
from featx.training.processes import Processes
from featx.training.search.file import read_search

real, calls = searching.run_stage, []

def fatal(*given, on_epoch, **options):
    calls.append(1)
    def after(row):
        on_epoch(row)
        if len(calls) == 6:
            os.kill(os.getpid(), signal.SIGKILL)
    return real(*given, on_epoch=after, **options)

searching.run_stage = fatal
folder = Path(sys.argv[1])
alone = Processes(0, 1, torch.device("cpu"))
searching.run_search(read_search(folder / "search.yaml"), folder / "out", alone)
"""


def test_killed_in_the_second_phase_it_goes_on_there(faces, monkeypatch):
    (faces / "search.yaml").write_text(PHASES)
    command = [sys.executable, "-c", KILLED, str(faces)]
    assert subprocess.run(command, cwd=ROOT, timeout=300).returncode == -signal.SIGKILL
    before = pd.read_csv(faces / "out" / "trials.csv")
    assert before["phase"].tolist() == ["coarse"] * 4
    assert (faces / "out" / "best.yaml").is_file()  # of the coarse phase
    calls = []
    real = searching.run_stage

    def counted(*given, **options):
        calls.append(1)
        return real(*given, **options)

    monkeypatch.setattr(searching, "run_stage", counted)
    with pytest.raises(FeatxError, match="holds an earlier search; add --resume"):
        search(faces)
    _, trials = search(faces, resume=True)
    assert len(calls) == 2  # one of the three dense trials had ended
    pd.testing.assert_frame_equal(trials.iloc[:4], before)
    dense = trials[trials["phase"] == "dense"]
    assert dense["state"].tolist() == ["complete"] * 3
    # the one that was lost (the second) was made again with its settings
    _, undisturbed = search(faces, out="whole")
    assert setting(undisturbed.iloc[5]) in [setting(row) for _, row in dense.iterrows()]
    _, again = search(faces, resume=True)
    assert len(calls) == 2 + 7
    pd.testing.assert_frame_equal(trials, again)


def test_other_phases_in_the_same_folder_are_refused(faces):
    text = PHASES.replace("trials: 4", "trials: 1").replace("trials: 3", "trials: 1")
    search(faces, text)
    for old, new in (("name: dense", "name: denser"), ("fraction: 0.1", "fraction: 0.2")):
        with pytest.raises(FeatxError, match="out holds a search of other settings"):
            search(faces, text.replace(old, new), resume=True)


def test_a_grid_in_each_phase_and_pruning(faces):
    text = """\
cascade: cascade.yaml
sampler: grid
pruner: median
space:
  backbone.filters: [4, 5, 6]
  backbone.kernel: [3, 5]
phases:
  - {name: a}
  - {name: b, around: {best: 1, neighbours: 0}}
"""
    best, trials = search(faces, text)
    tried = trials[trials["phase"] == "a"][["backbone.filters", "backbone.kernel"]]
    assert sorted(map(tuple, tried.to_numpy())) == [(f, k) for f in (4, 5, 6) for k in (3, 5)]
    last = trials[trials["phase"] == "b"].iloc[0]
    assert len(trials) == 7
    assert best == {key: last[key] for key in best}


def test_hparams_can_be_read_with_phase_lists_and_scores(faces):
    accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator", reason="comes with tensorboard"
    )
    from tensorboard.plugins.hparams import plugin_data_pb2

    _, trials = search(faces)
    for _, row in trials.iterrows():
        folder = faces / "out" / "tensorboard" / row["phase"] / str(row["trial"])
        events = accumulator.EventAccumulator(str(folder)).Reload()
        (loss,) = events.Scalars("validation_loss")
        assert loss.value == pytest.approx(row["validation_loss"], rel=1e-5)
        (accuracy,) = events.Scalars("validation_accuracy")
        assert accuracy.value == pytest.approx(row["validation_accuracy"], rel=1e-5)
        content = events.summary_metadata["_hparams_/session_start_info"].plugin_data.content
        told = plugin_data_pb2.HParamsPluginData.FromString(content).session_start_info.hparams
        assert told["phase"].string_value == row["phase"]
        assert told["head.hidden"].string_value == row["head.hidden"]
        assert told["backbone.conv_layers"].number_value == row["backbone.conv_layers"]


@pytest.fixture
def shrinking(faces, monkeypatch):
    """A backbone whose poolings can leave nothing of its 16 × 16 pixels; in the cascade."""
    monkeypatch.setattr(_registry, "_BACKBONES", dict(_registry._BACKBONES))

    @register_backbone(
        "shrinking",
        first_conv="conv",
        last_conv="conv",
        embedding=None,
        classifier="output",
        preprocessing=Preprocessing((16, 16), (0.0, 0.0, 0.0), (255.0, 255.0, 255.0)),
        citation="",
        options={"pools": Option(1, range(1, 9))},
    )
    def build(classes=None, *, pools=1):
        network = nn.Sequential()
        network.add_module("conv", nn.Conv2d(3, 2, 3, padding=1))
        for number in range(pools):
            network.add_module(f"pool{number}", nn.MaxPool2d(2))
        network.add_module("flatten", nn.Flatten())
        network.add_module("output", nn.Linear(2 * (16 // 2**pools) ** 2, classes or 10))
        return network

    write_cascade(faces, AGENET.replace("agenet", "shrinking"))
    return faces


POOLS = "cascade: cascade.yaml\nspace: {backbone.pools: [2, 5, 4]}\n"


@pytest.mark.filterwarnings("ignore:Initializing zero-element")
def test_a_structure_that_cannot_be_built_fails_with_its_reason(shrinking):
    lines = []
    best, trials = search(shrinking, POOLS, say=lines.append)
    assert trials["state"].tolist() == ["complete", "fail", "complete"]
    assert "shrinking:pools=5 cannot be built for images of 16 by 16: " in trials["reason"][1]
    assert best["backbone.pools"] in (2, 4)
    assert any("pools=5" in line and "(fail)" in line for line in lines)
    _, again = search(shrinking, POOLS, resume=True)  # and is not tried again
    pd.testing.assert_frame_equal(trials, again)


@pytest.mark.filterwarnings("ignore:Initializing zero-element")
def test_a_search_in_which_nothing_can_be_built_says_so(shrinking):
    message = r"none of 2 trials came to an end \(the last: .*pools=6.*\); see .*trials\.csv"
    with pytest.raises(FeatxError, match=message):
        search(shrinking, POOLS.replace("[2, 5, 4]", "[5, 6]"))
    trials = pd.read_csv(shrinking / "out" / "trials.csv")
    assert trials["state"].tolist() == ["fail", "fail"]
    assert trials["reason"].str.contains("cannot be built").all()


@pytest.mark.filterwarnings("ignore:Initializing zero-element")
def test_a_dense_phase_does_not_start_without_a_best(shrinking):
    phases = "phases: [{name: a}, {name: b, around: {best: 1}}]\n"
    with pytest.raises(FeatxError, match="none of 2 trials of the phase a came to an end"):
        search(shrinking, POOLS.replace("[2, 5, 4]", "[5, 6]") + phases)


def test_a_network_for_which_memory_is_too_small_fails_alone(faces, monkeypatch):
    monkeypatch.setattr(rehearsal, "free_memory", lambda: 3_000_000)
    text = "cascade: cascade.yaml\nspace: {backbone.filters: [4, 64], head.hidden: [[8]]}\n"
    _, trials = search(faces, text)
    assert trials["state"].tolist() == ["complete", "fail"]
    assert "million parameters: training it takes" in trials["reason"][1]
    assert "0.0 GB are free" in trials["reason"][1]

"""Search: every setting once, the best one written, taken up where it was stopped."""

import itertools

import pandas as pd
import pytest
import torch

from featx.errors import FeatxError
from featx.training.cascade import run_cascade
from featx.training.config.cascade_file import read_cascade
from featx.training.planning import plan_stages
from featx.training.processes import Processes
from featx.training.search import running as searching
from featx.training.search.file import read_search
from featx.training.search.running import run_search
from tests.exact_csv import EXACT

ALONE = Processes(0, 1, torch.device("cpu"))
GRID = """\
cascade: cascade.yaml
sampler: grid
epochs: 1
space:
  optimiser.learning_rate: [0.1, 0.001]
  batch_size: [4, 8]
"""


def search(made, text=GRID, out="search", **options):
    (made / "search.yaml").write_text(text)
    best = run_search(read_search(made / "search.yaml"), made / out, ALONE, **options)
    return best, pd.read_csv(made / out / "trials.csv", **EXACT)


def test_a_grid_tries_each_setting_once_and_keeps_the_lowest_loss(made):
    best, trials = search(made)
    tried = list(zip(trials["optimiser.learning_rate"], trials["batch_size"], strict=True))
    assert sorted(tried) == sorted(itertools.product([0.1, 0.001], [4, 8]))
    lowest = trials.loc[trials["validation_loss"].idxmin()]
    assert best == {
        "optimiser.learning_rate": lowest["optimiser.learning_rate"],
        "batch_size": lowest["batch_size"],
    }


def test_a_trials_loss_is_that_of_the_stage_by_itself(made):
    _, trials = search(made)
    row = trials.iloc[0]
    cascade = read_cascade(
        made / "cascade.yaml",
        [
            f"stages.0.optimiser.learning_rate={row['optimiser.learning_rate']}",
            f"stages.0.batch_size={int(row['batch_size'])}",
            "stages.0.epochs=1",
        ],
    )
    run_cascade(cascade, plan_stages(cascade), made / "alone", ALONE)
    history = pd.read_csv(made / "alone" / "1-target" / "history.csv")
    assert history["validation_loss"].min() == pytest.approx(row["validation_loss"], rel=1e-6)


def test_the_best_cascade_can_be_run_as_it_is(made):
    best, _ = search(made)
    cascade = read_cascade(made / "search" / "best.yaml")
    (stage,) = cascade.stages
    assert stage.batch_size == best["batch_size"]
    assert stage.optimiser.learning_rate == best["optimiser.learning_rate"]
    assert stage.epochs == 2  # the stage's own, not a trial's
    assert plan_stages(cascade)


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit])
def test_a_stopped_search_makes_up_for_the_trial_that_was_lost(made, monkeypatch, stop):
    calls = []
    real = searching.run_stage

    def fragile(*given, **options):
        calls.append(1)
        if len(calls) == 3:
            raise stop
        return real(*given, **options)

    monkeypatch.setattr(searching, "run_stage", fragile)
    with pytest.raises(stop):
        search(made)
    with pytest.raises(FeatxError, match="holds an earlier search; add --resume"):
        search(made)
    _, trials = search(made, resume=True)
    assert len(calls) == 3 + 2
    tried = set(zip(trials["optimiser.learning_rate"], trials["batch_size"], strict=True))
    assert tried == set(itertools.product([0.1, 0.001], [4, 8]))
    assert trials["state"].tolist() == ["complete"] * 4
    again, _ = search(made, resume=True)  # nothing is left to do
    assert len(calls) == 5
    assert again


def test_settings_that_fail_are_recorded_and_not_tried_again(made, monkeypatch):
    real = searching.run_stage

    def picky(plan, *given, **options):
        if plan.stage.batch_size == 8:
            raise FeatxError("the loss is nan at step 1")
        return real(plan, *given, **options)

    monkeypatch.setattr(searching, "run_stage", picky)
    _, trials = search(made)
    failed = trials[trials["state"] == "fail"]
    assert set(failed["batch_size"]) == {8}
    assert set(failed["reason"]) == {"the loss is nan at step 1"}
    monkeypatch.setattr(searching, "run_stage", real)
    _, again = search(made, resume=True)
    pd.testing.assert_frame_equal(trials, again)


@pytest.mark.parametrize(
    ("sampler", "pruner"), [("random", "none"), ("tpe", "median"), ("random", "hyperband")]
)
def test_ranges(made, sampler, pruner):
    text = f"""\
cascade: cascade.yaml
stage: target
sampler: {sampler}
pruner: {pruner}
trials: 3
epochs: 2
seed: 5
space:
  optimiser.learning_rate: {{low: 0.0001, high: 0.1, log: true}}
  batch_size: {{low: 2, high: 8}}
  unlock: [head, all]
"""
    _, trials = search(made, text)
    assert len(trials) == 3
    assert trials["optimiser.learning_rate"].between(0.0001, 0.1).all()
    assert trials["batch_size"].between(2, 8).all()
    assert set(trials["unlock"]) <= {"head", "all"}
    _, again = search(made, text, out="again")
    pd.testing.assert_frame_equal(trials, again)


def test_the_seed_of_the_command_line_replaces_the_files(made, monkeypatch):
    from click.testing import CliRunner

    from cli.search import search as command

    taken = []
    monkeypatch.setattr(searching, "run_search", lambda search, *a, **o: taken.append(search) or {})
    (made / "search.yaml").write_text(GRID + "seed: 5\n")
    for arguments in ([], ["--seed", "0"], ["--seed", "7"]):
        call = [str(made / "search.yaml"), "-o", str(made / "out"), "--device", "cpu", *arguments]
        assert CliRunner().invoke(command, call).exit_code == 0
    assert [search.seed for search in taken] == [5, 0, 7]


def test_hparams_are_logged(made):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    search(made)
    folders = {path.parent for path in (made / "search" / "tensorboard").rglob("events*")}
    events = [EventAccumulator(str(folder)).Reload() for folder in folders]
    plugins = {name for e in events for name in e.summary_metadata if "hparams" in name}
    assert "_hparams_/session_start_info" in plugins


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("sampler: grid", "sampelr: grid", r"search\.yaml, line 2: sampelr: unknown key"),
        ("batch_size: [4, 8]", "batchsize: [4, 8]", "batchsize: unknown key"),
        ("batch_size: [4, 8]", "batch_size: [1]", "batch_size"),
        ("[0.1, 0.001]", "{low: 0.1, high: 0.2}", "a grid needs a list of values"),
        ("sampler: grid", "sampler: tpe", "give the number of trials"),
        ("sampler: grid", "stage: nowhere", "has no stage 'nowhere'; it has target"),
        ("cascade: cascade.yaml", "cascade: other.yaml", r"other\.yaml"),
    ],
)
def test_slips_are_told(made, old, new, message):
    with pytest.raises(FeatxError, match=message):
        search(made, GRID.replace(old, new))


def test_a_stage_without_validation_cannot_be_searched(made):
    path = made / "cascade.yaml"
    path.write_text(path.read_text().replace("validation: 0.3", "validation: null"))
    with pytest.raises(FeatxError, match="has no validation set to judge by"):
        search(made)


def test_another_search_in_the_same_folder_is_refused(made):
    search(made)
    with pytest.raises(FeatxError, match="holds a search of other settings"):
        search(made, GRID.replace("[4, 8]", "[4]"), resume=True)

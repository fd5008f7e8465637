"""A stage killed anywhere goes on to the same weights, bit by bit."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from featx.errors import FeatxError
from featx.training import stage
from featx.training.cascade import run_cascade, start_network
from featx.training.config.cascade_file import read_cascade
from featx.training.loop import StageTraining
from featx.training.planning import plan_stages
from featx.training.processes import Processes
from featx.training.stage import run_stage
from featx.training.steps import Steps

ALONE = Processes(0, 1, torch.device("cpu"))
ROOT = Path(__file__).parents[3]


def train(made, out, changes=(), **options):
    cascade = read_cascade(made / "cascade.yaml", changes)
    run_cascade(cascade, plan_stages(cascade), out, ALONE, **options)
    return load_file(out / "1-target" / "network.safetensors")


def equal(first, second):
    assert set(first) == set(second)
    return all(torch.equal(first[name], second[name]) for name in first)


class Stopped(Exception):
    """Stands for a kill."""


@pytest.mark.parametrize(
    ("stop", "accumulate"), [(1, 1), (2, 1), (3, 1), (5, 1), (1, 3), (3, 3), (5, 2), (7, 3)]
)
def test_stopped_after_any_step_resumes_to_the_same_weights(made, monkeypatch, stop, accumulate):
    # dropout's draws must be taken up too, and gradients of half a group made again
    changes = ["stages.0.head.dropout=0.3", f"stages.0.accumulate={accumulate}"]
    whole = train(made, made / "whole", changes)
    steps = []
    one = Steps.one

    def counted(self, *arguments):
        if len(steps) == stop:
            raise Stopped
        steps.append(1)
        return one(self, *arguments)

    monkeypatch.setattr(Steps, "one", counted)
    with pytest.raises(Stopped):
        train(made, made / "stopped", changes, save_every=0)
    written = made / "stopped" / "1-target" / "history.csv"
    assert written.exists() == (stop > 4)  # an epoch has four steps
    monkeypatch.setattr(Steps, "one", one)
    resumed = train(made, made / "stopped", changes, resume=True)
    assert equal(whole, resumed)
    histories = [pd.read_csv(written), pd.read_csv(made / "whole" / "1-target" / "history.csv")]
    pd.testing.assert_frame_equal(*(each.drop(columns="seconds") for each in histories))
    assert not (made / "stopped" / "1-target" / "state.pt").exists()


def test_sigkill_in_the_middle_resumes_to_the_same_weights(made):
    changes = ["stages.0.epochs=100"]  # long enough for a state, which is a second away at least
    whole = train(made, made / "whole", changes)
    code = "import sys; from cli.main import main; main(sys.argv[1:])"
    options = ["-o", str(made / "killed"), "--set", changes[0], "--save-every", "1"]
    command = [sys.executable, "-c", code, "finetune", str(made / "cascade.yaml"), *options]
    process = subprocess.Popen(command, cwd=ROOT)
    state = made / "killed" / "1-target" / "state.pt"
    deadline = time.monotonic() + 120
    while not state.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "the run ended before it could be killed"
    assert equal(whole, train(made, made / "killed", changes, resume=True))


def test_the_seed_decides_the_weights(made):
    first = train(made, made / "a")
    assert equal(first, train(made, made / "b"))
    assert not equal(first, train(made, made / "c", ["seed=4"]))


def test_finished_work_is_not_overwritten_without_resume(made):
    train(made, made / "out")
    with pytest.raises(FeatxError, match=r"holds an earlier run; add --resume"):
        train(made, made / "out")


def test_other_settings_are_refused_on_resume(made):
    train(made, made / "out")
    with pytest.raises(FeatxError, match="made with other settings"):
        train(made, made / "out", ["stages.0.batch_size=8"], resume=True)


def test_a_finished_stage_is_taken_whatever_the_number_of_processes(made, monkeypatch):
    whole = train(made, made / "out")
    cascade = read_cascade(made / "cascade.yaml")
    (plan,) = plan_stages(cascade)
    monkeypatch.setattr(Processes, "hand_out", lambda self, value: value)
    two = Processes(0, 2, torch.device("cpu"))
    network = run_stage(plan, start_network(cascade), made / "out" / "1-target", two, resume=True)
    assert equal(whole, network.module.state_dict())
    assert network.provenance["processes"] == 1


def test_an_unfinished_stage_of_another_number_of_processes_is_refused(made, monkeypatch):
    def stopped(self, *arguments):
        raise Stopped

    monkeypatch.setattr(StageTraining, "_validate", stopped)
    with pytest.raises(Stopped):
        train(made, made / "out", save_every=0)
    monkeypatch.setattr(Processes, "spread", lambda self, network: network)
    monkeypatch.setattr(Processes, "hand_out", lambda self, value: value)
    cascade = read_cascade(made / "cascade.yaml")
    (plan,) = plan_stages(cascade)
    two = Processes(0, 2, torch.device("cpu"))
    with pytest.raises(FeatxError, match="that 1 process has begun, not 2: go on with as many"):
        run_stage(plan, start_network(cascade), made / "out" / "1-target", two, resume=True)


def test_a_damaged_state_is_told(made):
    (made / "out" / "1-target").mkdir(parents=True)
    (made / "out" / "1-target" / "state.pt").write_bytes(b"not a state")
    with pytest.raises(FeatxError, match=r"state\.pt is damaged .*delete it"):
        train(made, made / "out", resume=True)


def test_a_full_disk_leaves_the_former_state(made, monkeypatch):
    import featx.training.state as state

    save, calls = torch.save, []

    def full(content, target):
        calls.append(1)
        if len(calls) == 2:
            Path(target).write_bytes(b"half")
            raise OSError(28, "No space left on device")
        save(content, target)

    monkeypatch.setattr(state.torch, "save", full)
    with pytest.raises(FeatxError, match="No space left"):
        train(made, made / "out", save_every=0)
    monkeypatch.setattr(state.torch, "save", save)
    kept = state.load_state(made / "out" / "1-target" / "state.pt", ALONE)
    assert (kept["epoch"], kept["step"]) == (0, 1)
    assert equal(train(made, made / "whole"), train(made, made / "out", resume=True))


@pytest.mark.parametrize("written", [False, True])
def test_stopped_beside_the_writing_of_its_result_a_stage_has_all_its_files(
    made, monkeypatch, written
):
    write = stage.write_checkpoint

    def stopped(*arguments):
        if written:
            write(*arguments)
        raise Stopped

    monkeypatch.setattr(stage, "write_checkpoint", stopped)
    with pytest.raises(Stopped):
        train(made, made / "stopped", save_every=0)
    monkeypatch.setattr(stage, "write_checkpoint", write)
    assert equal(train(made, made / "whole"), train(made, made / "stopped", resume=True))
    files = [
        {path.name for path in (made / name / "1-target").iterdir()}
        for name in ("whole", "stopped")
    ]
    assert files[0] == files[1] >= {"stage.json", "network.safetensors", "history.csv"}

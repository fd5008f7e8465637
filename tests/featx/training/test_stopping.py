"""A signal ends training after a step, in all processes alike, and --resume goes on from there."""

import os
import random
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from featx.errors import Interrupted
from featx.training.state import load_state
from featx.training.stopping import Request, asked, deferred, stoppable
from tests.featx.training.made_faces import make_folder, write_cascade
from tests.featx.training.test_resume import ALONE, equal, train
from tests.torchrun import passes_signals_on

ROOT = Path(__file__).parents[3]
NETWORK = Path("1-target") / "network.safetensors"

# the command, in which process RANK sends WHO a SIGNAL as it begins its step STEP
PROGRAM = """
import os, signal, sys
from featx.training.steps import Steps

if "STEP" in os.environ and os.environ.get("RANK", "0") == os.environ["BY"]:
    one, steps = Steps.one, []

    def counted(self, *arguments):
        steps.append(1)
        if len(steps) == int(os.environ["STEP"]):
            process = {"self": os.getpid(), "parent": os.getppid()}[os.environ["WHO"]]
            os.kill(process, signal.Signals[os.environ["SIGNAL"]])
        return one(self, *arguments)

    Steps.one = counted

from cli.main import main
main(sys.argv[1:])
"""

# Slurm may signal all that runs in a step
SCONTROL = """#!/bin/sh
kill -USR1 $$
kill -TERM $$
echo "$@" >> {folder}/asked
exit {status}
"""


def command(made, out, *options, processes=1, **environment):
    script = made / "run.py"
    script.write_text(PROGRAM)
    launch = [sys.executable]
    if processes > 1:
        launch += ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
        launch += ["--signals-to-handle=SIGTERM,SIGINT,SIGHUP,SIGQUIT,SIGUSR1"]
    launch += [str(script), "finetune", str(made / "cascade.yaml"), "-o", str(made / out)]
    launch += ["--device", "cpu", *map(str, options)]
    path = f"{made / 'bin'}:/usr/bin:/bin"
    # one process is compared with this one: sums by other threads are rounded otherwise
    threads = str(torch.get_num_threads()) if processes == 1 else "1"
    own = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": threads, "PATH": path, **environment}
    return subprocess.run(
        launch, cwd=ROOT, capture_output=True, text=True, timeout=300, env=own, check=False
    )


def fake_scontrol(made, status=0):
    (made / "bin").mkdir(exist_ok=True)
    file = made / "bin" / "scontrol"
    file.write_text(SCONTROL.format(folder=made, status=status))
    file.chmod(0o755)


def requeued(made):
    return (made / "asked").read_text().split("\n")[:-1] if (made / "asked").exists() else []


@pytest.mark.parametrize(
    ("name", "step", "accumulate"), [("SIGUSR1", 1, 1), ("SIGTERM", 4, 1), ("SIGUSR1", 5, 3)]
)
def test_one_process(made, name, step, accumulate):
    change = f"stages.0.accumulate={accumulate}"
    whole = train(made, made / "whole", [change])
    done = command(made, "out", "--set", change, STEP=str(step), SIGNAL=name, WHO="self", BY="0")
    assert done.returncode == 75, done.stderr
    line = done.stderr.splitlines()[-1]
    # four steps an epoch: what is asked in the last one is done after the validation
    where = {1: "step 1 of epoch 1", 4: "epoch 1", 5: "step 3 of epoch 2"}[step]
    assert line == (
        f"featx: stopped by {name} after {where} of stage target, the state is saved; go on with "
        "--resume"
    )
    assert not (made / "out" / NETWORK).exists()
    assert equal(whole, train(made, made / "out", [change], resume=True))


def test_a_signal_in_the_last_epochs_last_step_comes_after_the_result(made):
    done = command(made, "out", STEP="8", SIGNAL="SIGTERM", WHO="self", BY="0")
    assert done.returncode == 75, done.stderr
    assert equal(train(made, made / "whole"), load_file(made / "out" / NETWORK))


LONGER = ["--set", "stages.0.epochs=50", "--set", "stages.0.head.dropout=0.3"]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The weights of two processes that nobody asks to stop."""
    folder = tmp_path_factory.mktemp("undisturbed")
    make_folder(folder / "made")
    write_cascade(folder)
    done = command(folder, "out", *LONGER, processes=2)
    assert done.returncode == 0, done.stderr
    return load_file(folder / "out" / NETWORK)


STEP = random.Random(os.environ.get("FEATX_STEP_SEED", "1")).randint(2, 90)


@passes_signals_on
@pytest.mark.parametrize(
    ("name", "by", "who"),
    [
        ("SIGUSR1", 1, "self"),  # one process alone is asked: all stop after the same step
        ("SIGTERM", 0, "self"),
        ("SIGUSR1", 0, "parent"),  # torchrun is asked, and hands it on
        ("SIGTERM", 1, "parent"),
    ],
)
def test_two_processes_resume_to_the_weights_of_an_undisturbed_run(
    made, undisturbed, name, by, who
):
    """Bit by bit: of two numbers the sum is the same in either order."""
    stopped = command(
        made, "out", *LONGER, processes=2, STEP=str(STEP), SIGNAL=name, BY=str(by), WHO=who
    )
    assert stopped.returncode != 0
    assert f"featx: stopped by {name} after " in stopped.stderr
    assert not (made / "out" / NETWORK).exists()
    kept = load_state(made / "out" / "1-target" / "state.pt", ALONE)
    if who == "self":
        assert kept["epoch"] * 2 + kept["step"] == STEP  # two steps an epoch
    resumed = command(made, "out", *LONGER, "--resume", processes=2)
    assert resumed.returncode == 0, resumed.stderr
    assert equal(undisturbed, load_file(made / "out" / NETWORK))


@pytest.mark.parametrize(
    ("name", "job", "expected"),
    [
        ("SIGUSR1", {"SLURM_JOB_ID": "12"}, ["requeue 12"]),
        ("SIGTERM", {"SLURM_JOB_ID": "12"}, []),
        ("SIGUSR1", {}, []),
        (
            "SIGUSR1",
            {"SLURM_JOB_ID": "15", "SLURM_ARRAY_JOB_ID": "12", "SLURM_ARRAY_TASK_ID": "3"},
            ["requeue 12_3"],
        ),
    ],
)
def test_only_walltime_has_the_job_requeued(made, name, job, expected):
    fake_scontrol(made)
    done = command(made, "out", STEP="2", SIGNAL=name, WHO="self", BY="0", **job)
    assert done.returncode == 75, done.stderr
    assert requeued(made) == expected
    assert ("(Slurm requeues job" in done.stderr) == bool(expected)


def test_a_refused_requeue_is_told(made):
    fake_scontrol(made, status=1)
    done = command(made, "out", STEP="2", SIGNAL="SIGUSR1", WHO="self", BY="0", SLURM_JOB_ID="12")
    assert done.returncode == 75
    assert "(`scontrol requeue 12` failed: status 1; submit the job again)" in done.stderr


@passes_signals_on
def test_of_several_processes_the_first_has_the_job_requeued(made):
    fake_scontrol(made)
    done = command(
        made, "out", "--set", "stages.0.epochs=50", processes=2,
        STEP="5", SIGNAL="SIGUSR1", WHO="parent", BY="1", SLURM_JOB_ID="12",
    )  # fmt: skip
    assert done.returncode != 0
    assert requeued(made) == ["requeue 12"]


def ask_in_a_deferred_block(*numbers):
    with stoppable():
        with deferred():
            for number in numbers:
                os.kill(os.getpid(), number)
            assert asked()
        raise AssertionError("the signal should have ended the block before")


def test_handlers_are_there_for_the_block_alone():
    former = [signal.getsignal(number) for number in (signal.SIGUSR1, signal.SIGTERM)]
    with pytest.raises(Interrupted, match="stopped by SIGUSR1; go on with --resume"):
        ask_in_a_deferred_block(signal.SIGUSR1)
    assert [signal.getsignal(number) for number in (signal.SIGUSR1, signal.SIGTERM)] == former
    assert asked() is Request.NONE


def test_of_two_signals_the_one_to_end_decides():
    with pytest.raises(Interrupted) as stop:
        ask_in_a_deferred_block(signal.SIGTERM, signal.SIGUSR1)
    assert stop.value.signal == "SIGTERM"


def test_a_thread_leaves_signals_alone():
    former = signal.getsignal(signal.SIGUSR1)
    seen = []

    def look():
        with stoppable():
            seen.append(signal.getsignal(signal.SIGUSR1))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert seen == [former]


def test_the_state_of_one_process_is_handed_to_all(tmp_path):
    """A process that sees no state on the shared folder takes up the first one's."""
    torch.save({"epoch": 3}, tmp_path / "state.pt")
    script = tmp_path / "read.py"
    script.write_text(
        "import sys\nfrom pathlib import Path\n"
        "from featx.training.processes import join_processes\n"
        "from featx.training.state import load_state\n"
        "with join_processes('cpu') as processes:\n"
        "    name = 'state.pt' if processes.first else 'absent.pt'\n"
        "    state = load_state(Path(sys.argv[1]) / name, processes)\n"
        "    assert state == {'epoch': 3}, state\n"
        "    state = load_state(Path(sys.argv[1]) / 'absent.pt', processes)\n"
        "    assert state is None\n"
        "    assert processes.highest(processes.rank) == 1\n"
    )
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    done = subprocess.run(
        [*launch, str(script), str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, timeout=120, check=False,
        env={"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr

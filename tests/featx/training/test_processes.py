"""Several processes that train one network are one process with the batch of all."""

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from featx.training.cascade import run_cascade
from featx.training.config.cascade_file import read_cascade
from featx.training.planning import plan_stages
from featx.training.processes import Processes

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    "changes",
    [
        [],
        ["stages.0.head={loss: corn, classes: 0-60}", "stages.0.class_weights=balanced"],
    ],
    ids=["label-distribution", "corn, balanced"],
)
def test_two_processes_equal_one_with_the_doubled_batch(made, changes):
    script = made / "run.py"
    script.write_text("import sys\nfrom cli.main import main\nmain(sys.argv[1:])\n")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    command += [str(script), "finetune", str(made / "cascade.yaml"), "-o", str(made / "two")]
    command += ["--device", "cpu", "--set", "stages.0.batch_size=3"]
    command += [part for change in changes for part in ("--set", change)]
    done = subprocess.run(
        command,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        env={"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PATH": "/usr/bin:/bin"},
    )
    assert done.returncode == 0, done.stderr
    cascade = read_cascade(made / "cascade.yaml", ["stages.0.batch_size=6", *changes])
    run_cascade(cascade, plan_stages(cascade), made / "one", Processes(0, 1, torch.device("cpu")))

    one, two = (made / name / "1-target" for name in ("one", "two"))
    first, second = (load_file(folder / "network.safetensors") for folder in (one, two))
    start = load_file_of_start(cascade)
    moved = 0
    for name, tensor in first.items():
        torch.testing.assert_close(second[name], tensor, rtol=2e-3, atol=2e-4)
        if name in start:
            moved += int(not torch.allclose(start[name], tensor, atol=1e-3))
    assert moved > 5, "training changed nothing, so nothing was compared"
    histories = [
        pd.read_csv(folder / "history.csv").drop(columns="seconds") for folder in (one, two)
    ]
    pd.testing.assert_frame_equal(*histories, rtol=1e-4)


def load_file_of_start(cascade):
    from featx.training.cascade import start_network

    return start_network(cascade).module.state_dict()

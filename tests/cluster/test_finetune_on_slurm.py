"""Stages over two nodes, and folds as an array, on a real Slurm that stops and restarts them."""

import json
import random
import re
import sys
import time
from pathlib import Path

import pytest
from safetensors import safe_open

from ..featx.training.made_faces import CASCADE, make_folder, write_cascade
from ..torchrun import passes_signals_on
from .commands import assert_accepted, featx, scripts

BIN = Path(sys.executable).parent


PROFILE = '[slurm]\nmemory = "3G"\n[slurm.finetune]\nnodes = 2\ntime = "1:00:00"\n'


@pytest.fixture(scope="module")
def work(slurm, tmp_path_factory):
    """The folder of images and cascade, for some seconds of work, and ``undisturbed`` below it."""
    folder = tmp_path_factory.mktemp("work")
    make_folder(folder / "made", subjects=8, each=12)
    write_cascade(folder, re.sub(r"epochs: \d+", "epochs: 40", CASCADE))
    together = [BIN / "torchrun", "--nproc-per-node=2", BIN / "featx"]
    featx(*asked_of(folder), "-o", folder / "undisturbed", program=together)
    return folder


def asked_of(folder):
    return ["finetune", folder / "cascade.yaml", "--device", "cpu", "--save-every", 1]


def rows(history):
    return len(history.read_text().splitlines()) - 1


def weights(folder):
    (path,) = folder.glob("*/network.safetensors")
    with safe_open(path, "np") as file:
        return {name: file.get_tensor(name).tobytes() for name in file.keys()}  # noqa: SIM118


@passes_signals_on
@pytest.mark.parametrize(
    "how", ["walltime is near", pytest.param("lost node", marks=pytest.mark.long)]
)
def test_a_stage_of_two_nodes_ends_as_if_nothing_had_been(slurm, work, tmp_path, how):
    asked = asked_of(work)
    (tmp_path / "cluster.toml").write_text(PROFILE)
    cluster = ["--cluster", "slurm", "--profile", tmp_path / "cluster.toml"]
    featx(*asked, "-o", tmp_path / "out", *cluster, "--no-wait")
    (record,) = (tmp_path / "out" / "slurm").glob("*.json")
    job = json.loads(record.read_text())["job"]
    epochs = random.randint(2, 20)  # and some step or other of the next
    slurm.until(lambda: any(epochs <= rows(path) for path in tmp_path.glob("out/*/history.csv")))
    time.sleep(random.uniform(0, 0.2))
    if how == "walltime is near":
        slurm.ask("scancel", "--signal=USR1", job)
    else:
        slurm.lose_node("cpu2")
        slurm.start_node("cpu2")
    slurm.until(lambda: "Restarts=0" not in slurm.ask("scontrol", "show", "job", job), 120)
    done = featx(*asked, "-o", tmp_path / "out", *cluster, "--resume")
    log = (tmp_path / "out" / "slurm" / f"finetune-{job}.log").read_text()
    assert "ended: 1 completed" in done.stderr, log
    if how == "walltime is near":
        assert "stopped by SIGUSR1" in log
    assert weights(tmp_path / "out") == weights(work / "undisturbed")


def test_folds_as_an_array_are_those_of_one_process(slurm, work, tmp_path):
    (tmp_path / "cluster.toml").write_text(PROFILE)
    asked = [*asked_of(work), "--protocol", "kfold:3", "--set", "stages.0.epochs=2"]
    cluster = ["--cluster", "slurm", "--profile", tmp_path / "cluster.toml"]
    dry = featx(*asked, "-o", tmp_path / "out", *cluster, "--dry-run").stdout
    for script in scripts(dry):
        assert_accepted(script, tmp_path)
    done = featx(*asked, "-o", tmp_path / "out", *cluster)
    assert "3 of 3 folds" in done.stdout
    featx(*asked, "-o", tmp_path / "local")
    (table,) = (tmp_path / "out").glob("runs/*/predictions.csv")
    assert (tmp_path / "local" / table.relative_to(tmp_path / "out")).read_bytes() == (
        table.read_bytes()
    )
    again = featx(*asked, "-o", tmp_path / "out", *cluster, "--resume")
    assert "3 of 3 folds" in again.stdout
    assert len(list((tmp_path / "out" / "slurm").glob("*.json"))) == 2  # nothing new

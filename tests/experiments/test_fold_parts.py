"""Folds as the tasks of an array, and folds that a signal stops."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from operator import itemgetter
from pathlib import Path

import pandas as pd
import pytest

from experiments import fold_networks
from experiments.end_to_end import run_end_to_end, train_early, train_part
from experiments.fold_plan import plan_end_to_end
from experiments.fold_results import gather_folds
from featx.cluster import Part
from featx.errors import FeatxError
from featx.training.config.cascade_file import read_cascade
from featx.training.stage import run_stage
from tests.experiments.test_end_to_end import TWO_STAGES
from tests.featx.training.made_faces import CASCADE, make_folder, write_cascade
from tests.featx.training.test_resume import ALONE

ROOT = Path(__file__).parents[2]
EACH_FOLD = TWO_STAGES.replace("stages:\n", "each_fold: early\nstages:\n")


@pytest.fixture
def two_stages(made):
    make_folder(made / "large", subjects=4, each=4, seed=1, dataset="large")
    write_cascade(made, TWO_STAGES)
    return made


def plan(made, **options):
    return plan_end_to_end(read_cascade(made / "cascade.yaml"), "kfold:3", **options)


def tables(made, out):
    return {
        path.relative_to(made / out): path.read_bytes()
        for path in sorted((made / out / "runs").rglob("*"))
        if path.suffix in (".csv", ".h5")
    }


@pytest.mark.parametrize("text", [TWO_STAGES, EACH_FOLD], ids=["early", "each fold"])
@pytest.mark.parametrize("count", [2, 3, 5])
def test_all_parts_together_are_the_undivided_run(two_stages, text, count):
    made = two_stages
    write_cascade(made, text)
    settled = plan(made, regressors=["ridge"])
    run_end_to_end(settled, made / "whole", device="cpu")
    if settled.early:  # made once, for the file's hash is part of the key
        shutil.copytree(made / "whole" / "1-early", made / "out" / "1-early")
    train_early(settled, made / "out", ALONE, resume=True)
    for number in reversed(range(1, count + 1)):
        folds, failed = train_part(settled, Part(number, count), made / "out", device="cpu")
        assert folds == ["0", "1", "2"][number - 1 :: count]
        assert not failed
        assert not list((made / "out").rglob("run.json"))
        assert not list((made / "out").rglob("predictions.csv"))
    infos = gather_folds(settled, made / "out")
    assert [info["folds"]["done"] for info in infos] == [3, 3]
    assert tables(made, "out") == tables(made, "whole")
    assert len(tables(made, "out")) == 2 * (3 + 1) + 1
    whole = [json.loads(p.read_text()) for p in sorted((made / "whole").rglob("run.json"))]
    for info in (*infos, *whole):
        info.pop("seconds")
        info["statistics"].pop("network_sha256")  # the order of a file's metadata varies
    key = itemgetter("method")
    assert sorted(infos, key=key) == sorted(whole, key=key)
    assert not (made / "out" / "stages").exists()
    assert not list((made / "out" / "folds").rglob("*.safetensors"))


def test_a_part_looks_at_its_own_folds_alone(two_stages, monkeypatch):
    settled = plan(two_stages)
    train_early(settled, two_stages / "out", ALONE)
    train_part(settled, Part(1, 3), two_stages / "out", device="cpu")
    others = two_stages / "out" / "runs" / "end-to-end" / "folds" / "0.json"
    others.write_text("half a fi")  # as another task may be writing it on a poor file system
    read = []
    text = Path.read_text

    def noted(path, *arguments, **options):
        read.append(path)
        return text(path, *arguments, **options)

    monkeypatch.setattr(Path, "read_text", noted)
    train_part(settled, Part(2, 3), two_stages / "out", device="cpu")
    assert others not in read
    assert (others.parent / "1.json").is_file()


def test_a_part_again_keeps_what_is_finished(two_stages, monkeypatch):
    settled = plan(two_stages)
    train_early(settled, two_stages / "out", ALONE)
    train_part(settled, Part(1, 2), two_stages / "out", device="cpu")
    monkeypatch.setattr(fold_networks, "run_stage", None)  # nothing is trained any more
    assert train_part(settled, Part(1, 2), two_stages / "out", device="cpu") == (["0", "2"], {})


def test_parts_and_gathering_ask_for_the_early_stages(two_stages):
    settled = plan(two_stages)
    told = r"1-early.network\.safetensors is not there: .* train the early stages .* --early-only"
    with pytest.raises(FeatxError, match=told):
        train_part(settled, Part(1, 2), two_stages / "out", device="cpu")
    with pytest.raises(FeatxError, match=told):
        gather_folds(settled, two_stages / "out")
    assert not (two_stages / "out" / "runs").exists()


def test_gathering_tells_which_folds_are_missing_and_why(two_stages, monkeypatch):
    settled = plan(two_stages)
    train_early(settled, two_stages / "out", ALONE)
    train_part(settled, Part(1, 3), two_stages / "out", device="cpu")

    def fail(*given, **options):
        raise FeatxError("no room")

    monkeypatch.setattr(fold_networks, "run_stage", fail)
    told = train_part(settled, Part(2, 3), two_stages / "out", device="cpu")
    assert told == (["1"], {"1": "no room"})
    (info,) = gather_folds(settled, two_stages / "out")
    assert info["folds"] == {
        "planned": 3, "done": 1, "missing": ["1", "2"], "failed": {"1": "no room"},
    }  # fmt: skip
    monkeypatch.setattr(fold_networks, "run_stage", run_stage)
    assert train_part(settled, Part(2, 3), two_stages / "out", device="cpu") == (["1"], {})
    (info,) = gather_folds(settled, two_stages / "out")
    assert info["folds"] == {"planned": 3, "done": 2, "missing": ["2"], "failed": {}}


def start(made, *options, **environment):
    code = "import sys; from cli.main import main; main(sys.argv[1:])"
    return subprocess.Popen(
        [
            *(sys.executable, "-c", code, "finetune", str(made / "cascade.yaml")),
            *("-o", str(made / "out"), "--device", "cpu", *options),
        ],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PATH": os.environ["PATH"]},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


@pytest.mark.parametrize("whom", ["the first", "the whole group"])
@pytest.mark.parametrize("name", ["SIGUSR1", "SIGTERM"])
@pytest.mark.parametrize("jobs", [1, 2])
def test_a_signal_makes_no_fold_fail(made, jobs, name, whom):
    write_cascade(made, CASCADE.replace("epochs: 2", "epochs: 400"))
    process = start(made, "--protocol", "kfold:3", "--jobs", str(jobs), "--save-every", "1")
    states, deadline = [], time.monotonic() + 120
    while len(states) < jobs and process.poll() is None and time.monotonic() < deadline:
        states = list((made / "out" / "folds").glob("*/state.pt"))
        time.sleep(0.01)
    saved = {path: path.stat().st_mtime_ns for path in states}
    send = os.killpg if whom == "the whole group" else os.kill
    send(process.pid, signal.Signals[name])
    _, told = process.communicate(timeout=120)
    assert process.returncode == 75, told
    assert f"featx: stopped by {name} after " in told
    assert not list((made / "out" / "runs").rglob("*.json"))
    assert list((made / "out" / "folds").glob("*/state.pt")) == states, "another fold has begun"
    assert all(path.stat().st_mtime_ns > before for path, before in saved.items())


def test_stopped_folds_go_on_to_the_undisturbed_predictions(made):
    write_cascade(made, CASCADE.replace("epochs: 2", "epochs: 60"))
    settled = plan(made)
    run_end_to_end(settled, made / "whole", device="cpu")
    process = start(made, "--protocol", "kfold:3", "--save-every", "1")
    deadline = time.monotonic() + 120
    while not list((made / "out" / "folds").glob("*/state.pt")) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    _, told = process.communicate(timeout=120)
    assert process.returncode == 75, told
    run_end_to_end(settled, made / "out", device="cpu", resume=True)
    one, two = (
        pd.read_csv(made / name / "runs" / "end-to-end" / "predictions.csv")
        for name in ("whole", "out")
    )
    # another number of threads than in the process that was stopped adds in another order
    pd.testing.assert_frame_equal(one, two, rtol=1e-3)

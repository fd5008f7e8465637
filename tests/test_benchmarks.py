"""The benchmarks run, and report what they say that they do."""

import importlib
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]


def test_finetune(tmp_path):
    command = [sys.executable, "benchmarks/finetune.py", "--images", "8", "--batch-size", "4"]
    command += ["--turns", "2", "--network", "onet", "--device", "cpu"]
    command += ["--output", str(tmp_path / "lines.jsonl")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    (line,) = (tmp_path / "lines.jsonl").read_text().splitlines()
    found = json.loads(line)
    assert json.loads(done.stdout.splitlines()[-1]) == found
    assert found["ratio_least"] <= found["ratio"] <= found["ratio_greatest"]
    speeds = found["stage_images_per_second"] / found["bare_images_per_second"]
    assert found["ratio"] == pytest.approx(speeds, rel=0.5)


def test_cluster():
    command = [sys.executable, "benchmarks/cluster.py", "--repeats", "1", "--classes", "3"]
    command += ["--folds", "1001", "--folds", "3"]  # one more than an array can have, and few
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    rows = [line.strip("| ").split(" | ") for line in done.stdout.splitlines() if "|" in line]
    assert rows[0][2:] == ["planning", "submitting", "status", "finished", "gathering"]
    assert [row[:2] for row in rows[2:4]] == [["3", "1"], ["1,001", "2"]]
    assert [row[0] for row in rows[4:]] == ["ms a fold", "slope"]


def test_automl_peers():
    command = [sys.executable, "benchmarks/automl_peers.py", "--method", "exact-kernel"]
    command += ["--images", "40", "--units", "5", "--people", "6", "--folds", "2"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    rows = [line.strip("|").split("|") for line in done.stdout.splitlines() if "|" in line][2:]
    told = [[cell.strip() for cell in row] for row in rows]
    assert [row[0] for row in told] == [
        "exact-kernel, all folds",
        "exact-kernel, the sampled folds",
        "exact-kernel, a fold alone",
    ]
    assert [row[2] for row in told] == ["6", "2", "2"]
    assert told[1][3] == told[2][3]  # nested predictions are those of a fit on the others
    assert [row[5] for row in told[:2]] == ["1.0", "1.0"]


def test_a_budget_too_short_is_doubled(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    peers = importlib.import_module("automl_peers")
    images, X = peers.made_up(0, images=12, units=3, people=3)
    problem = peers.pose(images, X)
    asked = []

    def ask(part, budget, **given):
        asked.append(budget)
        shift = np.full(len(part["X_test"]), part["y_train"].mean())
        return None if budget < 0.3 else (shift, 2.0)

    row = peers.measure(ask, peers.Row("a peer"), problem, problem.folds, 0.1)
    assert asked == [0.1, 0.2, 0.4, 0.4, 0.4]
    errors = [np.abs(problem.y[fold.test] - problem.y[fold.train].mean()) for fold in problem.folds]
    mae = np.concatenate(errors).mean()
    assert row.cells(0.5) == f"| a peer | 0.40 | 3 | {mae:.3f} | 2.000 | 4.0 |"


@pytest.mark.parametrize(
    ("name", "options", "rows"),
    [
        ("start_up", [], ["`featx --help`", "`featx regress`, 40 images, 8 folds"]),
        (
            "exact_kernel",
            ["--images", "40", "--units", "5", "--subjects", "6", "--sample", "2"],
            ["40 x 5, 6; 330 candidates"],
        ),
    ],
)
def test_two_ways_are_told_with_their_ratio(name, options, rows):
    command = [sys.executable, f"benchmarks/{name}.py", "--turns", "2", *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    told = [line.strip("| ").split(" | ") for line in done.stdout.splitlines() if "|" in line][2:]
    assert [cells[0] for cells in told] == rows
    for _, ours, theirs, ratio in told:
        median, least, greatest = map(float, re.findall(r"[\d.]+", ratio.replace(",", "")))
        assert 0 < least <= median <= greatest
        quotient = float(theirs.replace(",", "")) / max(float(ours.replace(",", "")), 1e-3)
        assert quotient == pytest.approx(median, rel=0.6)

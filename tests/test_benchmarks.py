"""The benchmarks run, and report what they say that they do."""

import json
import re
import subprocess
import sys
from pathlib import Path

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


def test_growth_of_exact_kernel():
    command = [sys.executable, "benchmarks/exact_kernel.py", "--growth", "--scale", "0.02"]
    command += ["--gib", "0.252"]  # the blocks in passing, and a kernel of 250 images
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    rows = [line.strip("| ").split(" | ") for line in done.stdout.splitlines() if "|" in line]
    curves, landmarks = rows[2:34], rows[36:]
    forms = {(cells[0], cells[1], cells[2]): cells[3] for cells in curves}
    assert forms["images", "20 x 10, 4", "linear"] == "primal"
    assert forms["images", "200 x 10, 4", "rbf"] == "dual"
    assert forms["images", "400 x 10, 4", "rbf"] == "nystrom"
    assert forms["units", "40 x 2,000, 4", "linear"] == "dual"
    assert [over for over, *_ in curves].count("subjects") == 10
    for *_, form, marks, fit, nested in curves:
        assert float(fit) > 0
        assert (marks == "-") == (nested != "-") == (form != "nystrom")
    assert [cells[0] for cells in landmarks] == ["exact", "5", "10", "20", "40"]
    assert landmarks[0][3:] == ["0", landmarks[0][4], "+0.000"]
    lost = [float(cells[3]) for cells in landmarks[1:]]
    assert lost[0] > lost[-1] > 0

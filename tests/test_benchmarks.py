"""The benchmarks run, and report what they say that they do."""

import json
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

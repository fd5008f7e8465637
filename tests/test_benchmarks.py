"""The benchmarks run, and report what they say that they do."""

import json
import re
import shlex
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


#: What an independent peer does: torchvision's network as it is, hooked, over its own decoding.
HOOKED = """
import json, pathlib, sys, time
import numpy, torch, torchvision
task = json.loads(pathlib.Path(sys.argv[1]).read_text())
network = torchvision.models.get_model(task["network"]).eval()
network.load_state_dict(torch.load(task["weights"]))
start = time.perf_counter()
files = [pathlib.Path(task["folder"]) / name for name in task["files"]]
pixels = torch.stack([torchvision.io.decode_image(str(file)) for file in files]) / 255
mean, std = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]])[:, :, None, None]
for name in task["layers"].values():
    folder = pathlib.Path(task["out"]) / name
    folder.mkdir()
    keep = lambda _, __, out: numpy.save(folder / f"features_0-{len(files)}.npy", out.flatten(1))
    handle = network.get_submodule(name).register_forward_hook(keep)
    with torch.inference_mode():
        network((pixels - mean) / std)
    handle.remove()
seconds = time.perf_counter() - start
told = {"seconds": seconds, "torch": torch.__version__, "threads": torch.get_num_threads()}
print(json.dumps(told))
"""


@pytest.mark.parametrize("peer", [True, False])
def test_thingsvision_peer(tmp_path, peer):
    command = [
        sys.executable,
        "benchmarks/thingsvision_peer.py",
        "--case",
        "resnet50:gap+flattened",
    ]
    command += ["--images", "3", "--batch-size", "2", "--turns", "1", "--threads", "1"]
    if peer:
        (tmp_path / "hooked.py").write_text(HOOKED)
        command += ["--peer", shlex.join([sys.executable, str(tmp_path / "hooked.py")])]
    else:
        command += ["--only", "featx", "--precision", "fp32"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    heading, _, *rows = [
        dict(enumerate(line.strip("| ").split(" | ")))
        for line in done.stdout.splitlines()
        if line.startswith("|")
    ]
    told = [dict(zip(heading.values(), row.values(), strict=True)) for row in rows]
    assert [row["precision"] for row in told] == (["fp32", "bf16"] if peer else ["fp32"])
    for row in told:
        assert row["layers"] == "gap, flattened"
        assert float(row["featx images/s"]) > 0
        assert float(row["featx MiB"].replace(",", "")) > 100  # torch itself
        if not peer:
            assert row["ratio"] == row["difference"] == row["thingsvision MiB"] == "-"
            continue
        speeds = float(row["featx images/s"]) / float(row["thingsvision images/s"])
        assert float(row["ratio"].split()[0]) == pytest.approx(speeds, rel=0.05, abs=0.02)
        assert 0 < float(row["difference"]) < (1e-4 if row["precision"] == "fp32" else 0.1)

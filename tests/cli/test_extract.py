"""`featx extract` and `featx merge` as they are typed."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from cli.main import main
from featx import extraction
from featx.store import FeaturesFile
from featx.store.writing.framing import read_head, statuses
from tests.featx.made_crops import make_table


@pytest.fixture
def folder(tmp_path):
    draw = np.random.default_rng(3)
    for i in range(5):
        pixels = draw.integers(0, 256, (112, 112, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{i}.png")
    (tmp_path / "4.png").write_bytes(b"no image")
    rows = [{"image": f"im{i}", "path": f"{i}.png", "age": i} for i in range(5)]
    pd.DataFrame(rows).to_csv(tmp_path / "images.csv", index=False)
    return tmp_path


def run(*arguments, command="extract"):
    with pytest.raises(SystemExit) as ended:
        main([command, *map(str, arguments)])
    return ended.value.code


def test_extract_and_resume(folder, capsys):
    out = folder / "o.h5"
    given = [folder, "-b", "mobilefacenet", "-w", "random", "-l", "gap", "-l", "blocks.2:max"]
    given += ["--workers", 0, "-o", out]
    assert run(*given, "--dry-run") == 0
    told = capsys.readouterr().out
    assert "5, of which 5 ok" in told
    assert "gap: 512 units (512) from conv2" in told
    assert f"{5 * (512 + 64) * 4:,} bytes" in told
    assert not out.exists()
    assert run(*given) == 0
    told = capsys.readouterr()
    assert "5 (4 ok, 1 corrupt)" in told.out
    assert "images/s" in told.out
    assert str(out) in told.out
    assert "extract: 5 of 5 images" in told.err
    with FeaturesFile(out) as file:
        assert list(file.layers) == ["gap", "blocks.2_max"]
    assert run(*given) == 1  # nothing is overwritten
    assert run(*given, "--resume") == 0
    assert "nothing was left to do" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-b", "mobilefacnet", "-w", "random"], "did you mean mobilefacenet"),
        (["-b", "mobilefacenet", "-w", "random", "-l", "softmax"], "has no classifier"),
        (["-b", "mobilefacenet", "-w", "nowhere.pt"], "is not there"),
        (["-b", "mobilefacenet", "-w", "random", "--device", "tpu"], "unknown device"),
    ],
)
def test_bad_input_is_one_line(folder, capsys, arguments, message):
    assert run(folder, *arguments, "-o", folder / "o.h5") == 1
    told = capsys.readouterr().err.strip().splitlines()
    assert len(told) == 1
    assert message in told[0]
    assert told[0].startswith("featx: error: ")


def test_shards_and_merge(folder, capsys):
    out = folder / "o.h5"
    given = [folder, "-b", "mobilefacenet", "-w", "random", "--workers", 0, "-o", out]
    assert run(*given, "--shard", "1/2", "--dry-run") == 0
    told = capsys.readouterr().out
    assert f"would write {folder / 'o.shard-1-of-2.h5'}" in told
    assert "shard     1/2: rows 1 to 2 of 5" in told
    assert "rows      2, of which 2 ok" in told
    assert f"{2 * 512 * 4:,} bytes" in told
    assert run(*given, "--shard", "2/2") == 0
    told = capsys.readouterr()
    assert "rows    3 (2 ok, 1 corrupt)" in told.out
    assert f"`featx merge` with the other shards, to {out}" in told.out
    assert "extract shard 2/2: 3 of 3 images" in told.err
    shards = [folder / f"o.shard-{number}-of-2.h5" for number in (2, 1)]
    assert run(shards[0], "-o", out, command="merge") == 1
    assert "featx: error: shard 1/2 is missing" in capsys.readouterr().err
    assert run(*given, "--shard", "1/2") == 0
    assert run(*shards, "-o", out, "--dry-run", command="merge") == 0
    assert "would join 2 shards" in capsys.readouterr().out
    assert not out.exists()
    assert run(*shards, "-o", out, command="merge") == 0
    assert "rows    5 (4 ok, 1 corrupt)" in capsys.readouterr().out
    assert run(*shards, "-o", out, command="merge") == 1
    assert run(*shards, "-o", out, "--resume", command="merge") == 0
    assert "nothing was left to do" in capsys.readouterr().out
    assert run(*given, "--resume") == 0
    assert "nothing was left to do" in capsys.readouterr().out
    assert all(path.exists() for path in shards)


def test_merged_shards_are_removed_on_request(folder, capsys):
    out = folder / "o.h5"
    given = [folder, "-b", "onet", "-w", "random", "--workers", 0, "-o", out]
    shards = [folder / f"o.shard-{number}-of-2.h5" for number in (1, 2)]
    merge = [*shards, "-o", out, "--remove"]
    for number in (1, 2):
        assert run(*given, "--shard", f"{number}/2") == 0
    kept = [path.read_bytes() for path in shards]
    assert run(*merge, "--dry-run", command="merge") == 0
    assert all(path.exists() for path in shards)
    assert run(*merge, command="merge") == 0
    assert sorted(path.name for path in folder.glob("o.*")) == ["o.h5"]
    # a run that was stopped while it removed them
    shards[1].write_bytes(kept[1])
    assert run(*merge, "--resume", "--dry-run", command="merge") == 1
    assert run(*merge, command="merge") == 1
    assert shards[1].exists()
    assert run(*merge, "--resume", command="merge") == 0
    assert not shards[1].exists()
    assert run(*merge, "--resume", command="merge") == 0
    assert "nothing was left to do" in capsys.readouterr().out
    # a shard of something else
    assert run(*given, "--shard", "2/2", "--no-mirror") == 0
    assert run(*merge, "--resume", command="merge") == 1
    assert f"{shards[1]} is no part of {out}" in capsys.readouterr().err
    assert shards[1].exists()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--cluster", "slurm", "--jobs", 2], "--cluster cuts the table into --shards"),
        (["--cluster", "slurm", "--shard", "1/2"], "--cluster cuts the table into --shards"),
        (["--shards", 2], "--shards is for --cluster"),
    ],
)
def test_options_that_exclude_each_other(folder, capsys, options, told):
    given = [folder, "-b", "onet", "-w", "random", "-o", folder / "o.h5"]
    assert run(*given, *options) == 2
    assert told in capsys.readouterr().err


def processes():
    """Return state and parent of every process of this machine."""
    found = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = status.read_text().rpartition(") ")[2].split()[:2]
        except OSError:
            continue
        found[int(status.parent.name)] = state, int(parent)
    return found


def test_a_terminated_extraction_leaves_no_process_and_loses_nothing(tmp_path):
    """As `scancel` and a preemption end it."""
    table = make_table(tmp_path, n=60, size=(1000, 1000)).parent
    out, partial = tmp_path / "o.h5", tmp_path / "o.h5.partial"
    given = ["extract", table, "-b", "onet", "-w", "random", "--batch-size", 1, "--workers", 2]
    command = [sys.executable, "-m", "cli.main", *map(str, given), "-o", str(out)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    sizes = set()
    while len(sizes) < 3:  # the journal grows
        assert process.poll() is None
        time.sleep(0.005)
        sizes |= {partial.stat().st_size} if partial.exists() else set()
    children = [pid for pid, (_, parent) in processes().items() if parent == process.pid]
    process.terminate()
    assert process.wait() == -signal.SIGTERM
    assert len(children) == 2
    end = time.monotonic() + 60
    while any(processes().get(pid, ("Z", 0))[0] != "Z" for pid in children):
        assert time.monotonic() < end
        time.sleep(0.05)
    with partial.open("rb") as stream:
        read_head(stream)
        done = sum(map(len, statuses(stream)))
    assert 0 < done < 60
    whole = extraction.extract(
        table, out, backbone="onet", weights="random", layers=["gap"], batch_size=1, resume=True
    )
    assert 0 < whole.images <= 60 - done
    assert whole.statuses == {"ok": 55, "corrupt": 3, "no_face": 1, "duplicate": 1}


def test_jobs(folder, capsys, monkeypatch):
    out = folder / "o.h5"
    given = [folder, "-b", "mobilefacenet", "-w", "random", "--workers", 0, "-o", out]
    assert run(*given, "--shard", "1/2", "--jobs", 2) == 2
    assert "--shard is for one process" in capsys.readouterr().err
    assert run(*given, "--jobs", 2, "--dry-run", "--device", "cpu") == 0
    assert "shard     2/2: 3 rows on cpu" in capsys.readouterr().out
    assert run(*given, "--jobs", 2, "--device", "cpu") == 0
    assert "rows    5 (4 ok, 1 corrupt)" in capsys.readouterr().out
    assert sorted(path.name for path in folder.glob("o.*")) == ["o.h5"]
    monkeypatch.setattr("featx.devices.spread_devices", lambda name: ["cpu"])  # as without a GPU
    assert run(*given, "--jobs", 0, "--resume") == 0
    assert "nothing was left to do" in capsys.readouterr().out

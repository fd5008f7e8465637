"""Shards as the tasks of an array on a real Slurm, and what it does to them."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from featx import shards
from featx.store.writing.framing import read_head, statuses

from ..featx.file_contents import contents
from ..featx.made_crops import make_table
from .commands import FEATX, assert_accepted, featx, scripts

ROWS = 40


@pytest.fixture(scope="module")
def local(slurm, tmp_path_factory):
    """What is asked for, and the file of the same extracted here."""
    folder = tmp_path_factory.mktemp("local")
    make_table(folder, n=ROWS, size=(1000, 1000))  # so large that a shard takes a while
    asked = ["extract", folder, "-b", "onet", "-w", "random", "-l", "gap", "-l", "flattened"]
    asked += ["--batch-size", 1, "--workers", 0]
    # as many threads as a task has: on some processors the sums of two are rounded otherwise
    featx(*asked, "-o", folder / "f.h5", OMP_NUM_THREADS="1")
    return asked, folder / "f.h5"


def profile_of(folder, *setup, throttle=4):
    """Write a profile whose tasks run some lines of shell first, and return its file."""
    path = folder / "cluster.toml"
    path.write_text(  # torch's libraries, where all of them are mapped, count for a gigabyte
        '[slurm]\npartition = "cpu"\nmemory = "3G"\ntime = "10"\n'
        f"[slurm.extract]\nthrottle = {throttle}\nsetup = {json.dumps(setup)}\n"
    )
    return path


def assert_same(path, local):
    one, other = contents(path), contents(local)
    for found in (one, other):
        del found["/"]["created"], found["/"]["context"]
    assert one == other


def left(out):
    return sorted(path.name for path in out.parent.glob("f.*"))


def records(out):
    found = [json.loads(path.read_text()) for path in out.parent.glob("slurm/*.json")]
    return sorted(found, key=lambda record: int(record["job"]))


def test_dry_run_prints_scripts_that_sbatch_accepts(slurm, local, tmp_path):
    asked, _ = local
    out = tmp_path / "with blank" / "100%.h5"
    words = [*asked, "-o", out, "--cluster", "slurm", "--device", "cpu", "--shards", 3]
    told = featx(*words, "--profile", profile_of(tmp_path, "echo begun"), "--dry-run").stdout
    found = scripts(told)
    assert len(found) == 2
    assert "#SBATCH --array=1-3%4" in found[0]
    command = found[0].strip().splitlines()[-1]
    assert "--device cpu" in command
    assert command.endswith(" --shard $TASK/3 --resume")
    assert "--shards" not in command
    files = f"'{out.parent}/100%.shard-'*-of-3.h5"
    assert f"merge {files} -o '{out}' --resume --remove\n" in found[1]
    for script in found:
        assert_accepted(script, tmp_path)
    assert not out.parent.exists()


def test_a_node_lost_in_the_middle_of_a_shard(slurm, local, tmp_path):
    """The task stops itself after some rows, so that the node is surely lost among them."""
    asked, whole = local
    out, hold = tmp_path / "out" / "f.h5", tmp_path / "hold.sh"
    shard = shards.find("5/8", ROWS)
    partial = Path(f"{shard.path(out)}.partial")
    hold.write_text(
        f"if [ $SLURM_ARRAY_TASK_ID = 5 ] && mkdir {tmp_path}/once; then\n"
        f"  (until [ $(stat -c%s {partial} || echo 0) -gt 12000 ]; do sleep 0.01; done\n"
        f"   kill -STOP $$; touch {tmp_path}/held) 2> /dev/null &\n"
        "fi\n"
    )
    words = [*asked, "-o", out, "--cluster", "slurm", "--shards", 8]
    words += ["--profile", profile_of(tmp_path, f"source {hold}")]
    waiting = subprocess.Popen(
        [*FEATX, *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    slurm.until((tmp_path / "held").exists)
    running = slurm.ask("squeue", "-h", "-r", "-tR", "-o%K %N").split()
    slurm.lose_node(node := running[running.index("5") + 1])
    with partial.open("rb") as stream:
        assert read_head(stream)["provenance"]["shard"]["number"] == 5
        assert 0 < sum(map(len, statuses(stream))) < len(shard)
    slurm.start_node(node)
    told, errors = waiting.communicate(timeout=400)
    assert waiting.returncode == 0, errors
    assert f"rows    {ROWS} (35 ok, 3 corrupt, 1 no_face, 1 duplicate)\nlayers  gap" in told
    assert f"file    {out}" in told
    assert_same(out, whole)
    assert left(out) == ["f.h5"]
    logs = [path.read_text() for path in out.parent.glob("slurm/extract-*_5.log")]
    assert len(logs) == 1  # the task that began again went on writing it
    assert [len(record["tasks"]) for record in records(out)] == [8, len("merging f.h5")]


def test_a_failed_shard_is_told_and_alone_made_again(slurm, local, tmp_path):
    asked, whole = local
    out, fail = tmp_path / "f.h5", tmp_path / "fail.sh"
    fail.write_text(
        f"if [ $SLURM_ARRAY_TASK_ID = 2 ] && mkdir {tmp_path}/once; then\n"
        "  echo no such license; exit 3\nfi\n"
    )
    words = [*asked, "-o", out, "--cluster", "slurm", "--shards", 3]
    words += ["--profile", profile_of(tmp_path, f"source {fail}")]
    told = featx(*words, code=1).stderr.splitlines()
    array = records(out)[0]["job"]
    log = tmp_path / "slurm" / f"extract-{array}_2.log"
    reason = f"shard 2/3 of f.h5: Slurm task {array}_2 failed: no such license ({log})"
    assert [line for line in told if "f.h5: " in line] == [reason]
    assert re.fullmatch(r"featx: error: .*f\.h5 could not be made: 1 of its tasks .*", told[-1])
    assert left(out) == ["f.shard-1-of-3.h5", "f.shard-3-of-3.h5"]

    refused = featx(*words, code=1).stderr
    assert "f.shard-1-of-3.h5 is there already" in refused
    refused = featx(*words, "--resume", "--shards", 4, code=1).stderr
    assert "f.shard-1-of-3.h5 is there, one of 3 shards, not of 4" in refused
    refused = featx(*words, "--resume", "--no-mirror", code=1).stderr
    assert "f.shard-1-of-3.h5 cannot be resumed" in refused
    assert len(records(out)) == 2
    featx(*words, "--resume")
    assert [record["tasks"] for record in records(out)[2:]] == [
        {"2": "shard 2/3 of f.h5"},
        "merging f.h5",
    ]
    assert_same(out, whole)
    assert left(out) == ["f.h5"]

    assert "is never overwritten" in featx(*words, code=1).stderr
    assert f"file    {out}" in featx(*words, "--resume").stdout
    assert f"{out} is there" in featx(*words, "--resume", "--dry-run").stdout
    assert len(records(out)) == 4


def test_what_a_live_task_makes_is_waited_for_and_not_made_again(slurm, local, tmp_path):
    asked, whole = local
    out, gate = tmp_path / "f.h5", tmp_path / "gate"
    words = [*asked, "-o", out, "--cluster", "slurm", "--shards", 2]
    words += ["--profile", profile_of(tmp_path, f"while [ ! -e {gate} ]; do sleep 0.2; done")]
    featx(*words, "--no-wait")
    refused = featx(*words, "--no-wait", code=1).stderr
    assert "makes the shard 1/2 of f.h5; give --resume to wait for it" in refused
    again = featx(*words, "--resume", "--no-wait")
    assert again.stderr.splitlines()[-1].startswith("3 tasks")  # two shards, and their merging
    merging = records(out)[1]["job"]
    slurm.ask("scancel", merging)
    slurm.until(lambda: merging not in slurm.ask("squeue", "-h", "-o%A").split())
    featx(*words, "--resume", "--no-wait")
    assert [type(record["tasks"]) for record in records(out)] == [dict, str, str]
    gate.touch()
    assert f"file    {out}" in featx(*words, "--resume").stdout
    assert_same(out, whole)
    assert left(out) == ["f.h5"]
    assert len(records(out)) == 3

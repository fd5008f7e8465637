"""Submitting and asking, against programs that stand in for Slurm's (cf. tests/cluster)."""

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from featx.cluster import Resources, slurm, submissions
from featx.cluster.job import Job, spans
from featx.errors import FeatxError


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """Put programs in front of PATH; each call of theirs is a line of the folder's ``calls``."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    def write(**scripts):
        for name, script in scripts.items():
            path = folder / name
            path.write_text(f'#!/bin/sh\necho "{name} $*" >> {tmp_path}/calls\n{script}\n')
            path.chmod(0o755)
        return tmp_path / "calls"

    return write


def job(folder, tasks=(), **more):
    return Job("regress", "exec work $TASK", Resources(throttle=7), folder, tasks=tasks, **more)


@given(st.sets(st.integers(1, 400), min_size=1))
def test_spans_name_the_numbers_and_no_others(numbers):
    read = []
    for span in spans(sorted(numbers)).split(","):
        low, _, high = span.partition("-")
        read += range(int(low), int(high or low) + 1)
    assert read == sorted(numbers)


@given(st.sets(st.integers(1, 500), min_size=1), st.integers(2, 120))
def test_chunks_keep_all_tasks_below_the_clusters_limit(numbers, limit):
    chunks = submissions.chunks(job(Path("x"), tuple(sorted(numbers))), limit)
    assert [task for chunk in chunks for task in chunk.tasks] == sorted(numbers)
    for chunk in chunks:
        indices = [task - chunk.first for task in chunk.tasks]
        assert min(indices) >= 1
        assert max(indices) < limit


def test_the_script_tells_tasks_their_number_and_slurm_what_is_asked(tmp_path):
    script = job(tmp_path, (101, 102, 107), first=100).script
    assert "#SBATCH --array=1-2,7%7\n" in script
    assert "TASK=$((SLURM_ARRAY_TASK_ID + 100))\nexec work $TASK\n" in script
    assert "--mem" not in script
    assert "--gpus" not in script


def test_one_call_submits_an_array_and_leaves_a_record(programs, tmp_path):
    calls = programs(
        sbatch=f"cat > {tmp_path}/script; echo '17;cluster'",
        scontrol="echo 'MaxArraySize            = 1001'",
        squeue='printf "17_1|RUNNING\\n17_2|FAILED\\n17_3|PENDING\\n"',
        sacct="exit 1",
    )
    folder = tmp_path / "out" / "slurm"
    labels = {1: "fold a", 2: "fold b", 3: "fold c"}
    assert submissions.submit(job(folder, (1, 2, 3)), labels, "afterok:9") == ["17"]
    assert (tmp_path / "script").read_text() == job(folder, (1, 2, 3)).script
    assert [line.split()[0] for line in calls.read_text().splitlines()] == ["scontrol", "sbatch"]
    assert "--dependency=afterok:9 --kill-on-invalid-dep=yes" in calls.read_text()
    (folder / "regress-17_2.log").write_text("some\nslurmstepd: error: killed\n\n")
    found = submissions.latest(folder)
    assert {label: task.live for label, task in found.items()} == {
        "fold a": True,
        "fold b": False,
        "fold c": True,
    }
    assert found["fold b"].why.startswith("failed: slurmstepd: error: killed")


def test_the_last_submission_of_a_label_counts(programs, tmp_path):
    programs(squeue='case "$*" in *=9*) echo "9|FAILED";; *) echo "10|RUNNING";; esac')
    for number in (9, 10):
        record = {"job": str(number), "name": "merge", "first": 0, "tasks": "merging"}
        (tmp_path / f"{number}.json").write_text(json.dumps(record))
    (tmp_path / "11.json").write_text("{")
    (tmp_path / "12.json").write_text("[]")
    assert submissions.latest(tmp_path)["merging"].job == "10"


def test_jobs_that_slurm_has_forgotten_are_not_live(programs, tmp_path):
    programs(
        squeue="echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1",
        sacct="printf '5_1|CANCELLED by 1000\\n5_2|COMPLETED\\n'",
    )
    assert slurm.states(["5"]) == {"5_1": "CANCELLED", "5_2": "COMPLETED"}
    programs(sacct="echo 'Slurm accounting storage is disabled' >&2; exit 1")
    assert slurm.states(["5"]) == {}


def test_a_controller_that_does_not_answer_is_no_proof_of_an_end(programs, tmp_path):
    programs(squeue="echo 'Unable to contact slurm controller' >&2; exit 1")
    with pytest.raises(FeatxError, match="squeue refused: Unable to contact"):
        slurm.states(["5"])


def test_waiting_outlasts_a_controllers_restart(programs, tmp_path):
    count = tmp_path / "count"
    programs(
        squeue=f"echo x >> {count}; case $(wc -l < {count}) in 1) echo '5|RUNNING';; "
        "2|3) echo gone >&2; exit 1;; *) echo '5|COMPLETED';; esac",
        sacct="exit 1",
    )
    told, pauses = [], []
    task = submissions.Task("merging", "5", tmp_path / "log")
    (ended,) = submissions.wait([task], told.append, sleep=pauses.append)
    assert ended.state == "COMPLETED"
    assert sum(told) == 1
    assert len(pauses) == 3


def test_without_slurm_one_line_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FeatxError, match="there is no sbatch on this machine"):
        slurm.submit(job(tmp_path / "out"))


def test_what_slurm_refuses_is_told(programs, tmp_path):
    programs(sbatch="echo 'sbatch: error: invalid partition specified: cup' >&2; exit 1")
    with pytest.raises(FeatxError, match="invalid partition specified: cup"):
        slurm.submit(job(tmp_path / "out"))


def test_a_job_submitted_from_a_job_does_not_inherit_its_allocation(
    programs, tmp_path, monkeypatch
):
    programs(sbatch=f"env > {tmp_path}/env; cat > /dev/null; echo 5")
    for name in ("SLURM_MEM_PER_NODE", "SLURM_JOB_ID", "SLURMD_NODENAME"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("SLURM_CONF", "/etc/s.conf")
    monkeypatch.setenv("SBATCH_ACCOUNT", "mine")
    slurm.submit(job(tmp_path / "out"))
    names = {line.partition("=")[0] for line in (tmp_path / "env").read_text().splitlines()}
    assert not names & {"SLURM_MEM_PER_NODE", "SLURM_JOB_ID", "SLURMD_NODENAME"}
    assert {"SLURM_CONF", "SBATCH_ACCOUNT"} <= names


@pytest.mark.parametrize(
    ("log", "word"),
    [
        ("numpy: old\nTraceback\nValueError: no\n", "ValueError: no"),
        (
            "slurmstepd-n: error: StepId=9.batch exceeded memory limit (2 > 1), being killed\n"
            "/var/spool/slurmd/job00009/slurm_script: line 12: 4711 Killed  featx regress\n",
            "slurmstepd-n: error: StepId=9.batch exceeded memory limit (2 > 1), being killed",
        ),
        ("", "no word"),
    ],
)
def test_what_slurm_says_of_the_end_goes_before_the_shells_last_word(log, word, tmp_path):
    (tmp_path / "t.log").write_text(log)
    task = submissions.Task("fold a", "9", tmp_path / "t.log", "FAILED")
    assert task.why == f"failed: {word} ({tmp_path}/t.log)"

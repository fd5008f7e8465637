"""What a Slurm job grants, by made-up variables and a made-up squeue, and how it is divided."""

from __future__ import annotations

import os
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from featx.errors import FeatxError
from regress.regressors.auto_sklearn import allocation
from regress.regressors.auto_sklearn.allocation import Allocation, Share, granted, share


@pytest.fixture
def slurm(monkeypatch, tmp_path):
    """Return a function that sets a job's variables, and what squeue answers to whom it expects."""
    for name in list(os.environ):
        if name.startswith("SLURM_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(allocation, "available_cores", lambda: 8)

    def make(left: str = "", jobs: str = "7", status: int = 0, **variables: object) -> None:
        squeue = tmp_path / "squeue"
        squeue.write_text(
            f'#!/bin/sh\ncase "$*" in *--jobs={jobs}" "*) echo "{left}";; *) echo 1:00;; esac\n'
            f"exit {status}\n"
        )
        squeue.chmod(0o755)
        monkeypatch.setenv("SLURM_JOB_ID", "7")
        for name, value in variables.items():
            monkeypatch.setenv(f"SLURM_{name}", str(value))

    return make


def test_nothing_is_told_outside_of_slurm(slurm, monkeypatch):
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "4")  # a user's own, without a job
    assert granted() == Allocation(cores=1, memory=None, seconds=None)


@pytest.mark.parametrize(
    ("variables", "cores", "memory"),
    [
        ({"CPUS_PER_TASK": 4, "MEM_PER_NODE": 16000}, 8, 16000),  # the fixture's cores, not 4
        ({"CPUS_PER_TASK": 4, "MEM_PER_CPU": 2000}, 8, 8000),
        ({"CPUS_ON_NODE": 2, "MEM_PER_CPU": 2000}, 1, 4000),
        ({"CPUS_PER_TASK": 1, "MEM_PER_NODE": 0}, 8, None),
        ({}, 1, None),
    ],
)
def test_cores_and_memory_are_those_of_the_task(slurm, monkeypatch, variables, cores, memory):
    slurm(**variables)
    found = granted()
    assert (found.cores, found.memory) == (cores, memory)
    monkeypatch.setattr(allocation, "calls_at_once", lambda: 3)
    parts = granted()
    assert (parts.cores, parts.folds) == (max(1, cores // 3), 3)
    assert parts.memory == (memory and memory // 3)


@pytest.mark.parametrize(
    ("left", "seconds"),
    [
        ("5:07", 307),
        ("1:00:09", 3609),
        ("2-03:00:00", 51 * 3600),
        ("UNLIMITED", None),
        ("INVALID", None),
        ("1:00\n2:00", None),  # two jobs
        ("", None),
    ],
)
def test_the_time_left_is_squeues(slurm, left, seconds):
    slurm(left)
    assert granted().seconds == seconds


def test_the_task_of_an_array_asks_for_itself(slurm):
    slurm("3:00", jobs="5_2", ARRAY_JOB_ID=5, ARRAY_TASK_ID=2)
    assert granted().seconds == 180


def test_the_end_in_the_environment_needs_no_squeue(slurm, tmp_path):
    slurm(JOB_END_TIME=int(time.time()) + 500)
    (tmp_path / "squeue").unlink()
    assert 490 <= granted().seconds <= 500


def test_without_an_answer_no_end_is_told(slurm, tmp_path):
    slurm("slurm_load_jobs error: Unable to contact slurm controller", status=1)
    assert granted().seconds is None
    (tmp_path / "squeue").unlink()
    assert granted().seconds is None


HOUR = 3600
PAPER = {"time_budget": 12 * HOUR, "run_time_limit": HOUR}


def test_a_laptop_gets_what_it_always_got():
    assert share(Allocation(), **PAPER) == Share(1, 3072, 12 * HOUR)
    assert share(Allocation(), time_budget=30, run_time_limit=30) == Share(1, 3072, 120)
    assert share(Allocation(), **PAPER, n_jobs=4, memory_limit=6000).n_jobs == 4


@pytest.mark.parametrize(
    ("cores", "memory", "asked", "expected"),
    [
        (4, 16000, {}, (4, 3072)),
        (4, None, {}, (4, 3072)),
        (8, 10000, {}, (3, 3072)),  # 3 x 3072 + 500
        (8, 2000, {}, (1, 1500)),
        (8, 16000, {"n_jobs": 1}, (1, 3072)),
        (2, 4500, {"n_jobs": 4}, (4, 1000)),
        (8, 16000, {"memory_limit": 6000}, (2, 6000)),
        (4, 6500, {"memory_limit": 6000}, (1, 6000)),
    ],
)
def test_models_at_a_time_follow_the_cores_as_far_as_memory_goes(cores, memory, asked, expected):
    found = share(Allocation(cores, memory), **PAPER, **asked)
    assert (found.n_jobs, found.memory_limit) == expected


@pytest.mark.parametrize(
    ("memory", "folds", "asked", "message"),
    [
        (
            4000,
            1,
            {"memory_limit": 6000},
            "needs 6000 MB for a model and 500 MB beside, and the Slurm job has 4000 MB: lower "
            "--memory-limit to 3500, or ask for 6500 MB (the profile's memory)",
        ),
        (
            8000,
            1,
            {"memory_limit": 3000, "n_jobs": 4},
            "3000 MB for each of 4 models at a time (n_jobs) and 500 MB beside, and the Slurm "
            "job has 8000 MB: lower --memory-limit to 1875, or lower n_jobs, or ask for 12500 MB",
        ),
        (900, 1, {}, "job has 900 MB: ask for 1000 MB (the profile's memory)"),
        (
            900,
            2,
            {},
            "has 900 MB for each of 2 folds at a time (--jobs): ask for 1000 MB for each (the",
        ),
    ],
)
def test_memory_that_does_not_do_is_refused_with_what_would(memory, folds, asked, message):
    with pytest.raises(FeatxError, match=re.escape(message)):
        share(Allocation(4, memory, folds=folds), **PAPER, **asked)


@given(
    cores=st.integers(1, 64),
    memory=st.integers(1, 200_000),
    n_jobs=st.none() | st.integers(1, 16),
    memory_limit=st.none() | st.integers(500, 20_000),
)
def test_what_is_shared_out_always_fits(cores, memory, n_jobs, memory_limit):
    try:
        found = share(Allocation(cores, memory), **PAPER, n_jobs=n_jobs, memory_limit=memory_limit)
    except FeatxError:
        assert (memory_limit or 500) * (n_jobs or 1) + 500 > memory
        return
    assert found.n_jobs * found.memory_limit + 500 <= memory
    assert found.memory_limit >= 500
    assert found.n_jobs == (n_jobs or found.n_jobs) <= (n_jobs or cores)
    assert found.memory_limit == (memory_limit or min(found.memory_limit, 3072))


def test_the_refit_has_what_the_job_leaves_it():
    left = [share(Allocation(seconds=h * HOUR), **PAPER).refit_limit for h in (14, 20, 25, 90)]
    assert left == [2 * HOUR - 180, 8 * HOUR - 180, 12 * HOUR, 12 * HOUR]


def test_a_job_that_ends_too_soon_is_refused_with_the_walltime_that_would_do():
    with pytest.raises(FeatxError) as raised:
        share(Allocation(seconds=11.5 * HOUR), **PAPER)
    assert raised.match("ends in 11:30:00, and a fold needs a search of 12:00:00, a refit of at")
    hours, minutes, seconds = re.search(
        r"of (\d+):(\d\d):(\d\d) for each", str(raised.value)
    ).groups()
    enough = (int(hours) * 60 + int(minutes)) * 60 + int(seconds)
    assert share(Allocation(seconds=enough), **PAPER).refit_limit == HOUR
    with pytest.raises(FeatxError):
        share(Allocation(seconds=enough - 1), **PAPER)

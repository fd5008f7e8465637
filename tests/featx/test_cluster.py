import os
import signal

import numpy as np
import pytest
from threadpoolctl import threadpool_info

from featx.cluster import available_cores, resolve_jobs, run
from featx.errors import FeatxError


def square(number):
    return number, number**2


def threads_and_process(number):
    np.linalg.inv(np.eye(3))
    return max(pool["num_threads"] for pool in threadpool_info()), os.getpid(), number


@pytest.mark.parametrize("jobs", [1, 2])
def test_every_task_runs_once(jobs):
    assert dict(run(square, ((n,) for n in range(9)), jobs)) == {n: n * n for n in range(9)}


def test_parallel_tasks_share_the_cores():
    found = list(run(threads_and_process, ((n,) for n in range(4)), jobs=2))
    assert all(threads <= max(1, available_cores() // 2) for threads, _, _ in found)
    assert os.getpid() not in {process for _, process, _ in found}


def test_no_jobs_means_one_a_core(monkeypatch):
    assert resolve_jobs(0) == available_cores()
    assert resolve_jobs(3) == 3
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "1")
    assert available_cores() == 1


def killed(number):
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_process_is_one_line():
    told = "one of 2 processes was killed, most likely for want of memory; use fewer --jobs"
    with pytest.raises(FeatxError, match=told):
        list(run(killed, ((n,) for n in range(3)), jobs=2))

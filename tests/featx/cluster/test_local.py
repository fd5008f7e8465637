import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from threadpoolctl import threadpool_info

from featx.cluster import available_cores, local, resolve_jobs, run
from featx.cluster.local import calls_at_once
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


def threads_of_a_library_imported_late(number):
    import torch

    return torch.get_num_threads()


def test_also_of_what_a_task_imports_whatever_the_environment_says(monkeypatch):
    monkeypatch.setattr(local, "available_cores", lambda: 2)
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.setenv(name, "2")
    assert set(run(threads_of_a_library_imported_late, ((n,) for n in range(4)), jobs=2)) == {1}


def where(number):
    return Path.cwd()


def test_relative_paths_are_those_of_the_caller_now(tmp_path, monkeypatch):
    """Processes are left from one call to the next, where a notebook may have gone elsewhere."""
    for folder in (tmp_path, Path(__file__).parent):
        monkeypatch.chdir(folder)
        assert set(run(where, ((n,) for n in range(4)), jobs=2)) == {folder}


def at_once(number):
    return calls_at_once()


@pytest.mark.parametrize("jobs", [1, 2])
def test_calls_know_how_many_share_the_machine(jobs):
    assert list(run(at_once, ((n,) for n in range(4)), jobs)) == [jobs] * 4
    assert calls_at_once() == 1


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


def note_and_sleep(folder, number):
    (folder / str(number)).write_text(str(os.getpid()))
    time.sleep(120)


def test_processes_end_with_a_killed_parent(tmp_path):
    code = (
        "import pathlib\nfrom featx.cluster import run\n"
        "from tests.featx.cluster.test_local import note_and_sleep\n"
        f"list(run(note_and_sleep, [(pathlib.Path({str(tmp_path)!r}), n) for n in (0, 1)], 2))\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], cwd=Path(__file__).parents[3])
    try:
        wait_until(lambda: all((tmp_path / name).is_file() for name in "01"))
        wait_until(lambda: all((tmp_path / name).read_text() for name in "01"))
        workers = [int((tmp_path / name).read_text()) for name in "01"]
    finally:
        parent.kill()
        parent.wait()
    wait_until(lambda: not any(alive(worker) for worker in workers))


def test_processes_end_where_the_parent_is_killed_before_their_first_task(tmp_path):
    code = (
        "import os, pathlib, signal\nfrom featx.cluster import local\n"
        "from joblib.externals.loky.process_executor import ProcessPoolExecutor as Pool\n"
        "submit = Pool.submit\n"
        "def killed(self, *args, **kwargs):\n"
        "    future = submit(self, *args, **kwargs)  # starts the processes\n"
        "    told = ' '.join(map(str, self._processes))\n"
        f"    pathlib.Path({str(tmp_path / 'pids')!r}).write_text(told)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "Pool.submit = killed\n"
        "from time import sleep\n"
        "list(local.run(sleep, [(60,), (60,)], 2))\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[3], check=False)
    workers = [int(word) for word in (tmp_path / "pids").read_text().split()]
    assert len(workers) == 2
    wait_until(lambda: not any(alive(worker) for worker in workers), seconds=30)


def wait_until(true, seconds=60):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.1)


def alive(process):
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"

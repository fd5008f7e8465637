"""No process and no folder of a fit is left, however it ends; fits do not meet."""

from __future__ import annotations

import os
import re
import signal
import socket
import tempfile
from pathlib import Path

import numpy as np
import pytest
from sklearn.base import clone

from featx.errors import FeatxError
from regress.regressors.auto_sklearn import (
    AutoSklearnRegressor,
    client,
    estimator,
)

from .stand_in import GOOD, HANG, start_fit


def test_a_worker_past_its_hard_limit_is_killed(data, fake, tmp_path, monkeypatch, processes):
    monkeypatch.setattr(estimator, "_STARTUP", 2.0 - 60 - 30 - 120 - 60)
    monkeypatch.setenv("PIDS", str(tmp_path / "pids"))
    with pytest.raises(FeatxError, match="still running after 2 s and was stopped"):
        AutoSklearnRegressor(time_budget=30, environment=fake(HANG)).fit(*data[:2])
    processes.wait_until_dead(processes.written(tmp_path / "pids"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_killed_parent_leaves_no_process_and_no_folder(
    fake, tmp_path, temporary, number, processes
):
    parent = start_fit(fake(HANG), PIDS=str(tmp_path / "pids"))
    started = processes.written(tmp_path / "pids")
    assert all(map(processes.alive, started))
    assert len(list(temporary.iterdir())) == 1
    parent.send_signal(number)
    parent.wait(timeout=60)
    processes.wait_until_dead(started)
    processes.wait_until(lambda: not list(temporary.iterdir()))


def test_what_a_job_left_that_was_killed_whole_is_removed_by_the_next(
    data, fake, tmp_path, temporary, processes
):
    parent = start_fit(fake(HANG), PIDS=str(tmp_path / "pids"))
    started = processes.written(tmp_path / "pids")
    (left,) = temporary.iterdir()
    watchdog = int(Path(f"/proc/{started[0]}/stat").read_text().rpartition(")")[2].split()[1])
    for how in (signal.SIGSTOP, signal.SIGKILL):  # or one sees the other end, and cleans up
        for pid in (watchdog, parent.pid, *started):
            os.kill(pid, how)
    parent.wait()
    processes.wait_until_dead([watchdog, *started])
    assert left.is_dir()
    found = re.fullmatch(r"featx-([0-9a-f]{8})-(\d+)\.(\w+)", left.name)
    assert int(found[2]) == parent.pid
    elsewhere = f"featx-{'0' * 8}-{found[2]}.{found[3]}"  # the same number on another machine
    kept = [elsewhere, f"featx-{found[1]}-{os.getppid()}.running", "featx-something-else.1"]
    for name in kept:
        (temporary / name).mkdir()
    AutoSklearnRegressor(environment=fake(GOOD)).fit(*data[:2])
    assert sorted(path.name for path in temporary.iterdir()) == sorted(kept)
    for name in kept:
        (temporary / name).rmdir()


@pytest.mark.parametrize("told", [None, "/no/such/folder"])
def test_without_a_tmpdir_the_nodes_own_disk_is_taken(monkeypatch, tmp_path, told):
    scratch = Path(tempfile.mkdtemp(prefix="node", dir="/tmp"))
    try:
        monkeypatch.setenv("SLURM_TMPDIR", str(scratch))
        monkeypatch.setenv("TMPDIR", str(told))
        if told is None:
            monkeypatch.delenv("TMPDIR")
        with client.job_folder() as folder:
            assert folder.parent == scratch
        assert not list(scratch.iterdir())
    finally:
        scratch.rmdir()


def test_sockets_fit_below_the_longest_temporary_folder(monkeypatch):
    longest = Path("/tmp") / ("x" * (client._LONGEST_TEMPORARY - len("/tmp/")))
    longest.mkdir()
    try:
        monkeypatch.setattr(client, "owner", lambda: "01234567-4194304")
        monkeypatch.setattr(tempfile, "tempdir", str(longest))
        with client.job_folder() as folder, socket.socket(socket.AF_UNIX) as listener:
            assert folder.parent == longest
            below = folder / "t" / "pymp-12345678"
            below.mkdir(parents=True)
            listener.bind(str(below / "listener-12345678"))
        monkeypatch.setattr(tempfile, "tempdir", f"{longest}x")
        with client.job_folder() as folder:
            assert folder.parent == Path("/tmp")
    finally:
        longest.rmdir()


def test_two_fits_at_once_do_not_meet(data, fake, temporary):
    body = "time.sleep(1)\n" + GOOD
    regressor = AutoSklearnRegressor(environment=fake(body))
    from joblib import Parallel, delayed

    X, y, groups = data
    with_each = Parallel(n_jobs=2, backend="threading")(
        delayed(clone(regressor).fit)(X[:, ::step], y, groups) for step in (1, -1)
    )
    np.testing.assert_array_equal(with_each[0].predict(X), X[:, 0])
    np.testing.assert_array_equal(with_each[1].predict(X), X[:, 0])

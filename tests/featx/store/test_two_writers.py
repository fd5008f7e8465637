"""Of two writers of one file one writes it, and the other is told."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from featx.errors import FeatxError
from featx.store import FeaturesWriter

from .conftest import LAYERS, PROVENANCE, cut, make_rows, make_table
from .writers import ORPHAN, Write, assert_equal_files, child


def test_a_second_writer_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "f.h5"
    with FeaturesWriter(path, make_table(4), LAYERS, PROVENANCE) as first:
        first.append(cut(make_rows(4), 0, 2))
        second = FeaturesWriter(path, make_table(4), LAYERS, PROVENANCE, resume=True)
        told = r"f\.h5\.partial is being written by another process.*HDF5_USE_FILE_LOCKING"
        with pytest.raises(FeatxError, match=told):
            second.__enter__()
        process = child(path, 4, 1)  # the refusal above must not have lifted the lock
        assert re.search(told, process.communicate()[0])
        assert process.returncode == 1
        monkeypatch.setenv("HDF5_USE_FILE_LOCKING", "FALSE")
        with second:
            assert second.rows_done == 2


@pytest.mark.parametrize("pause", ["append:0", "append:7", "finish:0"])
def test_of_two_writers_that_no_lock_parts_the_former_stops(
    tmp_path: Path, write: Write, pause: str
) -> None:
    """As on a node that was given up, but whose processes run on."""
    n, path = 40, tmp_path / "f.h5"
    former = child(path, n, batch=2, PAUSE=pause, HDF5_USE_FILE_LOCKING="FALSE")
    os.waitid(os.P_PID, former.pid, os.WSTOPPED)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HDF5_USE_FILE_LOCKING", "FALSE")
        latter = FeaturesWriter(path, make_table(n), LAYERS, PROVENANCE, resume=True)
        with latter:
            done = {"append:0": 0, "append:7": 14, "finish:0": n}[pause]
            assert latter.rows_done == done
            middle = min(n, done + 3)
            if middle > done:
                latter.append(cut(make_rows(n), done, middle))
            former.send_signal(signal.SIGCONT)
            told = former.communicate()[0]
            assert "f.h5.partial was taken over by another process" in told
            assert former.returncode == 1
            if n > middle:
                latter.append(cut(make_rows(n), middle, n))
            latter.finish()
    assert_equal_files(path, write(n, batch=500, name="whole.h5"))
    assert {file.name for file in tmp_path.iterdir()} == {"f.h5", "whole.h5"}


def test_a_forked_process_that_lives_on_does_not_hold_the_lock(tmp_path: Path) -> None:
    """As a loader's processes do for a while after their parent was killed."""
    orphan = subprocess.run(
        [sys.executable, "-c", ORPHAN, str(Path(__file__).parent), str(tmp_path / "f.h5")],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
    )
    assert orphan.returncode == -signal.SIGKILL
    try:
        writer = FeaturesWriter(tmp_path / "f.h5", make_table(4), LAYERS, PROVENANCE, resume=True)
        with writer:
            assert writer.rows_done == 2
    finally:
        os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)


def test_two_runs_that_both_finish_keep_the_first(tmp_path: Path, write: Write) -> None:
    with FeaturesWriter(tmp_path / "features.h5", make_table(4), LAYERS, {}) as writer:
        writer.append(make_rows(4))
        (tmp_path / "features.h5").write_text("somebody else's")
        with pytest.raises(FeatxError, match="made by another run meanwhile"):
            writer.finish()
    assert (tmp_path / "features.h5").read_text() == "somebody else's"
    assert writer.partial.exists()

"""Functions in processes of their own."""

import ctypes
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from featx.cluster.fresh import call_fresh
from featx.errors import FeatxError
from featx.memory import peak_memory

from .test_local import alive, wait_until


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def refuse(what):
    raise FeatxError(f"no {what}")


def test_it_begins_with_memory_of_its_own():
    held = bytearray(400 << 20)
    mine = peak_memory()
    assert mine > len(held)
    assert 0 < call_fresh(peak_memory, killed="") < mine - (300 << 20)


def test_its_own_processes_start_as_usual():
    usual = multiprocessing.get_start_method()
    assert call_fresh(multiprocessing.get_start_method, killed="") == usual != "spawn"


def test_errors_come_back():
    with pytest.raises(FeatxError, match="no bread"):
        call_fresh(refuse, "bread", killed="")


def test_a_killed_one_is_told():
    with pytest.raises(FeatxError, match="no memory was left"):
        call_fresh(die, killed="no memory was left")


def test_one_that_takes_too_long_is_ended():
    start = time.monotonic()
    with pytest.raises(TimeoutError):
        call_fresh(time.sleep, 100.0, killed="", limit=0.2)
    assert time.monotonic() - start < 20


def test_one_that_lets_no_thread_run_ends_with_its_caller(tmp_path):
    told = tmp_path / "pid"
    code = (
        "from featx.cluster.fresh import call_fresh\n"
        "from tests.featx.cluster.test_fresh import spin\n"
        f"call_fresh(spin, {str(told)!r}, killed='it was killed')\n"
    )
    caller = subprocess.Popen([sys.executable, "-c", code], cwd=Path(__file__).parents[3])
    try:
        wait_until(lambda: told.is_file() and told.read_text())
    finally:
        caller.kill()
        caller.wait()
    wait_until(lambda: not alive(int(told.read_text())))


def spin(told):
    """Tell who this is, and go round in C, holding the interpreter's lock."""
    Path(told).write_text(str(os.getpid()))
    ctypes.PyDLL(None).sleep(300)

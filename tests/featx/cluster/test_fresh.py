"""Functions in processes of their own."""

import multiprocessing
import os
import signal
import time

import pytest

from featx.cluster.fresh import call_fresh
from featx.errors import FeatxError
from featx.memory import peak_memory


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

"""Files on which HDF5 breaks off or comes to no end are told of, and nothing hangs or ends."""

import os
import subprocess
import sys
import threading
import time

import h5py
import pytest

from featx.errors import FeatxError
from featx.store import FeaturesFile, soundness
from featx.store.tools.repairing import repair


def endless(opening):
    while True:
        pass


def broken_off(opening):
    os.abort()


def slow(opening):
    time.sleep(2)


def refused(opening):
    raise OSError("as HDF5 does")


@pytest.fixture
def path(write, monkeypatch):
    """A file that this process has not read."""
    path = write(40)
    monkeypatch.setattr(soundness, "_SOUND", set())
    monkeypatch.setattr(soundness, "LARGE", sys.maxsize)  # beside other tests a process grows
    return path


@pytest.mark.parametrize(
    ("walk", "told"), [(endless, "comes to no end"), (broken_off, "breaks off")]
)
def test_no_command_opens_what_hdf5_does_not_come_through(path, monkeypatch, tmp_path, walk, told):
    monkeypatch.setattr(soundness, "_walk", walk)
    monkeypatch.setattr(soundness, "LIMIT", 1)
    wanted = rf"{path} is damaged so that HDF5 {told}; extract it again or take a whole copy"
    for _ in range(2):
        with pytest.raises(FeatxError, match=wanted):
            FeaturesFile(path)
    with pytest.raises(FeatxError, match=wanted):
        repair(path, tmp_path / "repaired.h5")
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(FeatxError, match=wanted):
        repair(path, tmp_path / "repaired.h5")


def test_what_hdf5_refuses_is_told_by_who_reads_it(path, monkeypatch):
    monkeypatch.setattr(soundness, "_walk", refused)
    FeaturesFile(path).close()


def test_a_slow_disk_is_waited_for(path, monkeypatch):
    monkeypatch.setattr(soundness, "_walk", slow)
    monkeypatch.setattr(soundness, "LIMIT", 1)
    FeaturesFile(path).close()


@pytest.mark.parametrize(
    ("code", "told"),
    [("while True: pass", "comes to no end"), ("import os; os.abort()", "breaks off"), ("", None)],
)
def test_a_large_process_is_not_forked(path, monkeypatch, code, told):
    """Another Python reads the file; here one that does something else."""
    run, seen = subprocess.run, []

    def other(command, **options):
        seen.append(command)
        began = "import resource; resource.setrlimit(resource.RLIMIT_CPU, (1, 2))"
        return run([*command[:1], "-c", f"{began}\n{code}"] if code else command, **options)

    monkeypatch.setattr(soundness, "LARGE", 0)
    monkeypatch.setattr(soundness, "_in_fork", None)
    monkeypatch.setattr(subprocess, "run", other)
    if told:
        with pytest.raises(FeatxError, match=told):
            FeaturesFile(path)
    else:
        FeaturesFile(path).close()
    assert len(seen) == 1


def test_what_this_process_wrote_is_not_tried(write, monkeypatch):
    monkeypatch.setattr(soundness, "_walk", broken_off)
    FeaturesFile(write(4)).close()


def test_another_python_reads_all_of_it(path):
    command = [sys.executable, "-m", "featx.store.soundness", path, "5", str(os.getpid())]
    assert subprocess.run(command).returncode == 0
    path.write_bytes(path.read_bytes()[:-40])
    refused = subprocess.run(command, capture_output=True, text=True)
    assert refused.returncode == 1
    assert "truncated file" in refused.stderr


def test_a_file_is_tried_once_while_it_stays_the_same(path, monkeypatch):
    tried = []
    in_fork = soundness._in_fork
    monkeypatch.setattr(
        soundness, "_in_fork", lambda *given: tried.append(given) or in_fork(*given)
    )
    for _ in range(3):
        FeaturesFile(path).close()
    assert len(tried) == 1
    with h5py.File(path, "a") as file:
        file.attrs["note"] = "of one's own"
    FeaturesFile(path).close()
    assert len(tried) == 2


def test_all_structures_are_read(path, monkeypatch):
    """Every object's attributes, and every chunk that an index names."""
    with h5py.File(path) as file:
        inside = set()
        file.visit(inside.add)
        chunks = sum(file[name].id.get_num_chunks() for name in inside if file[name].chunks)
    asked = set()
    usual = h5py.AttributeManager.keys

    def keys(self):
        asked.add(h5py.h5i.get_name(self._id).decode().lstrip("/"))
        return usual(self)

    monkeypatch.setattr(h5py.AttributeManager, "keys", keys)
    counted = []
    monkeypatch.setattr(soundness, "_chunk", counted.append)
    soundness._walk(h5py.File(path))
    assert asked >= inside | {""}
    assert len(counted) == chunks > 1


def test_other_threads_with_locks_do_not_stop_it(path):
    end = threading.Event()

    def read():
        with h5py.File(other) as file:
            while not end.is_set():
                dict(file.attrs)

    other = path.with_name("other.h5")
    other.write_bytes(path.read_bytes())
    thread = threading.Thread(target=read)
    thread.start()
    try:
        for _ in range(20):
            soundness._SOUND.clear()
            soundness.check_sound(path)
    finally:
        end.set()
        thread.join()

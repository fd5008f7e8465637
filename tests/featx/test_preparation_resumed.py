"""A run that was stopped is gone on with, and does again only what is new, changed or lost."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from featx import preparation
from featx.datasets import read_dataset
from featx.errors import FeatxError
from featx.manifest import read_table
from featx.memory import family
from featx.preparation import CropSettings, prepare
from tests.featx.cluster.test_local import alive, wait_until
from tests.featx.sources import WHOLE, pictures, tree


def test_a_folder_in_use_is_left_alone(tmp_path):
    table = pictures(tmp_path / "in", 1)
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.tex").write_text("!")
    with pytest.raises(FeatxError, match="not empty; add --resume"):
        prepare(table, out, WHOLE)
    with pytest.raises(FeatxError, match="no output of featx prepare"):
        prepare(table, out, WHOLE, resume=True)
    assert [path.name for path in out.iterdir()] == ["thesis.tex"]


def test_resume_of_a_finished_folder(tmp_path, monkeypatch):
    table = pictures(tmp_path / "in", 3)
    out = tmp_path / "out"
    prepare(table, out, WHOLE)
    before = tree(out)
    calls = []
    monkeypatch.setattr(preparation, "crop_file", lambda *task: pytest.fail("done again"))
    again = prepare(table, out, WHOLE, resume=True, progress=lambda *seen: calls.append(seen))
    assert calls == [(3, 3)]
    assert tree(out) == before
    assert len(again) == 3


def test_resume_does_what_is_new_changed_or_lost(tmp_path, monkeypatch):
    table = pictures(tmp_path / "in", 5)
    (tmp_path / "in/004.png").write_bytes(b"no image")
    out = tmp_path / "out"
    prepare(table[table["image"] != "001"], out, WHOLE)
    Image.new("RGB", (9, 9), "blue").save(tmp_path / "in/002.png")
    (out / "crops/003.png").unlink()
    done, crop_file = [], preparation.crop_file

    def count(source, *rest):
        done.append(Path(source).stem)
        return crop_file(source, *rest)

    monkeypatch.setattr(preparation, "crop_file", count)
    table = prepare(table, out, WHOLE, resume=True, jobs=1)
    assert done == ["001", "002", "003"]
    assert table["status"].tolist() == ["ok"] * 4 + ["corrupt"]
    prepare(table, tmp_path / "fresh", WHOLE, jobs=1)
    assert tree(out) == tree(tmp_path / "fresh")


def test_resume_with_other_settings(tmp_path):
    table = pictures(tmp_path / "in", 1)
    prepare(table, tmp_path / "out", WHOLE)
    other = CropSettings(detector="none", size=(8, 8))
    with pytest.raises(FeatxError, match=r"other settings \(size None then and \[8, 8\] now\)"):
        prepare(table, tmp_path / "out", other, resume=True)


def test_two_runs_at_once(tmp_path):
    table = pictures(tmp_path / "in", 3)
    out = tmp_path / "out"

    def second_run(done, total):
        if done == 1:
            with pytest.raises(FeatxError, match="another run is writing"):
                prepare(table, out, WHOLE, resume=True)

    prepare(table, out, WHOLE, jobs=1, progress=second_run)
    assert (read_table(out)["status"] == "ok").all()


@pytest.mark.parametrize("tail", [b"", b'{"sha256": "ab', b"\xff\n"])
def test_a_journal_cut_at_any_place(tmp_path, tail):
    table = pictures(tmp_path / "in", 6)
    prepare(table, tmp_path / "whole", WHOLE)

    def stop(done, total):
        if done == 3:
            raise KeyboardInterrupt

    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        prepare(table, out, WHOLE, jobs=1, progress=stop)
    journal = out / ".prepare.jsonl"
    assert journal.read_bytes().count(b"\n") == 4
    with journal.open("ab") as stream:
        stream.write(tail)
    calls = []
    prepare(table, out, WHOLE, jobs=1, resume=True, progress=lambda *seen: calls.append(seen))
    assert calls[0] == (3, 6)
    assert tree(out) == tree(tmp_path / "whole")


@pytest.mark.parametrize("lines", [0.5, 3, 20])
def test_sigkill_loses_only_the_images_in_hand(tmp_path, lines):
    pictures(tmp_path / "in", 60, size=(300, 300))
    labels = tmp_path / "labels.csv"
    labels.write_text("path,age\n" + "".join(f"in/{n:03d}.png,{n}\n" for n in range(60)))
    table = read_dataset("csv", labels)
    out = tmp_path / "out"
    code = (
        "from featx.datasets import read_dataset\n"
        "from featx.preparation import CropSettings, prepare\n"
        f"prepare(read_dataset('csv', {str(labels)!r}), {str(out)!r},"
        " CropSettings(detector='none'), jobs=1)"
    )
    run = subprocess.Popen([sys.executable, "-c", code], cwd=Path(__file__).parents[2])
    journal = out / ".prepare.jsonl"
    until = time.monotonic() + 60
    while time.monotonic() < until and run.poll() is None:
        if journal.exists() and journal.read_bytes().count(b"\n") > lines:
            break
        time.sleep(0.002)
    assert run.poll() is None, "it ended before it could be killed"
    os.kill(run.pid, signal.SIGKILL)
    run.wait()
    assert not (out / "images.csv").exists()
    calls = []
    prepare(table, out, WHOLE, resume=True, jobs=1, progress=lambda *seen: calls.append(seen))
    assert lines - 1 <= calls[0][0] < 60
    prepare(table, tmp_path / "whole", WHOLE, jobs=1)
    assert tree(out) == tree(tmp_path / "whole")


def test_a_disk_that_fills(tmp_path, monkeypatch):
    table = pictures(tmp_path / "in", 2)

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(FeatxError, match=r"cannot write .*000.png: No space left"):
        prepare(table, tmp_path / "out", WHOLE, jobs=1)
    monkeypatch.undo()
    assert (prepare(table, tmp_path / "out", WHOLE, resume=True)["status"] == "ok").all()


def test_its_processes_end_where_it_is_killed_as_they_start(tmp_path):
    pictures(tmp_path / "in", 20)
    words = ["prepare", "folder", tmp_path / "in", "--jobs", "2"]
    command = [sys.executable, "-m", "cli.main", *words, "-o", tmp_path / "out"]
    killed = subprocess.Popen(command, stderr=subprocess.DEVNULL)

    def workers():
        commands = {each: Path(f"/proc/{each}/cmdline") for each in family(killed.pid)[1:]}
        return [each for each, told in commands.items() if b"LokyProcess" in told.read_bytes()]

    try:
        wait_until(lambda: len(workers()) == 2)
        found = workers()
    finally:
        killed.kill()
        killed.wait()
    wait_until(lambda: not any(map(alive, found)))

"""Journals on a disk that is full."""

import resource

import pytest

from featx.crop_journal import CropJournal
from featx.errors import FeatxError
from featx.prediction.journal import PredictionJournal


@pytest.fixture
def small_disk():
    """No file may grow beyond 4 KiB, as on a full disk."""
    former = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, former[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, former)


def crops(folder, resume):
    journal = CropJournal(folder, {"size": 160}, resume=resume)
    return journal, lambda name: journal.append(name, f"{name}.png", {"status": "ok"})


def predictions(folder, resume):
    journal = PredictionJournal(folder, {"size": 160}, "images", resume=resume)
    return journal, lambda name: journal.note({"image": name, "files": []})


def note_many(journal, note):
    with journal:
        for number in range(1000):
            note(f"picture{number}")


@pytest.mark.parametrize("make", [crops, predictions])
def test_a_full_disk_is_told_with_the_file_and_the_journal_goes_on(make, tmp_path, small_disk):
    with pytest.raises(FeatxError, match=r"cannot write .*\.jsonl: File too large"):
        note_many(*make(tmp_path, False))
    (written,) = tmp_path.glob(".*.jsonl")
    whole = written.read_bytes().count(b"\n")
    assert whole > 10
    again, _ = make(tmp_path, True)
    with pytest.raises(KeyError), again:
        raise KeyError("stopped before it did anything")
    assert written.read_bytes().count(b"\n") == whole
    assert written.read_bytes().endswith(b"\n")

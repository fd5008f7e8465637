"""A file that was broken off is gone on with, wherever that was; one of something else is not."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable
from pathlib import Path

import h5py
import pandas as pd
import pytest

from featx.errors import FeatxError
from featx.store import FeaturesFile, FeaturesWriter, Layer

from .conftest import LAYERS, PROVENANCE, cut, make_rows, make_table
from .writers import Write, assert_equal_files, child


def test_resuming_a_finished_file_has_nothing_to_do(write: Write) -> None:
    path = write()
    before = path.read_bytes()
    with FeaturesWriter(path, make_table(40), LAYERS, PROVENANCE, resume=True) as writer:
        assert writer.complete
        assert writer.rows_done == 40
        writer.finish()
    assert path.read_bytes() == before


def test_resuming_a_finished_file_checks_its_rows(write: Write) -> None:
    path = write(compression="none")
    with h5py.File(path, "r+") as file:
        file["flattened"][20, 3] += 1
    with (
        pytest.raises(FeatxError, match="flattened differs from its sha256"),
        FeaturesWriter(path, make_table(40), LAYERS, PROVENANCE, resume=True),
    ):
        pass


def break_off(path: Path, done: int = 20, n: int = 40) -> Path:
    with (
        contextlib.suppress(KeyboardInterrupt),
        FeaturesWriter(path, make_table(n), LAYERS, PROVENANCE) as writer,
    ):
        writer.append(cut(make_rows(n), 0, done))
        raise KeyboardInterrupt
    return path.with_name(f"{path.name}.partial")


def test_a_file_that_is_finished_while_it_is_looked_at(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done, partial = write(name="done.h5"), break_off(tmp_path / "f.h5")
    looked = FeaturesWriter._refuse_unless_resumed

    def finishing(writer: FeaturesWriter) -> None:
        looked(writer)
        done.rename(writer.path)
        partial.unlink()

    monkeypatch.setattr(FeaturesWriter, "_refuse_unless_resumed", finishing)
    writer = FeaturesWriter(tmp_path / "f.h5", make_table(40), LAYERS, PROVENANCE, resume=True)
    assert writer.finished()


def test_a_file_that_is_removed_while_it_is_opened(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a shard is, once it has been merged."""
    path = write()
    monkeypatch.setattr("featx.store.opening.check_sound", lambda path: path.unlink())
    with pytest.raises(FeatxError, match="was removed while it was being opened"):
        FeaturesFile(path)


def test_a_partial_is_not_overwritten_without_resume(tmp_path: Path) -> None:
    partial = break_off(tmp_path / "f.h5")
    before = partial.read_bytes()
    with (
        pytest.raises(FeatxError, match=r"f\.h5\.partial is there already.*--resume"),
        FeaturesWriter(tmp_path / "f.h5", make_table(40), LAYERS, PROVENANCE),
    ):
        pass
    assert partial.read_bytes() == before


def change(row: int, column: str, value: object) -> Callable[[pd.DataFrame], pd.DataFrame]:
    def changed(table: pd.DataFrame) -> pd.DataFrame:
        table.loc[row, column] = value
        return table

    return changed


@pytest.mark.parametrize("finished", [False, True])
@pytest.mark.parametrize(
    ("edit", "layers", "provenance", "dtype", "told"),
    [
        (
            change(7, "age", 77),
            LAYERS,
            PROVENANCE,
            "float32",
            r"age of row 8 is 7\.0, now 77\.0 \(1 rows",
        ),
        (
            change(3, "image", "another"),
            LAYERS,
            PROVENANCE,
            "float32",
            "image of row 4 is 'bild-é0003', now 'anoth",
        ),
        (change(3, "status", "excluded"), LAYERS, PROVENANCE, "float32", "the status of its rows"),
        (
            lambda table: table.drop(index=[1]),
            LAYERS,
            PROVENANCE,
            "float32",
            "40 images, the table 39",
        ),
        (None, LAYERS[:2], PROVENANCE, "float32", "layers are gap, flattened, softmax, now gap, f"),
        (None, LAYERS, {**PROVENANCE, "seed": 4}, "float32", "its seed is 3, now 4"),
        (None, LAYERS, {**PROVENANCE, "crop": "a"}, "float32", "its crop is None, now 'a'"),
        (None, LAYERS, PROVENANCE, "float16", "its dtype is float32, now float16"),
        (
            None,
            [Layer("gap", 8, (8,), module="features.conv", pool="max"), *LAYERS[1:]],
            PROVENANCE,
            "float32",
            "layer gap has pool 'avg', now 'max'",
        ),
    ],
)
def test_resuming_something_else_names_what_differs(
    write: Write, tmp_path: Path, finished, edit, layers, provenance, dtype, told
) -> None:
    path = tmp_path / "features.h5"
    if finished:
        write()
    else:
        break_off(path)
    table = edit(make_table(40)) if edit else make_table(40)
    with (
        pytest.raises(FeatxError, match=told),
        FeaturesWriter(path, table, layers, provenance, dtype=dtype, resume=True),
    ):
        pass
    assert path.exists() == finished


def test_a_partial_cut_anywhere_is_resumed(write: Write, tmp_path: Path) -> None:
    """Wherever a kill tears the journal, the whole records are kept and the result is the same."""
    whole = write(40, name="whole.h5")
    partial = break_off(tmp_path / "f.h5", 20)
    torn = partial.read_bytes()
    kept = set()
    for size in [0, 5, 16, 40, len(torn) // 3, *range(len(torn) - 5000, len(torn), 331), len(torn)]:
        partial.write_bytes(torn[:size])
        with FeaturesWriter(
            tmp_path / "f.h5", make_table(40), LAYERS, PROVENANCE, resume=True
        ) as writer:
            kept.add(writer.rows_done)
            writer.append(cut(make_rows(40), writer.rows_done, 40))
            writer.finish()
        with FeaturesFile(tmp_path / "f.h5") as a, FeaturesFile(whole) as b:
            assert a.images.equals(b.images)
            assert all(a.layer_sha256(name) == b.layer_sha256(name) for name in a.layers)
        (tmp_path / "f.h5").unlink()
    assert kept == {0, 20}


def test_a_changed_byte_in_a_partial_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "f.h5"
    with FeaturesWriter(path, make_table(40), LAYERS, PROVENANCE) as writer:
        writer.append(cut(make_rows(40), 0, 16))
        first = writer.partial.stat().st_size
        writer.append(cut(make_rows(40), 16, 32))
    bytes_ = bytearray(writer.partial.read_bytes())
    bytes_[first + 500] ^= 1
    writer.partial.write_bytes(bytes_)
    with FeaturesWriter(path, make_table(40), LAYERS, PROVENANCE, resume=True) as writer:
        assert writer.rows_done == 16


def test_what_killed_runs_left_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "f.h5"
    break_off(path)
    for name in ("f.h5.0123abcd", "f.h5.partial.0123abcd", "f.h5.kept", "f.h5.partial.0123abcde"):
        (tmp_path / name).touch()
    with FeaturesWriter(path, make_table(40), LAYERS, PROVENANCE, resume=True):
        left = {file.name for file in tmp_path.iterdir()}
    assert left == {"f.h5.partial", "f.h5.kept", "f.h5.partial.0123abcde"}


def test_killed_anywhere_it_resumes_to_the_same_file(tmp_path: Path, write: Write) -> None:
    """SIGKILL among the appends and at the end of finish, in one file's life."""
    n, path, seen = 900, tmp_path / "killed.h5", []
    for wait in ("3", "300", "finishing"):
        # Every child would die before the file has its name: the kill below may come late.
        process = child(path, n, batch=3, DIE_UNPUBLISHED="yes")
        assert process.stdout is not None
        first = int(process.stdout.readline())
        if seen:
            assert first >= seen[-1]  # nothing that was told to be stored is lost
        line = "0"
        while line.strip() and line.strip() != wait and (
            wait == "finishing" or int(line) < int(wait)
        ):  # fmt: skip
            line = process.stdout.readline()
        if wait != "finishing":
            process.send_signal(signal.SIGKILL)
        rest = process.communicate()[0].split()
        told = [int(word) for word in [line, *rest] if word.strip().isdigit()]
        seen.append(max([first, *told]))
        assert process.returncode == -signal.SIGKILL
        assert not path.exists()
    with FeaturesWriter(path, make_table(n), LAYERS, PROVENANCE, resume=True) as writer:
        assert writer.rows_done == n
        writer.finish()
    assert_equal_files(path, write(n, batch=500, name="whole.h5"))
    assert {file.name for file in tmp_path.iterdir()} == {"killed.h5", "whole.h5"}


@pytest.mark.parametrize("share", [0.1, 0.9, 1.0])
def test_a_full_disk_is_told_and_loses_nothing(tmp_path: Path, write: Write, share: float) -> None:
    """Both where the journal meets the limit and where the HDF5 file does."""
    n, path = 1000, tmp_path / "full.h5"
    limit = int(share * write(n, name="whole.h5").stat().st_size) - 1
    process = child(path, n, 50, limit)
    output = process.communicate()[0].splitlines()
    assert process.returncode == 1
    assert "full.h5: File too large" in output[-1]
    assert ("finishing" in output) == (share > 0.5)
    assert not path.exists()
    stored = max((int(line) for line in output if line.isdigit()), default=0)
    assert f"{stored} of {n} rows are kept" in output[-1]
    with FeaturesWriter(path, make_table(n), LAYERS, PROVENANCE, resume=True) as writer:
        assert writer.rows_done == stored
        writer.append(cut(make_rows(n), stored, n))
        writer.finish()
    assert_equal_files(path, tmp_path / "whole.h5")

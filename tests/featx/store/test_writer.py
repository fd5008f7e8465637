from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import re
import signal
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from featx.errors import FeatxError
from featx.manifest import STATUSES, new_table
from featx.store import FeaturesFile, FeaturesWriter, Layer
from featx.store.netcdf import chunk_rows

from .conftest import LAYERS, PROVENANCE, cut, make_rows, make_table

Write = Callable[..., Path]

statuses = st.sampled_from(STATUSES)


@settings(max_examples=20, deadline=None)
@given(
    cuts=st.lists(st.integers(0, 45), min_size=1, max_size=12).filter(lambda cuts: sum(cuts) > 0),
    stops=st.sets(st.integers(0, 11)),
    dtype=st.sampled_from(["float32", "float16"]),
    compression=st.sampled_from(["gzip", "gzip-4", "lzf", "none"]),
    data=st.data(),
)
def test_what_goes_in_comes_out(
    cuts: list[int], stops: set[int], dtype: str, compression: str, data: st.DataObject
) -> None:
    """Whatever the batches, and wherever it is broken off and resumed."""
    n = sum(cuts)
    outcome = data.draw(st.lists(statuses, min_size=n, max_size=n))
    reason = data.draw(
        st.lists(st.text(st.characters(codec="utf-8"), max_size=5), min_size=n, max_size=n)
    )
    rows, edges = make_rows(n), np.cumsum([0, *cuts])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "f.h5"

        def open_writer(resume: bool) -> FeaturesWriter:
            return FeaturesWriter(
                path, make_table(n), LAYERS, PROVENANCE, dtype=dtype, compression=compression,
                resume=resume,
            )  # fmt: skip

        writer = open_writer(resume=False).__enter__()
        for number, (start, stop) in enumerate(itertools.pairwise(edges)):
            if number in stops:
                writer.__exit__(None, None, None)
                writer = open_writer(resume=True).__enter__()
            assert writer.rows_done == start
            writer.append(cut(rows, start, stop), outcome[start:stop], reason[start:stop])
        writer.finish()
        writer.__exit__(None, None, None)
        assert [file.name for file in Path(folder).iterdir()] == ["f.h5"]

        bad = np.array(outcome) != "ok"
        with FeaturesFile(path) as features:
            for name, values in rows.items():
                stored = values.astype(dtype)
                stored[bad] = np.nan
                np.testing.assert_array_equal(features.read(name), stored.astype(np.float32))
                assert features.layer_sha256(name) == hashlib.sha256(stored.tobytes()).hexdigest()
            assert features.images["status"].tolist() == outcome
            assert features.images["reason"].tolist() == [text.replace("\0", "") for text in reason]
            assert features.layers == {layer.name: layer for layer in LAYERS}
            assert features.provenance == PROVENANCE


def test_files_are_equal_byte_by_byte_whatever_the_batches(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    import datetime

    from featx.store import writer

    class Noon(datetime.datetime):
        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> Noon:
            return cls(2020, 1, 1, 12, tzinfo=tz)

    monkeypatch.setattr(writer.datetime, "datetime", Noon)
    contents = {write(batch=batch, name=f"{batch}.h5").read_bytes() for batch in (1, 7, 16, 33, 40)}
    assert len(contents) == 1


def test_statuses_default_to_the_tables(tmp_path: Path) -> None:
    table = make_table(3)
    table.loc[1, ["status", "reason"]] = ["duplicate", "same as 0"]
    with FeaturesWriter(tmp_path / "f.h5", table, LAYERS, {}) as writer:
        writer.append(make_rows(3))
        writer.finish()
    with FeaturesFile(tmp_path / "f.h5") as features:
        assert features.images["status"].tolist() == ["ok", "duplicate", "ok"]
        assert features.images["reason"][1] == "same as 0"
        assert np.isnan(features.read("gap")).all(axis=1).tolist() == [False, True, False]


@pytest.mark.parametrize("compression", ["gzip", "gzip-9", "lzf", "none"])
def test_compression_is_what_was_asked_for(write: Write, compression: str) -> None:
    with h5py.File(write(compression=compression)) as file:
        stored = file["flattened"]
        method, _, level = compression.partition("-")
        assert stored.compression == (None if method == "none" else method)
        if level:
            assert stored.compression_opts == int(level)
        assert stored.shuffle is False


def test_chunks_are_whole_rows_of_about_a_mebibyte() -> None:
    assert chunk_rows(Layer("gap", 512, (512,)), "float32") == 16
    assert chunk_rows(Layer("flattened", 25_088, (512, 7, 7)), "float32") == 8
    assert chunk_rows(Layer("flattened", 25_088, (512, 7, 7)), "float16") == 16
    assert chunk_rows(Layer("first", 802_816, (64, 112, 112)), "float32") == 1


def test_float16_that_overflows_is_an_error_naming_the_image(tmp_path: Path) -> None:
    rows = make_rows(3)
    rows["gap"][2, 1] = 70_000
    with FeaturesWriter(tmp_path / "f.h5", make_table(3), LAYERS, {}, dtype="float16") as writer:
        with pytest.raises(FeatxError, match=r"gap of image 'bild-é0002' holds 70000.*float32"):
            writer.append(rows)
        assert writer.rows_done == 0


def test_a_finished_file_is_never_overwritten(write: Write) -> None:
    path = write()
    before = path.read_bytes()
    with pytest.raises(FeatxError, match=r"never overwritten.*--resume"):
        write()
    assert path.read_bytes() == before


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


def test_what_killed_runs_left_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "f.h5"
    break_off(path)
    for name in ("f.h5.0123abcd", "f.h5.partial.0123abcd", "f.h5.kept", "f.h5.partial.0123abcde"):
        (tmp_path / name).touch()
    with FeaturesWriter(path, make_table(40), LAYERS, PROVENANCE, resume=True):
        left = {file.name for file in tmp_path.iterdir()}
    assert left == {"f.h5.partial", "f.h5.kept", "f.h5.partial.0123abcde"}


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


def test_finish_needs_all_rows(tmp_path: Path) -> None:
    with FeaturesWriter(tmp_path / "f.h5", make_table(4), LAYERS, {}) as writer:
        writer.append(cut(make_rows(4), 0, 3))
        with pytest.raises(FeatxError, match="3 of 4 rows"):
            writer.finish()
    assert not (tmp_path / "f.h5").exists()


@pytest.mark.parametrize("wrong", ["layer", "rows", "units", "status", "word", "many"])
def test_misuse_is_refused_and_nothing_is_stored(tmp_path: Path, wrong: str) -> None:
    rows = make_rows(2)
    outcome = ["ok", "ok"]
    if wrong == "layer":
        del rows["gap"]
    elif wrong == "rows":
        rows["gap"] = rows["gap"][:1]
    elif wrong == "units":
        rows["gap"] = rows["gap"][:, :4]
    elif wrong == "status":
        outcome = ["ok"]
    elif wrong == "word":
        outcome = ["ok", "fine"]
    else:
        rows, outcome = make_rows(5), ["ok"] * 5
    with FeaturesWriter(tmp_path / "f.h5", make_table(4), LAYERS, {}) as writer:
        with pytest.raises(ValueError, match=r"."):
            writer.append(rows, status=outcome)
        assert writer.rows_done == 0
        writer.append(make_rows(4))
        writer.finish()


@pytest.mark.parametrize(
    ("layers", "told"),
    [
        ([], "no layer"),
        ([LAYERS[0], LAYERS[0]], "'gap', which is already taken"),
        ([Layer("age", 2, (2,))], "'age', which is already taken"),
        ([LAYERS[2], Layer("class", 1, (1,))], "'class', which is already taken"),
    ],
)
def test_clashing_layers_are_refused(tmp_path: Path, layers: list[Layer], told: str) -> None:
    with pytest.raises(FeatxError, match=told):
        FeaturesWriter(tmp_path / "f.h5", make_table(2), layers, {})


@pytest.mark.parametrize("name", ["", "a/b", "1st", "a b", "é", "x" * 200])
def test_names_that_netcdf_lacks_are_refused(name: str) -> None:
    with pytest.raises(FeatxError, match="cannot name a variable"):
        Layer(name, 2, (2,))


@pytest.mark.parametrize("key", ["format", "layers", "_x", "a/b"])
def test_reserved_provenance_is_refused(tmp_path: Path, key: str) -> None:
    with pytest.raises(ValueError, match="reserved"):
        FeaturesWriter(tmp_path / "f.h5", make_table(2), LAYERS, {key: 1})


def test_unknown_compression_and_empty_table(tmp_path: Path) -> None:
    with pytest.raises(FeatxError, match=r"unknown compression 'gzp'.*gzip"):
        FeaturesWriter(tmp_path / "f.h5", make_table(2), LAYERS, {}, compression="gzp")
    with pytest.raises(FeatxError, match="no rows"):
        FeaturesWriter(tmp_path / "f.h5", new_table(make_table(0)), LAYERS, {})


CHILD = textwrap.dedent(
    """
    import itertools, os, resource, signal, sys
    sys.path.insert(0, sys.argv[1])
    from conftest import LAYERS, PROVENANCE, cut, make_rows, make_table
    from featx.errors import FeatxError
    from featx.store import FeaturesWriter, journal, writer as module

    if "DIE_UNPUBLISHED" in os.environ:
        module.publish = lambda *paths: os.kill(os.getpid(), signal.SIGKILL)

    def pausing(function, after):
        def paused(*args, **kwargs):
            result = function(*args, **kwargs)
            if next(after) == 0:
                os.kill(os.getpid(), signal.SIGSTOP)
            return result
        return paused

    pause, _, after = os.environ.get("PAUSE", "").partition(":")
    if pause == "append":  # where nothing is checked any more
        journal.pack = pausing(journal.pack, itertools.count(-int(after)))
    elif pause == "finish":
        module.assembly.assemble = pausing(module.assembly.assemble, itertools.count())

    path, n, batch, limit = sys.argv[2], *map(int, sys.argv[3:])
    rows, table = make_rows(n), make_table(n)
    if limit:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        with FeaturesWriter(path, table, LAYERS, PROVENANCE, resume=True) as writer:
            print(writer.rows_done, flush=True)
            for start in range(writer.rows_done, n, batch):
                writer.append(cut(rows, start, start + batch))
                print(writer.rows_done, flush=True)
            print("finishing", flush=True)
            writer.finish()
    except FeatxError as error:
        print(error)
        sys.exit(1)
    """
)


ORPHAN = textwrap.dedent(
    """
    import os, pathlib, signal, sys, time
    sys.path.insert(0, sys.argv[1])
    from conftest import LAYERS, PROVENANCE, cut, make_rows, make_table
    from featx.store import FeaturesWriter

    path = pathlib.Path(sys.argv[2])
    with FeaturesWriter(path, make_table(4), LAYERS, PROVENANCE) as writer:
        writer.append(cut(make_rows(4), 0, 2))
        pid = os.fork()
        if pid == 0:
            os.close(1)  # or else whoever reads our output waits
            time.sleep(60)
            os._exit(0)
        (path.parent / "pid").write_text(str(pid))
        os.kill(os.getpid(), signal.SIGKILL)
    """
)


def child(
    path: Path, n: int, batch: int, limit: int = 0, **variables: str
) -> subprocess.Popen[str]:
    here = Path(__file__).parent
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, str(here), str(path), str(n), str(batch), str(limit)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(here.parents[2]), **variables},
    )


def assert_equal_files(a: Path, b: Path) -> None:
    with FeaturesFile(a) as one, FeaturesFile(b) as other:
        assert one.images.equals(other.images)
        assert one.config_hash == other.config_hash
        for name in one.layers:
            np.testing.assert_array_equal(one.read(name), other.read(name))
            assert one.layer_sha256(name) == other.layer_sha256(name)


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

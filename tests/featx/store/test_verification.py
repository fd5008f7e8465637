from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cli.verify import verify as command
from featx.store import FeaturesWriter, Layer
from featx.store.tools import verification
from featx.store.tools.damage import tell_rows
from featx.store.tools.verification import verify, verify_apart

from . import broken
from .conftest import LAYERS, PROVENANCE, cut, make_rows, make_table

Write = Callable[..., Path]


def one(path: Path) -> str:
    """Return the only finding, without the file's name."""
    (finding,) = verify(path)
    assert finding.startswith(f"{path}")
    return finding.removeprefix(f"{path}").removeprefix(": ")


@pytest.mark.parametrize("options", [{}, {"compression": "none"}, {"dtype": "float16"}])
def test_a_whole_file(write: Write, options: dict[str, str]) -> None:
    assert verify(write(**options)) == []


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    prepared=st.lists(st.sampled_from(["ok", "no_face", "excluded"]), min_size=1, max_size=50),
    lost=st.sets(st.integers(0, 49)),
    classes=st.sampled_from([(1, 2, 40), (1.0, 2.0, 40.0), ("a", "b", "c")]),
)
def test_whatever_an_extraction_may_write_is_whole(
    prepared: list[str], lost: set[int], classes: tuple, tmp_path_factory: pytest.TempPathFactory
) -> None:
    n = len(prepared)
    table = make_table(n).assign(status=prepared, reason=["" if s == "ok" else s for s in prepared])
    outcome = [
        ("corrupt", "cannot be decoded") if row in lost and status == "ok" else (status, reason)
        for row, (status, reason) in enumerate(zip(table["status"], table["reason"], strict=True))
    ]
    path = tmp_path_factory.mktemp("any") / "f.h5"
    layers = [*LAYERS[:2], Layer("softmax", 3, (3,), classes=classes)]
    with FeaturesWriter(path, table, layers, PROVENANCE) as writer:
        writer.append(make_rows(n), *map(list, zip(*outcome, strict=True)))
        writer.finish()
    assert verify(path) == []


def test_a_truncated_file(write: Write) -> None:
    path = write()
    path.write_bytes(path.read_bytes()[:-100])
    assert one(path).startswith(" is truncated;")
    assert "featx repair" in one(path)


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_flipped_bit_costs_the_rows_of_its_chunk(write: Write, number: int) -> None:
    path = write()
    broken.flip_in_chunk(path, "flattened", number)
    rows = ["rows 1-16 (16 rows)", "rows 17-32 (16 rows)", "rows 33-40 (8 rows)"]
    assert one(path).startswith(f"layer flattened, {rows[number]} cannot be read: ")


@pytest.mark.parametrize("compression", ["none", "lzf"])
def test_without_checksums_the_layer_is_told(write: Write, compression: str) -> None:
    path = write(compression=compression)
    with h5py.File(path, "r+") as file:
        file["gap"][20, 3] += 1
    assert one(path).startswith("layer gap differs from its sha256")


def test_reordered_rows(write: Write) -> None:
    layers = write(name="layers.h5")
    broken.reorder(layers, "gap")
    assert one(layers).startswith("layer gap differs from its sha256")
    images = write(name="images.h5")
    broken.reorder(images, "image")
    own, of_all = verify(images)
    assert own.endswith("image differs from its sha256: values or the order of rows were changed")
    assert "order of the rows was changed: they don't give its config hash" in of_all


@pytest.mark.parametrize("column", ["subject", "age", "duplicate_of"])
def test_a_changed_table(write: Write, column: str) -> None:
    path = write()
    with h5py.File(path, "r+") as file:
        file[column][7] = 99 if column == "age" else "other"
    own, of_all = verify(path)
    assert f"{column} differs from its sha256" in own
    assert "config hash" in of_all
    with h5py.File(path, "r+") as file:  # as files had none before
        del file[column].attrs["sha256"]
    assert "config hash" in one(path)


def test_an_older_version_says_what_to_do(write: Write) -> None:
    path = write()
    broken.make_older(path)
    assert one(path) == (
        " has the format featx-features/0, this version reads featx-features/1; "
        "install the matching featx, or extract again"
    )


def test_nan_just_where_a_row_is_not_ok(write: Write, tmp_path: Path) -> None:
    path = write()
    broken.change(path, "gap", 11, np.nan)
    assert one(path) == "layer gap, row 12: ok, but NaN"
    with FeaturesWriter(tmp_path / "f.h5", make_table(4), LAYERS, {}) as writer:
        writer.append(make_rows(4), ["ok", "no_face", "corrupt", "ok"])
        writer.finish()
    broken.change(tmp_path / "f.h5", "gap", 2, 0)
    assert one(tmp_path / "f.h5") == "layer gap, row 3: not ok, but not NaN"


def test_images_that_are_there_twice(write: Write) -> None:
    path = write()
    with h5py.File(path, "r+") as file:
        file["image"][9] = file["image"][3]
        file["status"][5] = "fine"
    findings = "\n".join(verify(path))
    assert "row 10: image 'bild-é0003' is there already" in findings
    assert "row 6: status 'fine'" in findings


def test_odd_form(write: Write) -> None:
    path = write()
    with h5py.File(path, "r+") as file:
        file["notes"] = [1, 2]
        file["gap"].dims[1].detach_scale(file["gap_unit"])
        file["gap"].dims[1].attach_scale(file["flattened_unit"])
        del file.attrs["created"]
    findings = "\n".join(verify(path))
    assert "notes is no part of a features file" in findings
    assert "gap has dimension flattened_unit in place of gap_unit" in findings
    assert "attribute created cannot be read" in findings


@pytest.mark.parametrize("lost", ["layers", "gap", "age", "config_hash"])
def test_missing_parts(write: Write, lost: str) -> None:
    path = write()
    with h5py.File(path, "r+") as file:
        del (file.attrs if lost in file.attrs else file)[lost]
    assert any(lost in finding for finding in verify(path))


def test_an_unfinished_file(tmp_path: Path) -> None:
    with FeaturesWriter(tmp_path / "f.h5", make_table(4), LAYERS, {}) as writer:
        writer.append(cut(make_rows(4), 0, 2))
    assert "did not finish; go on with `featx extract --resume`" in one(writer.partial)


@settings(max_examples=100, deadline=None)
@given(numbers=st.sets(st.integers(0, 40), min_size=1))
def test_rows_are_told_as_runs(numbers: set[int]) -> None:
    told = tell_rows(np.array(sorted(numbers)))
    if "…" in told:
        return
    read: set[int] = set()
    for run in told.removeprefix("rows ").removeprefix("row ").partition(" (")[0].split(", "):
        first, _, last = run.partition("-")
        read |= set(range(int(first) - 1, int(last or first)))
    assert read == numbers


@pytest.mark.parametrize("at", range(3, 100, 14))
def test_damage_anywhere_is_told_in_lines(write: Write, at: int) -> None:
    """A byte of HDF5's own structures, in which it has no checksums."""
    path = write(4)
    content = bytearray(path.read_bytes())
    content[len(content) * at // 100] ^= 0x81
    path.write_bytes(content)
    for finding in verify_apart(path):
        assert finding.startswith(str(path))
        assert "\n" not in finding


def broken_off(path: Path) -> None:
    os._exit(11)


def endless(path: Path) -> None:
    time.sleep(600)


@pytest.mark.parametrize(
    ("verify", "told"), [(broken_off, "HDF5 breaks off"), (endless, "HDF5 comes to no end")]
)
def test_what_hdf5_ends_or_keeps_for_ever_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, verify: Any, told: str
) -> None:
    path = tmp_path / "f.h5"
    path.touch()
    monkeypatch.setattr(verification, "verify", verify)
    monkeypatch.setattr(verification, "_patience", lambda path: 5.0)
    assert verify_apart(path) == [f"{path} is damaged so that {told}; extract it again"]


def test_command(write: Write, tmp_path: Path) -> None:
    good, bad = write(name="good.h5"), write(name="bad.h5")
    broken.flip_in_chunk(bad, "gap", 0)
    done = CliRunner().invoke(command, [str(good)])
    assert (done.exit_code, done.output) == (0, f"{good}: whole\n")
    for files in ([good, bad], [bad, good]):
        done = CliRunner().invoke(command, [str(path) for path in files])
        assert done.exit_code == 1
        assert sorted(line.split(",")[0] for line in done.output.splitlines()) == sorted(
            [f"{good}: whole", f"{bad}: layer gap"]
        )
    run = subprocess.run(
        [sys.executable, "-m", "cli", "verify", str(bad), str(tmp_path / "none.h5")],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[3],
    )
    assert run.returncode == 1
    assert run.stdout.splitlines()[-1] == f"{tmp_path / 'none.h5'} is not there; check the path"
    assert run.stderr == ""

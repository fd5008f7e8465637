from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from cli.diff import diff as command
from featx.errors import FeatxError
from featx.store import FeaturesWriter, Layer, blocks
from featx.store.tools.difference import differences

from . import broken
from .conftest import LAYERS, PROVENANCE, make_rows, make_table

Write = Callable[..., Path]
GAP = [Layer("gap", 3, (3,))]


def write_gap(path: Path, table: pd.DataFrame, values: np.ndarray, **provenance: object) -> Path:
    with FeaturesWriter(path, table, GAP, provenance) as writer:
        writer.append({"gap": values})
        writer.finish()
    return path


def test_equal_but_for_what_decides_nothing(write: Write) -> None:
    one = write()
    assert differences(one, write(name="b.h5", compression="none", context={"torch": "9"})) == []
    # where NaN stands beside NaN
    broken.change(one, "gap", 3, np.nan)
    assert differences(one, one) == []


def test_provenance_and_layers(write: Write, tmp_path: Path) -> None:
    with FeaturesWriter(
        tmp_path / "b.h5", make_table(40), LAYERS[:2], {**PROVENANCE, "seed": 4}
    ) as writer:
        writer.append({name: make_rows(40)[name] for name in ("gap", "flattened")})
        writer.finish()
    layers, seed, config = differences(write(), tmp_path / "b.h5")
    assert layers == "layers are gap, flattened, softmax | gap, flattened"
    assert seed == "seed is 3 | 4"
    assert re.fullmatch(r"config hash is [0-9a-f]{64} \| [0-9a-f]{64}", config)


def test_images(tmp_path: Path) -> None:
    table, values = make_table(10), np.ones((10, 3))
    changed = table.assign(subject=["other", *table["subject"][1:]])
    one = write_gap(tmp_path / "a.h5", table, values)
    other = write_gap(tmp_path / "b.h5", changed.iloc[[9, 0, 1, 2, 3, 4]], values[:6])
    _, only, order, subject = differences(one, other)
    names = table["image"].tolist()
    assert only == f"only in {one}: 4 images, {names[5]!r}, {names[6]!r}, {names[7]!r} …"
    assert order == "the images are in another order"
    assert subject == f"subject differs in 1 image: of {names[0]!r} it is 's0' | 'other'"


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data(), n=st.integers(1, 12), block=st.sampled_from([1, 200, 1 << 20]))
def test_numbers(
    data: st.DataObject,
    n: int,
    block: int,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(blocks, "BLOCK_BYTES", block)
    folder = tmp_path_factory.mktemp("any")
    some = st.sampled_from([0.0, -0.0, 1.0, -2.5, 3e38, np.inf, -np.inf])
    was = data.draw(arrays(np.float32, (n, 3), elements=some))
    now = data.draw(arrays(np.float32, (n, 3), elements=some))
    order = data.draw(st.permutations(range(n)))
    table = make_table(n)
    one = write_gap(folder / "a.h5", table, was)
    other = write_gap(folder / "b.h5", table.iloc[order], now[order])
    told = [line for line in differences(one, other) if line.startswith("layer")]
    apart, part, rows = 0.0, 0.0, set()  # value by value, in Python
    for row in range(n):
        for a, b in zip(was[row].tolist(), now[row].tolist(), strict=True):
            if a != b:
                rows.add(row)
                apart = max(apart, abs(a - b))
                endless = abs(a - b) == float("inf")
                part = max(part, float("inf") if endless else abs(a - b) / max(abs(a), abs(b)))
    if not rows:
        assert told == []
        return
    (line,) = told
    found = re.fullmatch(
        r"layer gap differs in (\d+) of \d+ images?: at most by (\S+) \('bild-é(\d+)'\), at most "
        r"by (\S+) of the larger value \('bild-é(\d+)'\)",
        line,
    )
    assert found
    assert int(found[1]) == len(rows)
    assert (found[2], found[4]) == (f"{apart:.3g}", f"{part:.3g}")
    assert int(found[3]) in rows
    with np.errstate(invalid="ignore"):
        there = np.nanmax(np.abs(was[int(found[3])].astype(float) - now[int(found[3])]))
    assert there == apart


def test_nan_in_one_only(write: Write) -> None:
    one, other = write(), write(name="b.h5")
    broken.change(other, "gap", 3, np.nan)
    assert differences(one, other) == [
        "layer gap is NaN in one of the files only in 1 image, 'bild-é0003'"
    ]


def test_command_exits_as_diff_does(write: Write, tmp_path: Path) -> None:
    one, other = write(), write(name="b.h5")
    done = CliRunner().invoke(command, [str(one), str(other)])
    assert (done.exit_code, done.output) == (0, "")
    broken.change(other, "softmax", 0, 7)
    done = CliRunner().invoke(command, [str(one), str(other)])
    assert done.exit_code == 1
    assert done.output.startswith("layer softmax differs in 1 of 40 images: at most by ")
    done = CliRunner().invoke(command, [str(one), str(tmp_path / "none.h5")])
    assert done.exit_code == 2
    assert "is not there; check the path" in done.stderr


def test_an_image_that_is_there_twice(write: Write) -> None:
    import h5py

    path = write()
    with h5py.File(path, "r+") as file:
        file["image"][9] = file["image"][3]
        del file["image"].attrs["sha256"]
    with pytest.raises(FeatxError, match=r"has image 'bild-é0003' twice; see `featx verify"):
        differences(path, path)

"""What is exported, read back by the programs for which it is made."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.io
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from cli.export import export as command
from featx.errors import FeatxError
from featx.store import IMAGE_COLUMNS, FeaturesWriter, Layer, blocks
from featx.store.tools import exporting
from featx.store.tools.exporting import export

from . import broken
from .conftest import LAYERS, PROVENANCE, make_rows, make_table

Write = Callable[..., Path]
TEXTS = [column for column in IMAGE_COLUMNS if column != "age"]
FORMS = [".csv", ".npz", ".mat", ".parquet"]


def read_back(path: Path) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    """Return image table and layers by the program that one would take."""
    if path.suffix in (".csv", ".parquet"):
        if path.suffix == ".csv":
            types = {column: str for column in TEXTS}
            table = pd.read_csv(path, dtype=types, keep_default_na=False, na_values={"age": ""})
            values = pd.read_csv(path).drop(columns=list(IMAGE_COLUMNS))
        else:
            table = pd.read_parquet(path)
            values = table.drop(columns=list(IMAGE_COLUMNS))
            assert set(values.dtypes) == {np.dtype(np.float32)}
        layers: dict[str, list[str]] = {}
        for name in values:
            layers.setdefault(name.rpartition("_")[0], []).append(name)
        for name, units in layers.items():
            assert units == [f"{name}_{unit}" for unit in range(len(units))]
        columns = list(IMAGE_COLUMNS)
        return table[columns], {
            name: values[units].to_numpy(np.float32) for name, units in layers.items()
        }
    if path.suffix == ".npz":
        with np.load(path) as read:
            arrays = dict(read)
        table = pd.DataFrame({column: arrays.pop(column) for column in IMAGE_COLUMNS})
    else:
        arrays = {k: v for k, v in scipy.io.loadmat(path).items() if not k.startswith("__")}
        table = pd.DataFrame({"age": arrays.pop("age").ravel()})
        for column in TEXTS:
            cells = arrays.pop(column).ravel()
            table[column] = ["".join(cell.tolist()) for cell in cells]
        table = table[list(IMAGE_COLUMNS)]
        arrays["metadata"] = arrays["metadata"].item()
    told = json.loads(str(arrays.pop("metadata")))
    assert told["provenance"] == PROVENANCE
    assert [layer["name"] for layer in told["layers"]] == list(arrays)
    return table, arrays


@pytest.mark.parametrize("form", FORMS)
@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data(), n=st.integers(1, 40), block=st.sampled_from([1, 2000, 1 << 24]))
def test_comes_back(
    form: str,
    data: st.DataObject,
    n: int,
    block: int,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if form == ".parquet":
        pytest.importorskip("pyarrow", reason="pyarrow comes with featx[parquet]")
    monkeypatch.setattr(blocks, "BLOCK_BYTES", block)
    monkeypatch.setattr(exporting, "_ROW_GROUP_BYTES", block)
    rows = make_rows(n)
    rows["gap"] = data.draw(arrays(np.float32, (n, 8), elements=st.floats(width=32)))
    ok = np.array(data.draw(st.lists(st.booleans(), min_size=n, max_size=n)))
    path = tmp_path_factory.mktemp("any") / "f.h5"
    table = make_table(n).assign(status=np.where(ok, "ok", "no_face"), reason='a "quoted", text')
    with FeaturesWriter(path, table, LAYERS, PROVENANCE) as writer:
        writer.append(rows)
        writer.finish()
    out = path.with_suffix(form)
    assert export(path, out) == [layer.name for layer in LAYERS]
    images, layers = read_back(out)
    assert images["age"].to_numpy(float) == pytest.approx(table["age"].to_numpy(float), nan_ok=True)
    for column in TEXTS:
        assert images[column].tolist() == table[column].tolist(), column
    assert list(layers) == list(rows)
    for name, values in rows.items():
        assert layers[name].dtype == np.float32
        np.testing.assert_array_equal(layers[name], np.where(ok[:, None], values, np.nan))


def test_parquet_tells_provenance_and_leaves_unknown_ages_null(write: Write) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow comes with featx[parquet]")
    path = write()
    export(path, path.with_suffix(".parquet"), ["gap"])
    read = parquet.read_table(path.with_suffix(".parquet"))
    assert read["age"].null_count == make_table(40)["age"].isna().sum()
    assert read["gap_0"].null_count == 0
    told = json.loads(read.schema.metadata[b"featx"])
    assert told["provenance"] == PROVENANCE
    assert [layer["name"] for layer in told["layers"]] == ["gap"]


@pytest.mark.parametrize("form", [".csv", ".npz", ".mat"])
def test_float16_and_chosen_layers(write: Write, form: str) -> None:
    path = write(dtype="float16")
    out = path.with_suffix(form)
    export(path, out, ["softmax", "gap"])
    _, layers = read_back(out)
    assert list(layers) == ["softmax", "gap"]
    np.testing.assert_array_equal(layers["gap"], make_rows(40)["gap"].astype(np.float16))


def test_matlab_names(tmp_path: Path) -> None:
    path = tmp_path / "f.h5"
    layers = [Layer("_a.b+c", 2, (2,)), Layer("x" * 40, 1, (1,))]
    with FeaturesWriter(path, make_table(3), layers, {}) as writer:
        writer.append({"_a.b+c": np.ones((3, 2)), "x" * 40: np.zeros((3, 1))})
        writer.finish()
    export(path, tmp_path / "f.mat")
    read = scipy.io.loadmat(tmp_path / "f.mat")
    assert read["x_a_b_c"].tolist() == [[1, 1]] * 3
    assert read["x" * 40].tolist() == [[0]] * 3


def test_what_is_refused(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write()
    with pytest.raises(FeatxError, match=r"end the name in \.csv, \.parquet, \.npz, \.mat"):
        export(path, path.with_suffix(".xlsx"))
    with pytest.raises(FeatxError, match="did you mean flattened"):
        export(path, path.with_suffix(".csv"), ["flatened"])
    monkeypatch.setattr(exporting, "_MAT_BYTES", 40 * 24 * 4)
    with pytest.raises(FeatxError, match=r"h5read\('features.h5', '/flattened'\)"):
        export(path, path.with_suffix(".mat"))
    export(path, path.with_suffix(".mat"), ["gap"])
    with pytest.raises(FeatxError, match="is there already"):
        export(path, path.with_suffix(".mat"), ["gap"])
    broken.flip_in_chunk(path, "gap", 2)
    with pytest.raises(FeatxError, match="is damaged"):
        export(path, path.with_suffix(".csv"))
    assert {file.name for file in path.parent.iterdir()} == {"features.h5", "features.mat"}


def test_command(write: Write) -> None:
    path = write()
    out = path.with_suffix(".csv")
    done = CliRunner().invoke(command, [str(path), "--layer", "gap", "-o", str(out)])
    assert (done.exit_code, done.output) == (0, f"layers  gap\nfile    {out}\n")
    assert pd.read_csv(out).shape == (40, len(IMAGE_COLUMNS) + 8)


def test_what_only_the_config_hash_tells_is_told(
    write: Write, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write(4)
    export(path, tmp_path / "before.csv")
    assert not caplog.records
    with h5py.File(path, "a") as file:
        assert file.attrs["backbone"] == "vgg16"
        file.attrs["backbone"] = "vgg19"
    export(path, tmp_path / "after.csv")
    (told,) = caplog.messages
    assert told.startswith(f"{path}: image table, provenance or config hash were changed")

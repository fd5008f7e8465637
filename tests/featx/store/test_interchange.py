"""The file is read by others' software, and they see the same values.

The readers that docs/features-file.md gives, R's and Octave's among them, are run by
tests/test_foreign_readers.py.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray

from .conftest import LAYERS, make_rows, make_table

Write = Callable[..., Path]


@pytest.fixture
def path(write: Write) -> Path:
    return write(40)


@pytest.mark.parametrize("engine", ["netcdf4", "h5netcdf"])
def test_xarray(path: Path, engine: str) -> None:
    rows, table = make_rows(40), make_table(40)
    with xarray.open_dataset(path, engine=engine) as data:
        assert set(data.data_vars) == {layer.name for layer in LAYERS}
        assert dict(data.sizes) == {"image": 40, "gap_unit": 8, "flattened_unit": 24, "class": 3}
        for name, values in rows.items():
            assert data[name].dtype == np.float32
            np.testing.assert_array_equal(data[name].to_numpy(), values)
        for column in ("image", "subject", "gender", "fold", "dataset", "status", "sha256"):
            assert data[column].to_numpy().tolist() == table[column].tolist()
        np.testing.assert_array_equal(data["age"].to_numpy(), table["age"].to_numpy())
        assert data["class"].to_numpy().tolist() == [1.0, 2.5, 40.0]
        assert data.attrs["backbone"] == "vgg16"
        assert json.loads(data.attrs["mean"]) == [0.485, 0.456, 0.406]
        assert data.attrs["non_ascii"] == "Zürich 写真"
        assert data["flattened"].attrs["shape"].tolist() == [2, 3, 4]
        assert data["age"].attrs["units"] == "years"
        # the columns of the table travel with each layer
        young = data["gap"].where(data["gap"]["age"] < 10, drop=True)
        assert young.shape == (sum(age < 10 for age in table["age"]), 8)


def test_h5netcdf_reads_float16(write: Write) -> None:
    with xarray.open_dataset(write(dtype="float16"), engine="h5netcdf") as data:
        assert data["gap"].dtype == np.float16
        expected = make_rows(40)["gap"].astype(np.float16)
        np.testing.assert_array_equal(data["gap"].to_numpy(), expected)


def test_netcdf4(path: Path) -> None:
    netCDF4 = pytest.importorskip("netCDF4")
    with netCDF4.Dataset(path) as data:
        assert data.variables["flattened"].dimensions == ("image", "flattened_unit")
        assert data.variables["status"].dimensions == ("image",)
        np.testing.assert_array_equal(data.variables["flattened"][:], make_rows(40)["flattened"])
        assert data.variables["image"][:].tolist() == make_table(40)["image"].tolist()


def test_h5py(path: Path) -> None:
    with h5py.File(path) as file:
        np.testing.assert_array_equal(file["softmax"][:], make_rows(40)["softmax"])
        assert file["subject"].asstr()[:].tolist() == make_table(40)["subject"].tolist()
        assert file["gap"].dims[0].keys() == ["image"]
        assert file["gap"].attrs["pool"] == "avg"

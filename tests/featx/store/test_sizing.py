"""Sizes that are foretold, against files that are written."""

import numpy as np
import pandas as pd
import pytest

from featx.manifest import new_table
from featx.store import FeaturesFile, FeaturesWriter, Layer, schema
from featx.store.writing.sizing import file_size, structure_bytes


def table(n, bad):
    rows = pd.DataFrame(
        {
            "image": [f"faces/{row:05d}.jpg" for row in range(n)],
            "path": "x.jpg",
            "subject": [f"person {row // 3}" for row in range(n)],
            "age": np.arange(n) % 90,
            "sha256": [f"{row:064x}" for row in range(n)],
            "status": ["no_face" if bad[row] else "ok" for row in range(n)],
            "reason": ["no face found" if bad[row] else "" for row in range(n)],
        }
    )
    return new_table(rows)


def sparse(n, units):
    """Rows as behind a ReLU, of which some are sparser than others."""
    rng = np.random.default_rng(units)
    shift = rng.normal(0, 0.03, (n, 1))
    return np.maximum(rng.normal(size=(n, units)) - shift, 0).astype(np.float32)


@pytest.mark.parametrize(
    ("compression", "dtype"),
    [
        ("gzip", "float32"),
        ("gzip", "float16"),
        ("gzip-6", "float32"),
        ("lzf", "float32"),
        ("none", "float16"),
    ],
)
def test_a_file_is_as_large_as_foretold(tmp_path, compression, dtype):
    n, rng = 421, np.random.default_rng(1)
    bad = rng.random(n) < 0.15
    layers = [Layer("few", 64, (64,)), Layer("some", 512, (512,)), Layer("many", 9000, (9000,))]
    values = {layer.name: sparse(n, layer.units) for layer in layers}
    path, known = tmp_path / "f.h5", np.flatnonzero(~bad)[::40][:10]
    options = {"dtype": dtype, "compression": compression}
    with FeaturesWriter(path, table(n, bad), layers, {"backbone": "x"}, **options) as writer:
        head = writer.partial.stat().st_size
        structure = structure_bytes(writer.head, writer.images, layers)
        for start in range(0, n, 32):
            writer.append({name: rows[start : start + 32] for name, rows in values.items()})
        journal = writer.partial.stat().st_size
        writer.finish()
    size = file_size(
        structure,
        head,
        layers,
        {name: rows[known] for name, rows in values.items()},
        ~bad,
        dtype,
        schema.filters(compression),
    )
    with FeaturesFile(path) as file:
        for layer in layers:
            stored = file.hdf5[layer.name].id.get_storage_size()
            # of ten rows of 64 units another share is zero than of all
            within = 0.1 if layer.units < 100 else 0.03
            assert size.layers[layer.name] == pytest.approx(stored, rel=within), layer.name
    assert size.total == pytest.approx(path.stat().st_size, rel=0.03)
    assert size.peak - size.total == pytest.approx(journal, rel=0.03)
    written = path.stat().st_size - sum(
        FeaturesFile(path).hdf5[layer.name].id.get_storage_size() for layer in layers
    )
    assert structure == pytest.approx(written, rel=0.01, abs=4096)


def test_a_long_table_is_laid_out_in_part(tmp_path, monkeypatch):
    bad = np.zeros(900, bool)
    layers = [Layer("gap", 8, (8,))]
    with FeaturesWriter(tmp_path / "f.h5", table(900, bad), layers, {}) as writer:
        whole = structure_bytes(writer.head, writer.images, layers)
        monkeypatch.setattr("featx.store.writing.sizing._LAID_OUT", 600)
        # of so short a table much does not grow with the rows, and is multiplied, too
        assert structure_bytes(writer.head, writer.images, layers) == pytest.approx(whole, rel=0.2)


def test_a_file_of_fewer_rows_than_a_chunk(tmp_path):
    layers, values = [Layer("gap", 100, (100,))], sparse(3, 100)
    ok = np.ones(3, bool)
    with FeaturesWriter(tmp_path / "f.h5", table(3, ~ok), layers, {}) as writer:
        structure = structure_bytes(writer.head, writer.images, layers)
        writer.append({"gap": values})
        writer.finish()
    found = file_size(structure, 0, layers, {"gap": values}, ok, "float32", schema.filters("gzip"))
    assert found.total == pytest.approx((tmp_path / "f.h5").stat().st_size, rel=0.01)

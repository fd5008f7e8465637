from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from featx.errors import FeatxError
from featx.store import FORMAT, FeaturesFile, FeaturesWriter, blocks
from featx.store.tools.inspection import summarize

from . import broken
from .conftest import LAYERS, PROVENANCE, cut, make_rows, make_table

Write = Callable[..., Path]


def test_images_are_the_tables(write: Write) -> None:
    table = make_table(40)
    with FeaturesFile(write()) as features:
        images = features.images
    columns = ["image", "subject", "age", "age_group", "gender", "fold", "dataset", "status"]
    pd.testing.assert_frame_equal(
        images[[*columns, "reason", "duplicate_of", "sha256"]],
        table[[*columns, "reason", "duplicate_of", "sha256"]],
        check_dtype=False,
    )
    assert images["age"].dtype == np.float64
    assert np.isnan(images["age"][4])


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data(), run_bytes=st.sampled_from([1, 4000, 1 << 24]))
def test_any_rows_in_any_order(
    data: st.DataObject, run_bytes: int, many: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from featx.store import reader

    monkeypatch.setattr(reader, "_RUN_BYTES", run_bytes)
    n, all_rows = 150, make_rows(150)
    name = data.draw(st.sampled_from(list(all_rows)))
    numbers = data.draw(st.lists(st.integers(-n, n - 1), max_size=60))
    mask = np.array(data.draw(st.lists(st.booleans(), min_size=n, max_size=n)))
    with FeaturesFile(many) as features:
        picked = features.read(name, numbers)
        np.testing.assert_array_equal(picked, all_rows[name][np.array(numbers, dtype=int)])
        np.testing.assert_array_equal(features.read(name, mask), all_rows[name][mask])
        assert picked.dtype == np.float32


@pytest.mark.parametrize("compression", ["gzip", "lzf", "none"])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("block", [1, 1 << 23])
def test_rows_that_are_compared_with_their_hash(
    write: Write, monkeypatch: pytest.MonkeyPatch, compression: str, dtype: str, block: int
) -> None:
    monkeypatch.setattr(blocks, "BLOCK_BYTES", block)
    path = write(compression=compression, dtype=dtype)
    with FeaturesFile(path) as features:
        keep = np.arange(len(features.images)) % 3 == 1
        for name in features.layers:
            wanted = features.read(name, keep)
            np.testing.assert_array_equal(features.read_checked(name, keep), wanted)
            assert wanted.dtype == np.float32
    broken.reorder(path, "gap")
    with FeaturesFile(path) as features:
        for way in (lambda: features.read_checked("gap", keep), lambda: features.check("gap")):
            with pytest.raises(FeatxError, match="layer gap differs from its sha256"):
                way()
        features.check("softmax")


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("many") / "f.h5"
    with FeaturesWriter(path, make_table(150), LAYERS, PROVENANCE) as writer:
        writer.append(make_rows(150))
        writer.finish()
    return path


@pytest.mark.parametrize("rows", [[150], [-151], [True, False], [0.5], [[1, 2]]])
def test_rows_out_of_range_are_refused(many: Path, rows: list) -> None:
    with FeaturesFile(many) as features, pytest.raises(IndexError):
        features.read("gap", rows)


def test_a_sparse_subset_reads_only_its_chunks(many: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read, plain = [], h5py.Dataset.astype

    class Spy:
        def __init__(self, view: object) -> None:
            self.view = view

        def __getitem__(self, rows: slice) -> np.ndarray:
            read.append((rows.start, rows.stop))
            return self.view[rows]  # type: ignore[index]

    monkeypatch.setattr(h5py.Dataset, "astype", lambda self, dtype: Spy(plain(self, dtype)))
    with FeaturesFile(many) as features:
        features.read("gap", [3, 5, 20, 149])
    assert read == [(3, 21), (149, 150)]


def test_unknown_layer_has_near_matches(many: Path) -> None:
    with FeaturesFile(many) as features:
        for call in (features.read, features.layer_sha256):
            with pytest.raises(FeatxError, match=r"unknown layer.*'flatened': did you mean flatte"):
                call("flatened")


def test_not_there(tmp_path: Path) -> None:
    with pytest.raises(FeatxError, match="is not there; check the path"):
        FeaturesFile(tmp_path / "f.h5")
    with pytest.raises(FeatxError, match="is a folder"):
        FeaturesFile(tmp_path)


def test_a_partial_is_refused_by_either_name(tmp_path: Path) -> None:
    with FeaturesWriter(tmp_path / "f.h5", make_table(4), LAYERS, {}) as writer:
        writer.append(cut(make_rows(4), 0, 2))
    for name in ("f.h5", "f.h5.partial"):
        with pytest.raises(FeatxError, match="did not finish; go on with `featx extract --resume`"):
            FeaturesFile(tmp_path / name)


def test_a_partial_under_a_wrong_name_is_no_features_file(tmp_path: Path) -> None:
    with FeaturesWriter(tmp_path / "f.h5", make_table(4), LAYERS, {}) as writer:
        writer.append(cut(make_rows(4), 0, 2))
    with pytest.raises(FeatxError, match=r"an extraction that did not finish"):
        FeaturesFile(writer.partial.rename(tmp_path / "renamed.h5"))


def test_other_files_are_refused(tmp_path: Path, write: Write) -> None:
    text = tmp_path / "table.csv"
    text.write_text("image,path\n" * 100)
    with pytest.raises(FeatxError, match="not an HDF5 file"):
        FeaturesFile(text)
    empty = tmp_path / "empty.h5"
    empty.touch()
    with pytest.raises(FeatxError, match="is empty"):
        FeaturesFile(empty)
    foreign = tmp_path / "foreign.h5"
    with h5py.File(foreign, "w") as file:
        file["x"] = 1
        file.attrs["format"] = 3
    with pytest.raises(FeatxError, match="not a features file"):
        FeaturesFile(foreign)
    newer = write()
    with h5py.File(newer, "r+") as file:
        file.attrs["format"] = "featx-features/9"
    with pytest.raises(FeatxError, match=f"featx-features/9, this version reads {FORMAT}"):
        FeaturesFile(newer)


@pytest.mark.parametrize("lost", ["layers", "gap", "age", "config_hash"])
def test_missing_parts_are_damage(write: Write, lost: str) -> None:
    path = write()
    with h5py.File(path, "r+") as file:
        del (file.attrs if lost in file.attrs else file)[lost]
    with pytest.raises(FeatxError, match=r"features\.h5 is damaged"):
        summarize(path)


def test_truncated_anywhere_is_one_clear_error(write: Write) -> None:
    path = write()
    whole = path.read_bytes()
    for size in [
        1,
        7,
        8,
        40,
        95,
        96,
        97,
        *range(200, len(whole), len(whole) // 60),
        len(whole) - 1,
    ]:
        path.write_bytes(whole[:size])
        with pytest.raises(FeatxError, match=r"truncated|damaged|not an HDF5") as caught:
            summarize(path)
        assert "\n" not in str(caught.value)


def test_a_changed_byte_in_a_compressed_chunk_is_damage(write: Write) -> None:
    path = write()
    with h5py.File(path) as file:
        chunk = file["flattened"].id.get_chunk_info(1)
    content = bytearray(path.read_bytes())
    content[chunk.byte_offset + chunk.size // 2] ^= 0xFF
    path.write_bytes(content)
    with FeaturesFile(path) as features:
        assert features.read("flattened", [3]).shape == (1, 24)  # another chunk
        with pytest.raises(FeatxError, match=r"features\.h5 is damaged"):
            features.read("flattened")

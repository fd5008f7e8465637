"""What goes into a features file comes out, and what cannot is refused."""

from __future__ import annotations

import hashlib
import itertools
import tempfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from featx.errors import FeatxError
from featx.manifest import STATUSES, new_table
from featx.store import FeaturesFile, FeaturesWriter, Layer
from featx.store.netcdf import chunk_rows
from featx.store.writing import assembly

from .conftest import LAYERS, PROVENANCE, cut, make_rows, make_table
from .writers import Write

statuses = st.sampled_from(STATUSES)


@settings(max_examples=20, deadline=None)
@given(
    cuts=st.lists(st.integers(0, 45), min_size=1, max_size=12).filter(lambda cuts: sum(cuts) > 0),
    stops=st.sets(st.integers(0, 11)),
    early=st.lists(st.booleans(), min_size=13, max_size=13),
    dtype=st.sampled_from(["float32", "float16"]),
    compression=st.sampled_from(["gzip", "gzip-4", "lzf", "none"]),
    data=st.data(),
)
def test_what_goes_in_comes_out(
    cuts: list[int],
    stops: set[int],
    early: list[bool],
    dtype: str,
    compression: str,
    data: st.DataObject,
) -> None:
    """Whatever the batches, wherever it is broken off and resumed, and whenever compressed."""
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
                resume=resume, early=early.pop(),
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

    from featx.store.writing import writer

    class Noon(datetime.datetime):
        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> Noon:
            return cls(2020, 1, 1, 12, tzinfo=tz)

    monkeypatch.setattr(writer.datetime, "datetime", Noon)
    contents = {write(batch=batch, name=f"{batch}.h5").read_bytes() for batch in (1, 7, 16, 33, 40)}
    assert len(contents) == 1


@pytest.mark.parametrize("early", [False, True])
@pytest.mark.parametrize("compression", ["gzip", "gzip-4", "lzf", "none"])
def test_what_is_not_in_the_file_as_it_was_given_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compression: str, early: bool
) -> None:
    """One value is another in the last chunk of a layer; the journal stays."""
    write_piece = assembly.write_piece

    def changing(variable: h5py.Dataset, first: int, piece: assembly.Piece) -> int:
        done = write_piece(variable, first, piece)
        if variable.name == "/flattened" and first + done == 40:
            variable[39, 3] += 1
        return done

    monkeypatch.setattr(assembly, "write_piece", changing)
    path = tmp_path / "f.h5"
    options: dict[str, Any] = {"compression": compression, "early": early}
    with FeaturesWriter(path, make_table(40), LAYERS, PROVENANCE, **options) as writer:
        writer.append(make_rows(40))
        with pytest.raises(FeatxError, match="layer flattened differs from"):
            writer.finish()
    assert [file.name for file in tmp_path.iterdir()] == ["f.h5.partial"]

    monkeypatch.undo()
    with FeaturesWriter(path, make_table(40), LAYERS, PROVENANCE, resume=True, **options) as writer:
        writer.finish()
    with FeaturesFile(path) as features:
        np.testing.assert_array_equal(features.read("flattened"), make_rows(40)["flattened"])


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

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cli.repair import repair as command
from featx.errors import FeatxError
from featx.file_hash import file_sha256
from featx.store import FeaturesFile, FeaturesWriter
from featx.store.tools.inspection import describe, summarize
from featx.store.tools.repairing import repair
from featx.store.tools.verification import verify

from . import broken
from .conftest import LAYERS, PROVENANCE, cut, make_rows, make_table

Write = Callable[..., Path]


def check_saved(path: Path, rows: dict[str, np.ndarray], lost: np.ndarray) -> None:
    """Compare a repaired file with the rows that were written."""
    assert verify(path) == []
    with FeaturesFile(path) as saved:
        assert saved.images["image"].tolist() == make_table(len(lost))["image"].tolist()
        assert saved.images["age"].equals(make_table(len(lost))["age"].astype(float))
        assert (saved.images["status"] == np.where(lost, "corrupt", "ok")).all()
        assert ((saved.images["reason"] != "") == lost).all()
        for name in saved.layers:
            wanted = np.where(lost[:, None], np.nan, rows[name])
            np.testing.assert_array_equal(saved.read(name), wanted)


def test_a_flipped_bit_costs_its_chunk(write: Write, tmp_path: Path) -> None:
    path, out = write(), tmp_path / "saved.h5"
    with FeaturesFile(path) as file:
        before = file.config_hash
    broken.flip_in_chunk(path, "flattened", 1)
    damaged = path.read_bytes()
    found = repair(path, out)
    lost = np.isin(np.arange(40), range(16, 32))
    assert (found.lost == lost).all()
    check_saved(out, make_rows(40), lost)
    assert path.read_bytes() == damaged
    with FeaturesFile(out) as saved:
        assert saved.config_hash != before
        assert saved.provenance == PROVENANCE | {
            "repaired": {
                "config_hash": before,
                "file_sha256": file_sha256(path),
                "rows_lost": 16,
                "layers_lost": [],
                "layers_unchecked": [],
            }
        }
        assert saved.images["reason"][20] == "lost in a damaged features file: flattened"
    page = describe(summarize(out))
    assert "16 corrupt, 24 ok" in page
    assert "REPAIRED       16 rows of a damaged file lost\n" in page


def test_other_layers_lose_nothing_by_themselves(write: Write, tmp_path: Path) -> None:
    path, out = write(), tmp_path / "saved.h5"
    broken.flip_in_chunk(path, "flattened", 1)
    assert repair(path, out, ["gap", "flattened"]).lost.sum() == 16
    assert repair(path, tmp_path / "none.h5", ["gap"]).nothing_lost


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("long") / "f.h5"
    with FeaturesWriter(path, make_table(600), LAYERS, PROVENANCE, compression="none") as writer:
        writer.append(make_rows(600))
        writer.finish()
    return path


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_of_a_truncated_file_the_rows_in_front_are_saved(
    data: st.DataObject, long: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Stored without compression, nothing but the file's end tells zeros from what is missing."""
    folder = tmp_path_factory.mktemp("cut")
    whole = long.read_bytes()
    with h5py.File(long) as file:
        ends = {}
        for name in ("gap", "flattened", "softmax"):
            infos = [file[name].id.get_chunk_info(i) for i in range(file[name].id.get_num_chunks())]
            ends[name] = {info.chunk_offset[0]: info.byte_offset + info.size for info in infos}
    size = data.draw(st.integers(min(ends["gap"].values()), len(whole) - 1))
    path, out = folder / "f.h5", folder / "saved.h5"
    path.write_bytes(whole[:size])
    assert "truncated" in verify(path)[0]
    try:
        found = repair(path, out)
    except FeatxError:
        with pytest.raises(FeatxError, match="cannot be repaired: no row can be read whole"):
            repair(path, out)
        assert not out.exists()
        return
    behind = np.zeros(600, bool)
    for name in found.layers:
        for first, end in ends[name].items():
            behind[first : first + 16] |= end > size
    assert (found.lost | ~behind).all()  # none of what is missing was read
    if out.exists():
        check_saved(out, make_rows(600), found.lost)


def test_a_little_cut_off_costs_little(write: Write, tmp_path: Path) -> None:
    path, out = write(3000), tmp_path / "saved.h5"
    path.write_bytes(path.read_bytes()[: -path.stat().st_size // 1000])
    found = repair(path, out)
    assert 0 < found.lost.sum() < 300
    assert not found.lost_layers
    check_saved(out, make_rows(3000), found.lost)


def test_a_layer_of_which_nobody_knows_what_is_right_is_left_out(
    write: Write, tmp_path: Path
) -> None:
    path, out = write(), tmp_path / "saved.h5"
    broken.reorder(path, "gap")
    found = repair(path, out)
    assert "differs from its sha256" in found.lost_layers["gap"]
    check_saved(out, make_rows(40), np.zeros(40, bool))
    with FeaturesFile(out) as saved:
        assert list(saved.layers) == ["flattened", "softmax"]
        assert saved.provenance["repaired"]["layers_lost"] == ["gap"]


def test_rows_without_a_face_stay_such(tmp_path: Path) -> None:
    path, out = tmp_path / "f.h5", tmp_path / "saved.h5"
    status = ["no_face" if row % 4 == 0 else "ok" for row in range(40)]
    with FeaturesWriter(path, make_table(40).assign(status=status), LAYERS, {}) as writer:
        writer.append(make_rows(40))
        writer.finish()
    broken.flip_in_chunk(path, "gap", 0)
    repair(path, out)
    assert verify(out) == []
    with FeaturesFile(out) as saved:
        wanted = ["corrupt" if row < 16 and s == "ok" else s for row, s in enumerate(status)]
        assert saved.images["status"].tolist() == wanted


def test_what_is_not_repaired(write: Write, tmp_path: Path) -> None:
    out = tmp_path / "saved.h5"
    older = write(name="older.h5")
    broken.make_older(older)
    with pytest.raises(FeatxError, match="has the format featx-features/0"):
        repair(older, out)
    changed = write(name="changed.h5")
    broken.reorder(changed, "subject")
    with pytest.raises(FeatxError, match="image table was changed: subject differs"):
        repair(changed, out)
    with h5py.File(changed, "r+") as file:
        del file["subject"].attrs["sha256"]
    with pytest.raises(FeatxError, match="image table or provenance was changed"):
        repair(changed, out)
    broken.flip_in_chunk(changed, "gap", 0)
    with h5py.File(changed, "r+") as file:
        file["softmax"].attrs["sha256"] = "0" * 64
    with pytest.raises(FeatxError, match="image table or provenance was changed"):
        repair(changed, out)
    lost = write(name="lost.h5")
    with h5py.File(lost, "r+") as file:
        del file["subject"]
    with pytest.raises(FeatxError, match="image table or provenance is lost"):
        repair(lost, out)
    with FeaturesWriter(tmp_path / "f.h5", make_table(4), LAYERS, {}) as writer:
        writer.append(cut(make_rows(4), 0, 2))
    with pytest.raises(FeatxError, match="go on with `featx extract --resume`"):
        repair(writer.partial, out)
    assert not out.exists()
    with pytest.raises(FeatxError, match="never overwritten"):
        repair(older, older)


def test_the_repaired_file_is_not_taken_for_the_whole_one(write: Write, tmp_path: Path) -> None:
    path, out = write(), tmp_path / "saved.h5"
    broken.flip_in_chunk(path, "gap", 0)
    repair(path, out)
    with (
        pytest.raises(FeatxError, match="was made otherwise: its repaired is"),
        FeaturesWriter(out, make_table(40), LAYERS, PROVENANCE, resume=True),
    ):
        pass


def test_command(write: Write, tmp_path: Path) -> None:
    path, out = write(), tmp_path / "saved.h5"
    done = CliRunner().invoke(command, [str(path), "-o", str(out)])
    assert done.output == f"{path}: nothing is lost, so nothing was written\n"
    broken.flip_in_chunk(path, "gap", 2)
    done = CliRunner().invoke(command, [str(path), "-o", str(out)])
    assert done.exit_code == 0
    assert "lost    rows 33-40 (8 rows), now corrupt" in done.output
    assert "rows    40 (32 ok, 8 corrupt)" in done.output

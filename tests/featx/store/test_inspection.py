from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from cli.inspect import inspect
from featx.errors import FeatxError
from featx.store import FeaturesWriter
from featx.store.tools import inspection
from featx.store.tools.inspection import describe, summarize

from . import broken
from .conftest import LAYERS, PROVENANCE, cut, make_rows, make_table

Write = Callable[..., Path]


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """40 rows, of which 5 without a face, 1 with an infinite value and 1 with NaN though ok."""
    rows = make_rows(40)
    rows["gap"][10, 3] = np.inf
    rows["gap"][11, 0] = np.nan
    status = ["no_face" if i % 8 == 0 else "ok" for i in range(40)]
    with FeaturesWriter(
        tmp_path / "f.h5", make_table(40), LAYERS, PROVENANCE, context={"torch": "2.14.1"}
    ) as writer:
        writer.append(rows, status)
        writer.finish()
    return tmp_path / "f.h5"


def test_figures(mixed: Path) -> None:
    summary = summarize(mixed)
    assert summary["finished"]
    assert summary["bytes"] == mixed.stat().st_size
    assert summary["rows"] == {"n": 40, "done": 40, "by_status": {"no_face": 5, "ok": 35}}
    assert summary["subjects"] == 14
    assert summary["provenance"] == PROVENANCE
    assert summary["context"] == {"torch": "2.14.1"}
    ages = make_table(40)["age"].dropna()
    assert summary["age"] == {"n": 32, "min": 0.0, "median": ages.median(), "max": 38.0}
    gap, flattened, softmax = summary["layers"]
    assert (gap["nan_rows"], gap["infinite_rows"]) == (6, 1)
    assert (flattened["nan_rows"], flattened["infinite_rows"]) == (5, 0)
    ok = np.array([i % 8 != 0 for i in range(40)])
    assert flattened["zeros"] == pytest.approx((make_rows(40)["flattened"][ok] == 0).mean())
    assert flattened["chunks"] == [16, 24]
    assert flattened["compression"] == "gzip"
    assert 0 < flattened["bytes_on_disk"] < 40 * 24 * 4
    assert softmax["classes"] == 3


def test_large_layers_are_sampled_and_it_says_so(
    mixed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inspection, "_WHOLE_BYTES", 2000)
    monkeypatch.setattr(inspection, "_SAMPLE_ROWS", 9)
    summary = summarize(mixed)
    assert [layer["rows_examined"] for layer in summary["layers"]] == [40, 9, 40]
    assert "in 9 rows sampled" in describe(summary)


def test_page(mixed: Path) -> None:
    page = describe(summarize(mixed))
    for told in (
        "featx-features/1",
        "backbone       vgg16",
        "mean           [0.485, 0.456, 0.406]",
        "torch          2.14.1",
        "rows           40: 5 no_face, 35 ok",
        "subjects       14",
        "0 to 38 years, median",
        "24 units, (2 x 3 x 4), from features.conv, pool none, float32",
        "6 rows with NaN, 1 with infinite values",
        "3 classes",
    ):
        assert told in page


def test_partial(tmp_path: Path) -> None:
    with FeaturesWriter(tmp_path / "f.h5", make_table(40), LAYERS, PROVENANCE) as writer:
        begun = summarize(writer.partial)
        writer.append(cut(make_rows(40), 0, 16), ["corrupt", *["ok"] * 15])
        writer.append(cut(make_rows(40), 16, 20))
    assert begun["rows"] == {"n": 40, "done": 0, "by_status": {}}
    summary = summarize(writer.partial)
    assert not summary["finished"]
    assert summary["rows"] == {"n": 40, "done": 20, "by_status": {"corrupt": 1, "ok": 19}}
    assert summary["config_hash"] == writer.config_hash
    page = describe(summary)
    assert "UNFINISHED: 20 of 40 rows" in page
    assert "flattened" in page


def test_partial_without_a_whole_head(tmp_path: Path) -> None:
    (tmp_path / "f.h5.partial").write_bytes(b"featx-journal/1\nHEAD")
    with pytest.raises(FeatxError, match="holds no rows yet"):
        summarize(tmp_path / "f.h5.partial")


def test_all_rows_without_face(tmp_path: Path) -> None:
    with FeaturesWriter(tmp_path / "f.h5", make_table(3), LAYERS, {}) as writer:
        writer.append(make_rows(3), ["no_face"] * 3)
        writer.finish()
    assert "all NaN" in describe(summarize(tmp_path / "f.h5"))


def test_command(mixed: Path) -> None:
    plain = CliRunner().invoke(inspect, [str(mixed)])
    assert plain.exit_code == 0
    assert plain.output.strip() == describe(summarize(mixed)).strip()
    as_json = CliRunner().invoke(inspect, [str(mixed), "--json"])
    assert json.loads(as_json.output) == summarize(mixed)


def test_damaged_files(write: Write) -> None:
    """What the table in docs/features-file.md says of inspect."""
    flipped = write(name="flipped.h5")
    broken.flip_in_chunk(flipped, "gap", 0)
    with pytest.raises(FeatxError, match=r"is damaged: .* save what it holds with `featx repair`"):
        summarize(flipped)
    older = write(name="older.h5")
    broken.make_older(older)
    with pytest.raises(FeatxError, match="has the format featx-features/0, this version reads"):
        summarize(older)
    reordered = write(name="reordered.h5")
    before = summarize(reordered)
    broken.reorder(reordered, "gap")
    after = summarize(reordered)
    assert {key for key in before if before[key] != after[key]} <= {"bytes", "layers"}
    broken.reorder(reordered, "image")
    with pytest.raises(FeatxError, match="image differs from its sha256"):
        summarize(reordered)


def test_errors_are_one_line_without_traceback(mixed: Path) -> None:
    mixed.write_bytes(mixed.read_bytes()[:5000])
    run = subprocess.run(
        [sys.executable, "-m", "cli", "inspect", str(mixed)],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[3],
    )
    assert run.returncode == 1
    assert "truncated" in run.stderr
    assert "Traceback" not in run.stderr
    assert len(run.stderr.strip().splitlines()) == 1


def test_no_torch(mixed: Path) -> None:
    code = (
        "import sys; sys.modules['torch'] = None; "
        "from cli.inspect import inspect; "
        f"inspect(['{mixed}'], standalone_mode=False)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[3],
    )
    assert run.returncode == 0, run.stderr
    assert "config hash" in run.stdout

"""The readers that the documentation gives for other programs: run as they stand there, on made-up
files, and all that they read is compared with what was written."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest

from featx.manifest import new_table
from featx.store import FeaturesWriter, Layer, schema
from featx.store.tools.exporting import export
from regress.predictions import read_run
from regress.probabilities import read_probabilities
from tests.exact_csv import EXACT
from tests.regress.made_runs import write_run

DOCS = Path(__file__).parent.parent / "docs"
FEATURES = (DOCS / "features-file.md").read_text(encoding="utf-8")
PREDICTIONS = (DOCS / "predictions.md").read_text(encoding="utf-8")
N = 37
SUBJECTS = ("001", "NA", "Zoë", "写真", "O'Neill, Ann", 'the "2nd"')
LAYERS = [
    Layer("gap", 8, (8,), module="features.conv", pool="avg"),
    Layer("flattened", 24, (2, 3, 4), module="features.3", pool="none"),
    Layer("features.3-a_max", 5, (5,), module="features.3-a", pool="max"),
    Layer("softmax", 3, (3,), module="head", pool="none", classes=(1.0, 2.5, 40.0)),
]
COLUMNS = ("image", "subject", "age_group", "gender", "fold", "dataset", "status")


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL)


@pytest.fixture
def rows() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(5)
    return {layer.name: rng.normal(size=(N, layer.units)).astype(np.float32) for layer in LAYERS}


@pytest.fixture
def table(rows: dict[str, np.ndarray]) -> pd.DataFrame:
    """Return the image table; rows that are not ok are NaN afterwards."""
    made = new_table(
        pd.DataFrame(
            {
                "image": [f"Bild é{i:03d}, {SUBJECTS[i % 6]}" for i in range(N)],
                "path": [f"{i}.jpg" for i in range(N)],
                "subject": [SUBJECTS[i % 6] for i in range(N)],
                "age": ["" if i % 5 == 4 else i / 3 for i in range(N)],
                "gender": ["female" if i % 2 else "" for i in range(N)],
                "fold": [f"{i % 3:02d}" for i in range(N)],
                "dataset": ["Zürich"] * N,
                "sha256": [f"{i:064x}" for i in range(N)],
                "status": ["no_face" if i % 7 == 3 else "ok" for i in range(N)],
                "reason": ["no face, anywhere" if i % 7 == 3 else "" for i in range(N)],
            }
        )
    )
    for values in rows.values():
        values[(made["status"] != "ok").to_numpy()] = np.nan
    return made


@pytest.fixture
def folder(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    table: pd.DataFrame,
    rows: dict[str, np.ndarray],
) -> Path:
    """Return the working folder, which holds the files that the documentation's blocks name."""
    provenance = {"backbone": "vgg16", "non_ascii": "Zürich 写真"}
    with FeaturesWriter(tmp_path / "fgnet.h5", table, LAYERS, provenance) as writer:
        writer.append(rows, status=list(table["status"]), reason=list(table["reason"]))
        writer.finish()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of a run of ages, with class probabilities."""
    rng = np.random.default_rng(2)
    ages = rng.integers(0, 70, N) / 3
    write_run(
        tmp_path / "runs" / "gap.softmax",
        ages,
        ages + rng.normal(size=N),
        task="age",
        ages=ages,
        classes=[20.0, 40.5, 60.0],
        probabilities=rng.dirichlet([1, 1, 1], N),
        images=[f"Bild é{i:03d}, {SUBJECTS[i % 6]}" for i in range(N)],
        subjects=SUBJECTS,
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path / "runs" / "gap.softmax"


def run_python(code: str, capsys: pytest.CaptureFixture[str]) -> tuple[list[str], dict]:
    names: dict = {}
    exec(compile(code, "block of the documentation", "exec"), names)
    return capsys.readouterr().out.splitlines(), names


def run_program(language: str, code: str, folder: Path) -> list[str]:
    """Run a script in R or Octave; return its lines."""
    program = {"r": "Rscript", "matlab": "octave-cli"}[language]
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    lacks = {
        "r": 'if (!requireNamespace("rhdf5", quietly = TRUE)) quit(status = 77)\n',
        "matlab": "try, pkg load netcdf, catch, exit(77), end\n",
    }
    options = {"r": ["--vanilla"], "matlab": ["--quiet", "--norc"]}
    script = folder / f"script.{language}"
    script.write_text(lacks[language] + code, encoding="utf-8")
    run = subprocess.run(
        [program, *options[language], str(script)],
        capture_output=True,
        check=False,
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "HOME": str(folder), "LC_ALL": "C.UTF-8"},
        timeout=120,
    )
    if run.returncode == 77:
        pytest.skip(f"{program} lacks the package that reads HDF5")
    assert run.returncode == 0, run.stderr.decode()
    return run.stdout.decode().splitlines()


def numbers(line: str) -> np.ndarray:
    return np.array(
        [np.nan if word in ("NA", "NaN") else float(word) for word in line.split()], float
    )


def check_printed(lines: list[str], rows: dict[str, np.ndarray]) -> None:
    """Compare what a block prints of each layer: its name, shape, and mean over ok rows."""
    printed = {line.split()[0]: line.split()[1:] for line in lines}
    assert set(printed) == set(rows)
    for layer, values in rows.items():
        *shape, mean = printed[layer]
        assert tuple(map(int, shape)) == values.shape
        assert float(mean) == pytest.approx(np.nanmean(values.astype(float)), rel=1e-6)


def test_h5py(folder, table, rows, capsys):
    (code,) = (block for block in blocks(FEATURES, "python") if "h5py" in block)
    lines, found = run_python(code, capsys)
    check_printed(lines, rows)
    assert list(found["layers"]) == list(rows)
    for name, values in rows.items():
        np.testing.assert_array_equal(found["layers"][name], values, strict=True)
    for column in (*COLUMNS, "age"):
        pd.testing.assert_series_equal(found["images"][column], table[column], check_dtype=False)


def test_xarray(folder, table, rows, capsys):
    (code,) = (block for block in blocks(FEATURES, "python") if "xarray" in block)
    lines, found = run_python(code, capsys)
    check_printed(lines, rows)
    data = found["data"]
    for name, values in rows.items():
        np.testing.assert_array_equal(data[name].to_numpy(), values, strict=True)
    for column in COLUMNS:
        assert data[column].to_numpy().tolist() == table[column].tolist()
    np.testing.assert_array_equal(data["age"], table["age"])
    minors = data["gap"].where(data["age"] < 8, drop=True)  # as the page says beside it
    assert minors["image"].to_numpy().tolist() == table["image"][table["age"] < 8].tolist()


def test_pandas_and_the_exported_csv(folder, table, rows, capsys):
    export("fgnet.h5", "fgnet.csv")
    (code,) = (block for block in blocks(FEATURES, "python") if "read_csv" in block)
    lines, found = run_python(code, capsys)
    check_printed(lines, rows)
    whole = found["table"]
    for name, values in rows.items():
        own = [f"{name}_{unit}" for unit in range(values.shape[1])]
        np.testing.assert_array_equal(whole[own].to_numpy(np.float32), values)
    for column in (*COLUMNS, "age"):
        pd.testing.assert_series_equal(whole[column], table[column], check_dtype=False)


def test_r(folder, table, rows):
    (code,) = blocks(FEATURES, "r")
    code += """
        for (name in names) cat(formatC(as.vector(t(layers[[name]])), digits = 9), "\\n")
        cat(formatC(images$age, digits = 17), "\\n")
        for (name in setdiff(columns, "age")) writeLines(paste(images[[name]], collapse = "\\t"))
        writeLines(h5readAttributes(file, "/")$non_ascii)
        part <- h5read(file, "features.3-a_max", index = list(NULL, 11:20))
        cat(formatC(as.vector(part), digits = 9), "\\n")
    """
    lines = run_program("r", code, folder)
    check_printed(lines[:4], rows)
    order = [line.split()[0] for line in lines[:4]]
    for line, name in zip(lines[4:8], order, strict=True):
        np.testing.assert_array_equal(numbers(line).astype(np.float32), rows[name].ravel())
    np.testing.assert_array_equal(numbers(lines[8]), table["age"])
    for line, column in zip(lines[9:16], COLUMNS, strict=True):
        assert line.split("\t") == table[column].tolist()
    assert lines[16] == "Zürich 写真"
    np.testing.assert_array_equal(
        numbers(lines[17]).astype(np.float32), rows["features.3-a_max"][10:20].ravel()
    )


def test_octave(folder, table, rows):
    code = next(block for block in blocks(FEATURES, "matlab") if "ncread" in block)
    own = [name for name in rows if name in code]
    code += f"""
        for name = {{{", ".join(f"'{name}'" for name in own)}}}
          fprintf('%.9g ', layers.(name{{1}})'); fprintf('\\n');
        end
        fprintf('%.17g ', age); fprintf('\\n');
        fprintf('%.9g ', ncread(file, 'features.3-a_max')); fprintf('\\n');
        fprintf('%.9g ', ncread(file, 'flattened', [1 11], [Inf 10])); fprintf('\\n');
    """
    lines = run_program("matlab", code, folder)
    assert own == ["gap", "flattened", "softmax"]
    check_printed(lines[:3], {name: rows[name] for name in own})
    for line, name in zip(lines[3:6], own, strict=True):
        np.testing.assert_array_equal(numbers(line).astype(np.float32), rows[name].ravel())
    np.testing.assert_array_equal(numbers(lines[6]), table["age"])
    for line, values in zip(
        lines[7:], (rows["features.3-a_max"], rows["flattened"][10:20]), strict=True
    ):
        np.testing.assert_array_equal(numbers(line).astype(np.float32), values.ravel())


def test_octave_and_the_texts_of_the_exported_csv(folder, table):
    export("fgnet.h5", "fgnet.csv", ["softmax"])
    code = next(block for block in blocks(FEATURES, "matlab") if "fileread" in block)
    columns = (*COLUMNS, "reason", "sha256")
    code += f"""
        for name = {{{", ".join(f"'{name}'" for name in columns)}}}
          fprintf('%s\\n', strjoin(images.(name{{1}})', '\\t'));
        end
    """
    first, *lines = run_program("matlab", code, folder)
    assert first.split() == [str(N), str(len(SUBJECTS))]
    for line, column in zip(lines, columns, strict=True):
        assert line.split("\t") == table[column].tolist()


def told_of(run_folder: Path) -> list[float]:
    """Return what the blocks print of predictions.csv: rows, subjects, MAE."""
    table = read_run(run_folder).predictions
    error = np.abs(table["predicted_age"] - table["age"]).mean()
    return [N, len(SUBJECTS), pytest.approx(error, rel=1e-12)]


def test_predictions_by_pandas(run_folder, capsys):
    (code,) = (block for block in blocks(PREDICTIONS, "python") if "read_csv" in block)
    (line,), found = run_python(code, capsys)
    assert numbers(line).tolist() == told_of(run_folder)
    expected = read_run(run_folder).predictions
    # older pandas rounds, as the page says
    exactly = {"rtol": 1e-15} if EXACT else {"check_exact": True}
    pd.testing.assert_frame_equal(found["table"], expected, check_dtype=False, **exactly)


def test_predictions_by_r(run_folder):
    (code,) = (block for block in blocks(PREDICTIONS, "r") if "read.csv" in block)
    code += """
        cat(formatC(c(table$age, table$predicted_age), digits = 17), "\\n")
        for (name in c("image", "subject", "fold"))
            writeLines(enc2utf8(paste(table[[name]], collapse = "\\t")))
    """
    lines = run_program("r", code, run_folder.parents[1])
    assert numbers(lines[0]).tolist() == told_of(run_folder)
    expected = read_run(run_folder).predictions
    ages = np.concatenate([expected["age"], expected["predicted_age"]])
    np.testing.assert_allclose(numbers(lines[1]), ages, rtol=1e-15)
    for line, column in zip(lines[2:], ("image", "subject", "fold"), strict=True):
        assert line.split("\t") == expected[column].tolist()


def test_probabilities_by_xarray(run_folder, capsys):
    (code,) = (block for block in blocks(PREDICTIONS, "python") if "xarray" in block)
    (line,), found = run_python(code, capsys)
    check_probabilities(line, run_folder)
    values = read_probabilities(read_run(run_folder))
    np.testing.assert_array_equal(found["data"]["probability"], values.values)
    np.testing.assert_array_equal(found["data"]["class"], values.classes)


def test_probabilities_by_r(run_folder):
    (code,) = (block for block in blocks(PREDICTIONS, "r") if "probability" in block)
    code += """
        cat(formatC(as.vector(t(probability)), digits = 9), "\\n")
        writeLines(enc2utf8(paste(image, collapse = "\\t")))
    """
    printed, dumped, image = run_program("r", code, run_folder.parents[1])
    check_probabilities(printed, run_folder, dumped)
    assert image.split("\t") == read_run(run_folder).predictions["image"].tolist()


def test_probabilities_by_octave(run_folder):
    (code,) = blocks(PREDICTIONS, "matlab")
    code += "fprintf('%.9g ', probability');\n"
    printed, dumped = run_program("matlab", code, run_folder.parents[1])
    check_probabilities(printed, run_folder, dumped)


def check_probabilities(line: str, run_folder: Path, dumped: str | None = None) -> None:
    """Compare what the blocks print of probabilities.h5 (its shape, the mean expected age), and
    all its values where they are there."""
    probable = read_probabilities(read_run(run_folder))
    mean = (probable.values @ probable.classes).mean()
    assert numbers(line).tolist() == [*probable.values.shape, pytest.approx(mean, rel=1e-6)]
    if dumped is not None:
        expected = probable.values.astype(np.float32).ravel()
        np.testing.assert_array_equal(numbers(dumped).astype(np.float32), expected)


def documented(heading: str) -> set[str]:
    """Return the names in the first column of the table whose header begins so."""
    (table,) = re.findall(rf"^\| {heading} \|.*\n((?:\|.*\n)+)", FEATURES, re.MULTILINE)
    cells = [row.split("|")[1] for row in table.splitlines()]
    return {name for cell in cells for name in re.findall(r"`([^`]+)`", cell)}


def test_the_documented_version_is_what_is_written(folder, rows):
    assert f"`{schema.FORMAT}`, all at the root of the file" in FEATURES
    raw = Path("fgnet.h5").read_bytes()
    assert raw[:8] == b"\x89HDF\r\n\x1a\n"
    assert raw[8] == 0  # the superblock's version
    variables, attributes = documented("name"), documented("attribute")
    with h5py.File("fgnet.h5") as file:
        assert all(isinstance(variable, h5py.Dataset) for variable in file.values())
        own = {*rows, *(layer.dimension for layer in LAYERS)}
        assert set(file) - own == variables - {"gap", "gap_unit", "class"} - {"_unit", "_class"}
        assert file.attrs["format"] == schema.FORMAT
        assert set(file.attrs) - {"non_ascii"} <= attributes
        internal = {"CLASS", "NAME", "REFERENCE_LIST", "DIMENSION_LIST"}
        for name, variable in file.items():
            assert set(variable.attrs) - internal <= attributes, name
        for name, variable in file.items():
            text = h5py.check_string_dtype(variable.dtype)
            kinds = {"age": "<f8", "class": "<f8"} | dict.fromkeys(rows, "<f4")
            kinds |= {layer.dimension: "<i4" for layer in LAYERS if not layer.classes}
            if name in kinds:
                assert variable.dtype.newbyteorder("<") == np.dtype(kinds[name]), name
            else:
                assert (text.encoding, text.length) == ("utf-8", None), name
    assert set(schema.RESERVED) <= attributes

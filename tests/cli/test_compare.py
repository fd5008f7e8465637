import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from cli.main import main
from featx.manifest import new_table, write_table


@pytest.fixture
def out(tmp_path):
    """Two methods' folders, as `featx regress` writes them."""
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {
            "image": [f"{k:03d}" for k in range(60)],
            "subject": [f"{k // 6:03d}" for k in range(60)],
            "fold": [f"{k // 6:03d}" for k in range(60)],
            "age": rng.integers(1, 60, 60).astype(float),
        }
    )
    for k, name in enumerate(("gap · ridge", "gap · mean")):
        folder = tmp_path / "out" / f"m{k}"
        folder.mkdir(parents=True)
        guess = table["age"] + rng.normal(0, 2 + 6 * k, 60)
        table.assign(predicted_age=guess).to_csv(folder / "predictions.csv", index=False)
        info = {
            "format": "featx-predictions/1",
            "method": name,
            "protocol": "lopo",
            "split_hash": "a" * 64,
            "folds": {"planned": 10, "done": 10, "missing": []},
        }
        (folder / "run.json").write_text(json.dumps(info), encoding="utf-8")
    return tmp_path / "out"


def run(*arguments):
    with pytest.raises(SystemExit) as ended:
        main(["compare", *map(str, arguments)])
    return ended.value.code


def test_compare_prints_the_table_and_the_path(out, tmp_path, capsys):
    assert run(out, "-o", tmp_path / "report", "--bootstrap", "200", "--title", "A title") == 0
    printed = capsys.readouterr().out
    assert printed.index("gap · ridge") < printed.index("gap · mean")
    assert printed.strip().endswith(f"report -> {tmp_path / 'report' / 'report.html'}")
    assert "A title" in (tmp_path / "report" / "report.html").read_text(encoding="utf-8")


def test_dry_run_writes_nothing(out, tmp_path, capsys):
    assert run(out, "-o", tmp_path / "report", "--dry-run") == 0
    assert "would compare 2 methods" in capsys.readouterr().out
    assert not (tmp_path / "report").exists()


def test_different_splits_are_one_clear_line(out, tmp_path, capsys):
    path = out / "m1" / "run.json"
    info = json.loads(path.read_text(encoding="utf-8")) | {"split_hash": "b", "protocol": "kfold:5"}
    path.write_text(json.dumps(info), encoding="utf-8")
    assert run(out, "-o", tmp_path / "report") == 1
    error = capsys.readouterr().err
    assert "different splits" in error
    assert "--allow-different-splits" in error
    assert len(error.splitlines()) == 1
    assert not (tmp_path / "report").exists()


def test_each_split_has_a_report_of_its_own(out, tmp_path, capsys):
    path = out / "m1" / "run.json"
    info = json.loads(path.read_text(encoding="utf-8"))
    assert run(out, "-o", tmp_path / "one", "--each-split") == 0
    assert (tmp_path / "one" / "report.html").is_file()  # all are of one
    info |= {"split_hash": "bcdefgh", "protocol": "kfold:5"}
    path.write_text(json.dumps(info), encoding="utf-8")
    assert run(out, "-o", tmp_path / "report", "--each-split") == 0
    names = sorted(each.parent.name for each in (tmp_path / "report").glob("*/report.html"))
    assert names[0] == "kfold-5-bcdefg"
    assert len(names) == 2


def test_bad_paths_are_one_clear_line(out, tmp_path, capsys):
    assert run(tmp_path / "absent", "-o", tmp_path / "report") == 1
    assert "absent is not a folder" in capsys.readouterr().err
    (tmp_path / "file").write_text("")
    assert run(out, "-o", tmp_path / "file") == 1
    assert "give a folder" in capsys.readouterr().err


def test_pictures_are_shown_when_asked_for_and_a_wrong_table_is_one_clear_line(
    out, tmp_path, capsys
):
    work = tmp_path / "work"
    work.mkdir()
    Image.new("RGB", (20, 20), "red").save(work / "a.png")
    rows = {"image": [f"{k:03d}" for k in range(60)], "path": "a.png", "dataset": "fgnet"}
    write_table(new_table(pd.DataFrame(rows)), work / "images.csv")

    def shown(*flags):
        assert run(out, "-o", tmp_path / "report", "--bootstrap", "200", *flags) == 0
        return (tmp_path / "report" / "report.html").read_text(encoding="utf-8").count("<img")

    assert shown("--table", work) == 0
    assert shown("--table", work, "--images") == 20
    assert shown("--table", work, "--no-images") == 0
    capsys.readouterr()
    assert run(out, "-o", tmp_path / "other", "--table", tmp_path / "absent.csv") == 1
    error = capsys.readouterr().err
    assert "absent.csv is not there" in error
    assert len(error.splitlines()) == 1
    assert not (tmp_path / "other").exists()

"""`featx extract` as it is typed."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from cli.main import main
from featx.store import FeaturesFile


@pytest.fixture
def folder(tmp_path):
    draw = np.random.default_rng(3)
    for i in range(5):
        pixels = draw.integers(0, 256, (112, 112, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{i}.png")
    (tmp_path / "4.png").write_bytes(b"no image")
    rows = [{"image": f"im{i}", "path": f"{i}.png", "age": i} for i in range(5)]
    pd.DataFrame(rows).to_csv(tmp_path / "images.csv", index=False)
    return tmp_path


def run(*arguments):
    with pytest.raises(SystemExit) as ended:
        main(["extract", *map(str, arguments)])
    return ended.value.code


def test_extract_and_resume(folder, capsys):
    out = folder / "o.h5"
    given = [folder, "-b", "mobilefacenet", "-w", "random", "-l", "gap", "-l", "blocks.2:max"]
    given += ["--workers", 0, "-o", out]
    assert run(*given, "--dry-run") == 0
    told = capsys.readouterr().out
    assert "5, of which 5 ok" in told
    assert "gap: 512 units (512) from conv2" in told
    assert f"{5 * (512 + 64) * 4:,} bytes" in told
    assert not out.exists()
    assert run(*given) == 0
    told = capsys.readouterr()
    assert "5 (4 ok, 1 corrupt)" in told.out
    assert "images/s" in told.out
    assert str(out) in told.out
    assert "extract: 5 of 5 images" in told.err
    with FeaturesFile(out) as file:
        assert list(file.layers) == ["gap", "blocks.2_max"]
    assert run(*given) == 1  # nothing is overwritten
    assert run(*given, "--resume") == 0
    assert "nothing was left to do" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-b", "mobilefacnet", "-w", "random"], "did you mean mobilefacenet"),
        (["-b", "mobilefacenet", "-w", "random", "-l", "softmax"], "has no classifier"),
        (["-b", "mobilefacenet", "-w", "nowhere.pt"], "is not there"),
        (["-b", "mobilefacenet", "-w", "random", "--device", "tpu"], "unknown device"),
    ],
)
def test_bad_input_is_one_line(folder, capsys, arguments, message):
    assert run(folder, *arguments, "-o", folder / "o.h5") == 1
    told = capsys.readouterr().err.strip().splitlines()
    assert len(told) == 1
    assert message in told[0]
    assert told[0].startswith("featx: error: ")

"""The tour, as it stands in docs/tour.md, on the first people of the real FG-NET."""

import os
import shutil
from pathlib import Path

import pytest

from .blocks import ROOT, follow

DATA = Path(os.environ.get("FEATX_DATA", ROOT.parent / "shared")).absolute()
PEOPLE = 6


@pytest.mark.real
@pytest.mark.long
def test_the_tour(tmp_path):
    images, weights = DATA / "data" / "fgnet" / "images", "mobilefacenet_casia.safetensors"
    if not images.is_dir() or not (DATA / "weights" / weights).is_file():
        pytest.skip(f"no FG-NET or weights under {DATA}; set FEATX_DATA")
    some = [path for path in sorted(images.iterdir()) if path.name[:3] <= f"{PEOPLE:03d}"]
    (tmp_path / "FGNET" / "images").mkdir(parents=True)
    for path in some:
        shutil.copy(path, tmp_path / "FGNET" / "images")
    printed = follow(
        "docs/tour.md",
        tmp_path,
        FGNET="FGNET",
        BACKBONE="mobilefacenet",
        WEIGHTS=str(DATA / "weights" / weights),
    )
    assert len(printed) == 6
    prepared, extracted, regressed, compared = printed[:4]
    assert f"{len(some)} images, {len(some)} ok" in prepared.splitlines()
    assert "fgnet.h5: " in extracted
    assert regressed.count(f"{PEOPLE} of {PEOPLE} folds") == 7
    assert compared.splitlines()[-1] == "report -> report/report.html"
    assert (tmp_path / "report" / "report.html").is_file()
    assert len((tmp_path / "gap.csv").read_text().splitlines()) == len(some) + 1
    assert list((tmp_path / "why").rglob("*.png"))
    assert (tmp_path / "ages" / "predictions.csv").is_file()

"""Crops in batches, by processes."""

import os
import subprocess
import sys
from pathlib import Path

from tests.featx.made_crops import make_table

ROOT = Path(__file__).parents[2]


def test_a_long_temporary_folder_stops_no_process(tmp_path):
    table = make_table(tmp_path)
    long = tmp_path / ("t" * 100)
    long.mkdir()
    code = f"""
from featx.extraction import extract
extract({str(table)!r}, {str(tmp_path / "f.h5")!r}, backbone="onet", weights="random",
        layers=["gap"], workers=1, batch_size=4)
"""
    environment = {**os.environ, "TMPDIR": str(long), "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, timeout=120)
    assert (tmp_path / "f.h5").exists()
    assert not list(long.glob("pymp-*"))

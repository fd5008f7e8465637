"""The scripts of docs/cluster.md, as they stand there, on a real Slurm."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from regress.predictions import find_runs

from ..docs.blocks import blocks
from ..featx.training.made_faces import make_folder


@pytest.mark.long
def test_the_scripts_make_a_report_of_images(slurm, tmp_path):
    make_folder(tmp_path / "work")
    scripts = {block.file: block.text for block in blocks("docs/cluster.md") if block.file}
    assert set(scripts) == {"extract.sh", "merge.sh", "folds.sh", "report.sh", "submit.sh"}
    for name, script in scripts.items():
        # a network whose weights are here, and nodes with less memory
        script = script.replace("--backbone vgg16 --weights imagenet", "-b onet -w mtcnn")
        (tmp_path / name).write_text(script.replace("--mem=8G", "--mem=3G"))
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-e", "submit.sh"],
        cwd=tmp_path,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    slurm.until(lambda: not slurm.ask("squeue", "-h").strip(), seconds=600)
    logs = "\n".join(log.read_text() for log in tmp_path.glob("*.log"))
    runs = find_runs([tmp_path / "runs"])
    assert len(runs) == 4, logs  # two layers with two regressors
    assert all(run.info["folds"]["done"] == 6 for run in runs), logs
    assert (tmp_path / "report" / "report.html").is_file(), logs

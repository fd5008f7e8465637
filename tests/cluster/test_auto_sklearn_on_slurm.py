"""auto-sklearn's folds as an array: one environment, nothing left behind, all told."""

import shutil
import tempfile
from pathlib import Path

import pytest

from regress.fold_records import finished_folds
from regress.predictions import read_run
from regress.regressors.auto_sklearn import environment

from ..regress.conftest import write_features
from .commands import featx


@pytest.mark.automl
@pytest.mark.long
def test_an_array_shares_one_environment_and_leaves_nothing(slurm, tmp_path):
    features = write_features(tmp_path / "features.h5", n_subjects=16)
    scratch = Path(tempfile.mkdtemp(prefix="featx-", dir="/tmp"))  # sockets have short names
    out, profile = tmp_path / "runs", tmp_path / "cluster.toml"
    profile.write_text(
        f'[slurm]\nsetup = ["export TMPDIR={scratch}"]\n'
        '[slurm.regress]\ncpus = 1\nmemory = "1900M"\ntime = "10"\nthrottle = 4\n'
    )
    words = [
        *("regress", features, "-o", out, "--protocol"),
        *("kfold:8", "--regressor", "auto-sklearn", "--search-space", "fast", "--cluster", "slurm"),
        *("--time-budget", "30s", "--run-time-limit", "10s", "--profile", profile),
    ]
    try:
        featx(*words)
        assert not list(scratch.iterdir())
    finally:
        shutil.rmtree(scratch)
    run = read_run(out / "gap.auto-sklearn")
    assert run.info["folds"]["done"] == 8
    told = [
        fold["report"]["statistics"]
        for fold in finished_folds(run.folder, run.info["key"]).values()
    ]
    assert all(each["success"] > 0 and each["n_jobs"] == 1 for each in told)
    # what one task is granted has room for one model of less than the default memory
    assert {each["memory_limit"] for each in told} == {1400}
    assert run.info["statistics"]["statistics.success"]["min"] > 0
    built = (environment.location() / "featx-complete.json").stat().st_mtime
    first = min(path.stat().st_mtime for path in (out / "slurm").glob("*.log"))
    assert built < first  # by the submitting side
    assert "fold" in "".join(path.read_text() for path in (out / "slurm").glob("*.log"))

import os
import shutil
import tempfile
from pathlib import Path

import pytest

from .slurm_here import Slurm, why_not


@pytest.fixture(scope="module")
def slurm():
    """A Slurm with two nodes for CPUs and one with GPUs; its environment is this process's."""
    reason = why_not()
    if reason:
        pytest.skip(reason)
    # not below pytest's folder: munge wants one that all may enter, and sockets have short names
    root = Path(tempfile.mkdtemp(prefix="featx-slurm-"))
    root.chmod(0o755)
    here = Slurm(root)
    before = dict(os.environ)
    # tasks compute with one thread each, and so must what they are compared with
    os.environ |= {"SLURM_CONF": here.environment["SLURM_CONF"], "OMP_NUM_THREADS": "1"}
    try:
        yield here
    finally:
        os.environ.clear()
        os.environ |= before
        here.stop()
        shutil.rmtree(root, ignore_errors=True)


@pytest.fixture(autouse=True)
def no_profile_of_ones_own(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))

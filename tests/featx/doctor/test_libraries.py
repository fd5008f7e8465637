"""Libraries that are tried, each by a call of its own."""

from __future__ import annotations

import pytest

from featx.doctor import libraries, probes


@pytest.mark.parametrize(
    ("name", "module", "text", "detail"),
    [
        (
            "opencv",
            "cv2",
            "__version__ = '5.0.0'",
            "cascades of OpenCV 4, which OpenCV 5",
        ),
        ("opencv", "cv2", "raise ImportError('libGL.so.1: cannot open')", "libGL.so.1"),
        ("parquet", "pyarrow", "raise ImportError('numpy.core')", "ImportError: numpy.core"),
        ("hdf5", "h5py", "raise ImportError('undefined symbol: H5Pset')", "undefined symbol"),
        ("dlib", "dlib", "import os, signal; os.kill(os.getpid(), 4)", "killed by SIGILL"),
    ],
)
def test_a_library_that_is_installed_and_broken(tmp_path, monkeypatch, name, module, text, detail):
    (tmp_path / f"{module}.py").write_text(text)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(libraries, "version_of", lambda _: "1")
    (finding,) = libraries.check_library(name)
    assert not finding.ok
    assert detail in finding.detail
    assert "--force-reinstall" in finding.remedy


@pytest.mark.parametrize(
    ("name", "module", "detail"),
    [
        ("opencv", "cv2", "loads haarcascade_frontalface_default.xml"),
        ("dlib", "dlib", "loads its models"),
        ("parquet", "pyarrow", "writes Parquet"),
        ("hdf5", "h5py", "HDF5 "),
    ],
)
def test_a_library_that_works(name, module, detail):
    pytest.importorskip(module)
    (finding,) = libraries.check_library(name)
    assert finding.ok, finding.detail
    assert detail in finding.detail


def test_a_library_that_is_not_installed_is_told_among_the_packages(monkeypatch):
    monkeypatch.setattr(libraries, "version_of", lambda _: None)
    assert libraries.check_library("dlib") == []


def test_a_probe_that_hangs(monkeypatch):
    monkeypatch.setattr(probes, "PATIENCE", 0.01)
    assert probes.probe("libraries", "hdf5") == "no answer in 0.01 s"

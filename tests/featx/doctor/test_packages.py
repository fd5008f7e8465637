"""Packages that are not there, too old, or of another featx on the way."""

from __future__ import annotations

import importlib.metadata
import re
import tomllib
from pathlib import Path

import pytest

from featx import doctor
from featx.doctor import packages

ROOT = Path(__file__).parents[3]


def test_the_releases_that_are_looked_for_are_those_of_the_package():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    def read(lines):
        found = {}
        for line in lines:
            name, least = re.fullmatch(r"([\w-]+)>=([\d.]+)(?:,<[\d.]+)?", line).groups()
            found[name.lower()] = least
        return found

    told = [line.partition(";") for line in project["dependencies"]]
    assert read(line for line, marker, _ in told if not marker) == packages.CORE
    assert read(line for line, marker, _ in told if marker) == packages.FASTER
    declared = project["optional-dependencies"]
    extras = {}
    for extra, parts in packages.EXTRAS.items():
        own = read(line for line in declared[extra] if "[" not in line)
        assert set(own) == {name.lower() for name in parts}, extra
        extras |= own
    assert extras == {name.lower(): least for name, least in packages.LEAST.items()}
    everything = " ".join(line for lines in declared.values() for line in lines)
    for name, below in packages.BELOW.items():
        assert re.search(rf"{name}[^ ]*,<{re.escape(below)}\b", everything)


@pytest.mark.parametrize(
    ("name", "version", "ok", "told"),
    [
        ("opencv-python-headless", "4.14.0.94", True, "4.14.0.94"),
        ("opencv-python-headless", "5.0.0.93", False, "needed is one below 5"),
        ("facenet-pytorch", "2.6.0", False, "needed is one below 2.6"),
        ("torch", "2.5.0+cu121", True, "2.5.0+cu121"),
        ("torch", "2.2.2", False, "2.2.2, needed is 2.5 or newer"),
        ("pillow", "10.3", True, "10.3"),
        ("timm", "1.0.0", True, "1.0.0"),
    ],
)
def test_releases(monkeypatch, name, version, ok, told):
    monkeypatch.setattr(importlib.metadata, "version", lambda _: version)
    finding = packages.check_package(name, "remedy", packages.LEAST[name], optional=True)
    assert (finding.ok, finding.remedy) == (ok, "" if ok else "remedy")
    assert told in finding.detail
    assert ok or finding.severity == "required"


def test_what_is_absent_is_loud_only_where_it_is_needed():
    extra = packages.check_package("no-such-package", "install it", optional=True)
    core = packages.check_package("no-such-package", "install it")
    assert (extra.ok, extra.severity, extra.remedy) == (False, "optional", "install it")
    assert (core.ok, core.severity) == (False, "required")


def test_no_package_is_told_twice(monkeypatch):
    monkeypatch.setattr(packages, "version_of", lambda name: None)
    found = {finding.name: finding for finding in packages.check_packages()}
    assert len(found) == len(packages.check_packages())
    assert found["opencv-python-headless"].remedy == "pip install 'featx[haar]'"
    assert found["dlib-bin"].remedy == "pip install 'featx[dlib]'"
    assert found["pillow"].remedy == "pip install 'featx[extract]'"
    assert found["numpy"].severity == "required"


def test_another_featx_on_path(program, monkeypatch, tmp_path):
    own = tmp_path / "env" / "bin"
    own.mkdir(parents=True)
    (own / "featx").touch()
    monkeypatch.setattr(packages.sys, "executable", str(own / "python"))
    assert "not on PATH" in packages._program().detail
    program("featx")
    finding = packages._program()
    assert not finding.ok
    assert str(tmp_path / "bin" / "featx") in finding.detail
    assert str(own / "featx") in finding.remedy


def test_which_extra_brings_a_module():
    assert doctor.extra_of("torch.nn") == "extract"
    assert doctor.extra_of("cv2") == "haar"
    assert doctor.extra_of("numpy") is None

"""The guides for adding things, followed to the letter: each package is installed and used."""

import os
import runpy
import shutil
import subprocess
import sys

import pandas as pd
import pytest

from featx import plugins
from featx.backbones import _registry
from featx.datasets.generate import generate_fgnet
from featx.store import FeaturesFile
from regress.predictions import find_runs

from .blocks import ROOT, follow

#: pip installs into a folder of the test's, with what this environment has, off the network; a
#: few pictures are prepared by one process.
SETTINGS = {
    "PIP_NO_INDEX": "1",
    "PIP_NO_DEPS": "1",
    "PIP_NO_BUILD_ISOLATION": "0",  # sets the switch: no isolation
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    "PIP_ROOT_USER_ACTION": "ignore",
    "LOKY_MAX_CPU_COUNT": "1",
}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with drawn faces named as MORPH's, where the guides are followed in turn."""
    folder = tmp_path_factory.mktemp("guides")
    drawn = generate_fgnet(folder / "drawn", subjects=6, images_per_subject=4, size=(200, 200))
    (folder / "Album2").mkdir()
    for number, path in enumerate(sorted((drawn / "images").iterdir())):
        subject, age = path.name[:3], path.name[4:6]
        shutil.copy(path, folder / "Album2" / f"{int(subject):06d}_{number}M{age}.JPG")
    shutil.copy(path, folder / "Album2" / "cover.JPG")
    return folder


def paths(folder):
    return f"{folder / 'site'}{os.pathsep}{ROOT}"


def go(page, folder):
    site = str(folder / "site")
    return follow(page, folder, **SETTINGS, PIP_TARGET=site, PYTHONPATH=paths(folder))


@pytest.fixture(scope="module")
def prepared(place):
    return place, go("docs/adding-a-data-set.md", place)


@pytest.fixture(scope="module")
def extracted(prepared):
    return prepared[0], go("docs/adding-a-backbone.md", prepared[0])


@pytest.fixture(scope="module")
def regressed(extracted):
    return extracted[0], go("docs/adding-a-regressor.md", extracted[0])


def test_a_data_set(prepared):
    place, (told,) = prepared
    assert "excluded: 1 (1 malformed name)" in told
    table = pd.read_csv(place / "work" / "images.csv", dtype=str, keep_default_na=False)
    assert len(table) == 25
    assert (table["status"] == "ok").sum() > 20
    assert set(table["subject"]) == {"", *(f"{n:06d}" for n in range(1, 7))}
    assert '"featx-morph": "0.1.0"' in (place / "work" / "prepare.json").read_text()


def test_a_backbone(extracted):
    place, (told,) = extracted
    assert "layers  gap (288), first_conv (16), embedding (1024)" in told
    with FeaturesFile(place / "mobilenet.h5") as features:
        assert {name: layer.units for name, layer in features.layers.items()} == {
            "gap": 288,
            "first_conv": 16,
            "embedding": 1024,
        }
        assert features.context["versions"]["featx-mobilenet"] == "0.1.0"


def test_a_regressor(regressed):
    place, (told,) = regressed
    assert "gap · neighbours: MAE" in told
    runs = {run.info["regressor"]: run for run in find_runs([place / "runs"])}
    assert set(runs) == {"neighbours", "forest:trees=10", "mean"}
    assert runs["forest:trees=10"].info["parameters"]["trees"] == 10
    assert runs["neighbours"].info["versions"]["featx-neighbours"] == "0.1.0"
    assert runs["forest:trees=10"].info["statistics"]["leaf"]["max"] in (1, 5)


def test_the_packages_own_tests(regressed):
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "featx-morph", "featx-neighbours"],
        cwd=regressed[0],
        env={**os.environ, "PYTHONPATH": paths(regressed[0])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "4 passed" in done.stdout, done.stdout


def test_the_own_tests_of_the_backbone(extracted, monkeypatch):
    """They are called here, where torch is imported already."""
    monkeypatch.syspath_prepend(extracted[0] / "site")
    monkeypatch.setattr(_registry, "_BACKBONES", dict(_registry._BACKBONES))
    monkeypatch.setattr(plugins, "_loaded", {})  # else later tests' files would name it
    plugins._found.cache_clear()
    try:
        tests = runpy.run_path(str(extracted[0] / "featx-mobilenet" / "test_featx_mobilenet.py"))
        called = [name for name in tests if name.startswith("test_") and tests[name]() is None]
    finally:
        plugins._found.cache_clear()
        sys.modules.pop("featx_mobilenet", None)
    assert len(called) == 2

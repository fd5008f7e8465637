"""The guides for adding things, followed to the letter: each package is installed and used."""

import os
import shutil

import pandas as pd
import pytest

from featx.datasets.generate import generate_fgnet
from featx.store import FeaturesFile
from regress.predictions import find_runs

from .blocks import ROOT, follow

#: pip installs into a folder of the test's, with what this environment has, off the network.
PIP = {
    "PIP_NO_INDEX": "1",
    "PIP_NO_DEPS": "1",
    "PIP_NO_BUILD_ISOLATION": "0",  # sets the switch: no isolation
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    "PIP_ROOT_USER_ACTION": "ignore",
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


def go(page, folder):
    site = folder / "site"
    return follow(page, folder, **PIP, PIP_TARGET=str(site), PYTHONPATH=f"{site}{os.pathsep}{ROOT}")


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
    place, (told, tested) = prepared
    assert "excluded: 1 (1 malformed name)" in told
    assert "1 passed" in tested
    table = pd.read_csv(place / "work" / "images.csv", dtype=str, keep_default_na=False)
    assert len(table) == 25
    assert (table["status"] == "ok").sum() > 20
    assert set(table["subject"]) == {"", *(f"{n:06d}" for n in range(1, 7))}
    assert '"featx-morph": "0.1.0"' in (place / "work" / "prepare.json").read_text()


def test_a_backbone(extracted):
    place, (told, tested) = extracted
    assert "2 passed" in tested
    assert "first_conv" in told
    with FeaturesFile(place / "mobilenet.h5") as features:
        assert {name: layer.units for name, layer in features.layers.items()} == {
            "gap": 288,
            "first_conv": 16,
            "embedding": 1024,
        }
        assert features.context["versions"]["featx-mobilenet"] == "0.1.0"


def test_a_regressor(regressed):
    place, (told, tested) = regressed
    assert "3 passed" in tested
    assert "report ->" in told
    runs = {run.info["regressor"]: run for run in find_runs([place / "runs"])}
    assert set(runs) == {"neighbours", "forest:trees=10", "mean"}
    assert runs["forest:trees=10"].info["parameters"]["trees"] == 10
    assert runs["neighbours"].info["versions"]["featx-neighbours"] == "0.1.0"
    assert runs["forest:trees=10"].info["statistics"]["leaf"]["max"] in (1, 5)

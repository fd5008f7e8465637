"""The Python of the documentation runs as it stands there."""

import re

import numpy as np
import pandas as pd
import pytest
import torch

import featx
import regress
from featx.checkpoints import write_checkpoint
from featx.manifest import new_table, write_table
from featx.trained_on import TrainedOn

from ..regress.conftest import write_features
from .blocks import ROOT, blocks, follow


def test_the_flow_from_python(tmp_path, monkeypatch):
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")  # a few pictures are prepared by this process
    first, features, by_hand, results = follow("docs/python.md", tmp_path)
    assert "gap · exact-kernel" in first
    assert "first_conv · mean" in first
    assert (tmp_path / "report" / "report.html").is_file()
    assert features.startswith("(24, 128)")
    assert "years over 24 images" in by_hand
    assert "lopo" in results


def test_the_names_of_the_table_are_there():
    page = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    calls = set(re.findall(r"`(featx|regress)\.(\w+)\(", page))
    assert len(calls) > 8
    packages = {"featx": featx, "regress": regress}
    assert all(callable(getattr(packages[package], name)) for package, name in calls)


def test_errors_by_gender(tmp_path):
    genders = np.array(["female", "male"])[np.arange(40) // 5 % 2]
    features = write_features(tmp_path / "faces.h5", gender=genders)
    (run,) = regress.evaluate_features(features, tmp_path / "runs", regressors=["exact-kernel"])
    (printed,) = follow("docs/ethics.md", tmp_path)
    error = (run.predictions["predicted_age"] - run.predictions["age"]).abs()
    gender = genders[run.predictions["image"].str[-3:].astype(int)]
    for name in ("female", "male"):
        (line,) = [line for line in printed.splitlines() if line.startswith(name)]
        assert float(line.split()[1]) == pytest.approx(error[gender == name].mean(), abs=1e-5)
        assert line.split()[-1] == "20"


def test_whom_a_network_has_seen(tmp_path):
    table = new_table(
        pd.DataFrame(
            {
                "image": ["a", "b", "c"],
                "path": ["a.png", "b.png", "c.png"],
                "subject": ["1", "1", "2"],
                "sha256": ["0a", "0b", "0c"],
            }
        )
    )
    (tmp_path / "work").mkdir()
    write_table(table, tmp_path / "work" / "images.csv")
    network = tmp_path / "tuned" / "1-target" / "network.safetensors"
    one = "1 of these 3 images (such as a) and other images of 1 person (such as 1)"
    for seen, told in ((table[:1], one), (table[:0], "nobody")):
        write_checkpoint(
            network, {"bias": torch.zeros(1)}, {"backbone": "onet"}, TrainedOn.of(seen)
        )
        (printed,) = follow("docs/protocols.md", tmp_path)
        assert printed.startswith(told)


@pytest.mark.parametrize("page", ["python", "protocols", "ethics"])
def test_blocks_are_found(page):
    text = (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8")
    assert len(blocks(f"docs/{page}.md")) == text.count("```") / 2 > 0

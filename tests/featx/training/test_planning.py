"""What would fail after hours is told when a cascade is planned."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from featx.errors import FeatxError
from featx.training.config.cascade_file import read_cascade
from featx.training.images.stage_data import StageData
from featx.training.planning import plan_stages
from featx.training.processes import Processes
from featx.training.stage import run_stage
from featx.weights import load_network
from tests.featx.training.made_faces import CASCADE, make_folder, write_cascade

SECOND = (
    CASCADE.partition("stages:\n")[2].replace("name: target", "name: second").replace("seed: 3", "")
)


@pytest.fixture
def two(made):
    write_cascade(made, CASCADE + SECOND)
    return made


def plan(made, *changes, **options):
    return plan_stages(read_cascade(made / "cascade.yaml", changes), **options)


def test_a_module_to_unlock_that_is_not_there(two):
    assert len(plan(two, "stages.second.unlock=dense5")) == 2
    with pytest.raises(
        FeatxError, match=r"stage second: unknown module to unlock of onet 'dence5'"
    ):
        plan(two, "stages.second.unlock=dence5")


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ("weights/nowhere.safetensors", "is not there; check the path"),
        ("mtccn", "unknown weights for onet 'mtccn': did you mean mtcnn"),
    ],
)
def test_weights_that_are_not_there(two, weights, message):
    with pytest.raises(FeatxError, match=message):
        plan(two, f"weights={weights}")


def test_weights_that_can_be_fetched_are_not_fetched_to_plan(made, monkeypatch):
    import featx.weights as weights

    def fetch(*given, **options):
        raise AssertionError("planning downloads nothing")

    monkeypatch.setattr(weights.torch.hub, "get_dir", lambda: str(made / "empty"))
    monkeypatch.setattr(weights.torch.hub, "download_url_to_file", fetch)
    assert plan(made, "backbone=vgg16", "weights=imagenet")


def test_too_few_images_for_batch_normalisation(made):
    make_folder(made / "one", subjects=2, each=1, seed=2, dataset="one")
    changes = ["backbone=resnet18", "weights=random", "stages.0.data.tables=[one]"]
    told = r"stage target: 1 training image: the batch normalisation of resnet18 needs two or more"
    with pytest.raises(FeatxError, match=told):
        plan(made, *changes, "stages.0.data.validation=0.5")
    assert plan(made, *changes, "stages.0.data.validation=0.5", "stages.0.unlock=head")
    (settled,) = plan(
        made, *changes, "stages.0.data.validation=null", "stages.0.schedule={name: constant}"
    )
    assert len(settled.data.train) == 2
    with pytest.raises(FeatxError, match="2 training images for 2 processes"):
        plan(
            made,
            *changes,
            "stages.0.data.validation=null",
            "stages.0.schedule={name: constant}",
            processes=2,
        )
    with pytest.raises(FeatxError, match="1 training image:"):
        run_stage(
            replace(settled, data=StageData(settled.data.train.take(np.arange(1)), None)),
            load_network("resnet18", "random"),
            made / "out",
            Processes(0, 1, torch.device("cpu")),
        )

"""What can be shown of a network before its fine-tuning."""

import pytest
import torch
from safetensors.torch import save_file

from featx.backbones import create
from featx.errors import FeatxError
from featx.explanation.choice import choose
from featx.explanation.sides import sides
from featx.heads import HeadSpec
from featx.weights import load_network

from .made_networks import untrained


def before(model, weights, *given, **options):
    return sides(model, choose(model, *given), weights, **options)[0]


def test_alone_there_is_no_side_before(model):
    (alone,) = sides(model, choose(model))
    assert alone.name == ""
    assert alone.network is model.network


def test_random_weights_come_with_heads_of_the_same_draw(model):
    side = before(model, "random", [], ["age", "male"], seed=5)
    assert side.network.weights == "random:5"
    assert set(side.scores) == {"age", "male"}
    trunk = load_network("onet", "random:5").module.state_dict()
    state = side.network.module.state_dict()
    assert all(state[name].equal(trunk[name]) for name in trunk if name.startswith("conv"))
    trained = model.network.module.state_dict()
    assert state.keys() == trained.keys()
    weights = [name for name in state if name.endswith("output.weight")]
    assert len(weights) == 2
    assert not any(state[name].equal(trained[name]) for name in weights)
    other = before(model, "random:5").network.module.state_dict()
    assert all(state[name].equal(other[name]) for name in state)


def test_weights_without_a_head_have_no_grad_cam(model):
    side = before(model, "mtcnn")
    assert side.scores == {}
    assert side.told() == "mtcnn; it has no head, so no Grad-CAM before"
    assert before(model, "mtcnn", ["features"]).told() == "mtcnn"


def test_a_classifier_of_its_own_is_explained_by_its_likeliest_class(model, tmp_path):
    torch.manual_seed(0)
    save_file(create("onet", 7).state_dict(), tmp_path / "faces.safetensors")
    side = before(model, str(tmp_path / "faces.safetensors"))
    assert side.told() == ("faces.safetensors; tells no age; Grad-CAM of its own likeliest class")
    maps = side.place_maps(torch.randn(2, 3, 48, 48), choose(model))
    assert {name: each.shape for name, each in maps.items()} == {"grad-cam/likeliest": (2, 3, 3)}


def test_an_earlier_stage_tells_what_its_head_tells(model, groups_file):
    side = before(model, str(groups_file.parent), ["grad-cam"], ["age", "34"])
    assert set(side.scores) == {"age"}
    assert side.told() == "network.safetensors; its head does not tell 34"


def test_weights_that_do_not_fit_are_told_by_the_option(model, tmp_path):
    with pytest.raises(FeatxError, match=r"--before .*no.pth is not there"):
        before(model, str(tmp_path / "no.pth"))
    with pytest.raises(FeatxError, match="unknown weights for onet 'mtcn': did you mean mtcnn"):
        before(model, "mtcn")
    spec = HeadSpec("regression")
    small = untrained(tmp_path / "a", "resnet18:input=64", spec)
    untrained(tmp_path / "b", "resnet18", spec)
    with pytest.raises(FeatxError, match="it is a fine-tuned resnet18; use"):
        before(small, str(tmp_path / "b"))

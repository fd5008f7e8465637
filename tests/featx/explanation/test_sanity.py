"""Drawn weights destroy the maps of a trained network; a map of the picture alone is caught."""

import itertools

import numpy as np
import pytest
import torch
from scipy.ndimage import sobel

from featx.datasets.generate import draw_face, random_identity
from featx.explanation.choice import choose
from featx.explanation.sanity import check, count_steps, table
from featx.explanation.sides import rgb, sides
from featx.explanation.untrained import cascade, untrained, weighted_units
from featx.heads import HeadSpec
from featx.loading import pixel_array
from featx.weights import load_network

from .made_networks import untrained as untrained_file


def made(name, folder):
    return untrained_file(folder, name, HeadSpec("softmax", tuple(map(float, range(9))))).network


@pytest.fixture(scope="module")
def faces():
    rng = np.random.default_rng(1)
    return [draw_face(age, random_identity(rng), size=(64, 64)) for age in range(5, 85, 10)]


@pytest.fixture
def shown(model, faces):
    pixels = np.stack([pixel_array(face, model.preprocessing) for face in faces])
    return rgb(pixels, model.preprocessing)


def mapper(model, shown, *given):
    explaining = choose(model, *given)
    (side,) = sides(model, explaining)
    return lambda module: side.with_module(module).place_maps(side.input(shown), explaining)


def edges(shown):
    light = shown.mean(3)
    return np.hypot(sobel(light, 1), sobel(light, 2))


def test_grad_cam_of_a_trained_network_depends_on_its_weights(model, shown):
    told = []
    found = check(
        model.network, mapper(model, shown, ["grad-cam"], ["age", "male"]), advance=told.append
    )
    assert sum(told) == count_steps(model.network)
    assert {name: each.places for name, each in found.maps.items()} == {
        "grad-cam/age": 9,
        "grad-cam/male": 9,
    }
    for name in found.maps:
        assert found.depends(name), found.verdict(name)
        assert found.last(name).rank < 0.5
        assert found.verdict(name).startswith("depends on the weights: rank correlation ")
    assert "does NOT" not in table(found)


def test_edges_of_the_picture_fail(model, shown):
    found = check(model.network, lambda module: {"edges": edges(shown)})
    assert not found.depends("edges")
    step = found.last("edges")
    assert (step.rank, step.rank_of_sizes, step.ssim) == pytest.approx((1, 1, 1))
    assert found.describe()["maps"]["edges"]["depends_on_weights"] is False
    assert "edges (2304 places, 8 faces): does NOT depend on the weights" in table(found)


def test_edges_turned_dark_fail_too(model, shown):
    seen = []

    def turned(module):
        seen.append(module)
        return {"edges": edges(shown) * (1 if len(seen) == 1 else -1)}

    found = check(model.network, turned)
    assert found.last("edges").rank == pytest.approx(-1)
    assert not found.depends("edges")


def test_noise_passes_and_an_even_map_does_not(model):
    rng = np.random.default_rng(0)

    def noise(module):
        return {"noise": rng.normal(size=(6, 20, 20)), "even": np.ones((6, 20, 20))}

    found = check(model.network, noise)
    assert found.depends("noise")
    assert abs(found.last("noise").rank) < 0.1
    assert not found.depends("even")
    assert found.verdict("even") == "is the same everywhere on every face, and explains nothing"


def test_a_check_without_drawn_maps_shows_nothing(model, shown):
    seen = []

    def dead(module):
        seen.append(module)
        return {"map": edges(shown) if len(seen) == 1 else np.zeros((8, 48, 48))}

    found = check(model.network, dead)
    assert found.last("map").flat == 1
    assert not found.depends("map")
    assert found.verdict("map").startswith("could not be checked: with drawn weights 100% of the")


def test_drawn_normalisations_fit_the_images(tmp_path):
    network = made("mobilefacenet", tmp_path)
    images = torch.randn(3, 3, 112, 96)
    plain, settled = untrained(network, 1), untrained(network, 1, images)
    given = []
    for module in (plain, settled):
        norm = module.get_submodule("blocks.9.conv.4")
        norm.register_forward_hook(lambda own, x, y: given.append(y))
        with torch.inference_mode():
            module(torch.cat([images, images.flip(3)]))
    before, after = (each.transpose(0, 1).flatten(1) for each in given)
    torch.testing.assert_close(after.std(1), torch.ones(len(after)), atol=0.02, rtol=0)
    torch.testing.assert_close(after.mean(1), torch.zeros(len(after)), atol=0.02, rtol=0)
    assert before.std() > 3
    weights = (each.state_dict()["blocks.9.conv.3.weight"] for each in (plain, settled))
    assert next(weights).equal(next(weights))


def test_units_are_the_parts_that_run_the_last_first(model):
    assert weighted_units(model.network) == [
        "classifier", "dense5", "prelu4", "conv4", "prelu3", "conv3", "prelu2", "conv2",
        "prelu1", "conv1",
    ]  # fmt: skip
    trunk = weighted_units(load_network("mobilefacenet", "random"))
    assert trunk[:3] == ["linear1", "linear7", "conv2"]
    assert trunk[3:-2] == [f"blocks.{n}" for n in range(14, -1, -1)]
    assert trunk[-2:] == ["dw_conv1", "conv1"]


def test_the_cascade_ends_in_a_network_that_was_never_trained(model):
    images = torch.randn(2, 3, 48, 48, generator=torch.Generator().manual_seed(0))
    trained = {name: value.clone() for name, value in model.network.module.state_dict().items()}
    drawn = untrained(model.network, 4)
    changed = []
    with torch.inference_mode():
        for unit, network in cascade(model.network, drawn, weighted_units(model.network)):
            state = network.state_dict()
            changed.append({n for n in state if not state[n].equal(trained[n])})
            assert any(name.startswith(unit) for name in changed[-1]) or "prelu" in unit
        assert network(images).equal(drawn(images))
    assert all(a <= b for a, b in itertools.pairwise(changed))
    assert all(name.startswith("classifier") for name in changed[0])
    state = model.network.module.state_dict()
    assert all(state[name].equal(trained[name]) for name in trained)
    again, other = (untrained(model.network, seed).state_dict() for seed in (4, 5))
    assert all(value.equal(again[name]) for name, value in drawn.state_dict().items())
    assert not other["conv1.weight"].equal(again["conv1.weight"])

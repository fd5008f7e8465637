"""Grad-CAM against closed forms on networks whose gradients are known."""

import pytest
import torch
from torch import nn

from featx.errors import FeatxError
from featx.explanation.grad_cam import Target, grad_cam, likeliest_score, read_target
from featx.heads import GENDERS, Heads, HeadSpec
from featx.prediction.model import load_model


class Toy(nn.Module):
    """A convolution, ReLU in place, the mean of each map, and a linear layer: CAM's network."""

    def __init__(self, power=1):
        super().__init__()
        self.conv = nn.Conv2d(3, 5, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)
        self.output = nn.Linear(5, 4)
        self.power = power

    def forward(self, x):
        maps = self.relu(self.conv(x))
        return self.output(maps.mean((2, 3)) ** self.power)


@pytest.fixture
def toy():
    torch.manual_seed(3)
    return Toy().eval()


IMAGES = torch.randn(2, 3, 6, 4, generator=torch.Generator().manual_seed(1))


def test_of_a_linear_layer_on_means_it_is_cam(toy):
    # Zhou et al. 2016: Σ w_k A_k; the gradient of a mean over h·w places brings the factor
    with torch.no_grad():
        maps = toy.conv(IMAGES).relu()
    for index in range(4):
        wanted = torch.einsum("k,nkhw->nhw", toy.output.weight[index], maps) / 24
        found = grad_cam(toy, "relu", IMAGES, lambda given, i=index: given[:, i])
        torch.testing.assert_close(found, wanted.detach())


def test_what_follows_in_place_does_not_change_it(toy):
    # the maps before the ReLU, which overwrites them; its gradient is where they are above 0
    with torch.no_grad():
        before = toy.conv(IMAGES)
    weights = toy.output.weight[2] / 24 * (before > 0).float().mean((2, 3))
    wanted = torch.einsum("nk,nkhw->nhw", weights, before)
    found = grad_cam(toy, "conv", IMAGES, lambda given: given[:, 2])
    torch.testing.assert_close(found, wanted.detach())


def test_of_squared_means(toy):
    toy.power = 2
    with torch.no_grad():
        maps = toy.conv(IMAGES).relu()
    weights = toy.output.weight[1] * 2 * maps.mean((2, 3)) / 24
    wanted = torch.einsum("nk,nkhw->nhw", weights, maps)
    found = grad_cam(toy, "relu", IMAGES, lambda given: given[:, 1])
    torch.testing.assert_close(found, wanted.detach())


def test_of_a_probability(toy):
    # ∂p_c/∂z_j = p_c (δ_cj - p_j), and then CAM's weights
    with torch.no_grad():
        maps = toy.conv(IMAGES).relu()
        p = toy(IMAGES).softmax(1)
    slope = p[:, [1]] * (torch.eye(4)[1] - p)
    wanted = torch.einsum("nk,nkhw->nhw", slope @ toy.output.weight / 24, maps)
    found = grad_cam(toy, "relu", IMAGES, lambda given: given.softmax(1)[:, 1])
    torch.testing.assert_close(found, wanted.detach())


def test_it_needs_no_gradients_of_the_weights_and_leaves_none(toy):
    wanted = grad_cam(toy, "relu", IMAGES, lambda given: given[:, 0])
    toy.requires_grad_(False)
    found = grad_cam(toy, "relu", IMAGES, lambda given: given[:, 0])
    assert found.equal(wanted)
    assert not found.requires_grad
    assert not IMAGES.requires_grad
    assert not any(module._forward_hooks for module in toy.modules())


def test_it_needs_a_feature_map(toy):
    with pytest.raises(FeatxError, match="gives no feature map"):
        grad_cam(toy, "output", IMAGES, lambda given: given[:, 0])


def test_scores_are_the_expected_age_and_classes():
    years = HeadSpec("softmax", (10.0, 20.0, 30.0))
    heads = Heads(7, [years, HeadSpec("softmax", (0.0, 1.0), GENDERS, task="gender")])
    outputs = torch.randn(4, 5)
    p = outputs[:, :3].softmax(1)
    wanted = p @ torch.tensor([10.0, 20.0, 30.0])
    torch.testing.assert_close(Target("age", "age").score(heads, outputs), wanted)
    assert Target("20", "age", 1).score(heads, outputs).equal(p[:, 1])
    assert Target("20", "age", 1).score(heads, outputs, "logit").equal(outputs[:, 1])
    assert Target("male", "gender", 1).score(heads, outputs, "logit").equal(outputs[:, 4])
    likeliest = Target("likeliest", "age", likeliest=True)
    assert likeliest.score(heads, outputs).equal(p.max(1).values)
    assert likeliest.score(heads, outputs, "logit").equal(outputs[:, :3].max(1).values)
    assert likeliest_score(outputs[:, :3]).equal(p.max(1).values)
    assert likeliest_score(outputs, "logit").equal(outputs.max(1).values)
    corn = Heads(7, [HeadSpec("corn", (6.0, 20.0), ("0-12", "15-25"))])
    older = torch.tensor([[0.3]])
    wanted = (1 - older.sigmoid()[:, 0]).log()
    torch.testing.assert_close(Target("0-12", "age", 0).score(corn, older, "logit"), wanted)
    torch.testing.assert_close(Target("0-12", "age", 0).score(corn, older), wanted.exp())


def test_targets_are_what_the_network_tells(model, groups_file):
    assert read_target("age", model.specs) == Target("age", "age")
    assert read_target("34", model.specs) == Target("34", "age", 34)
    assert read_target("male", model.specs) == Target("male", "gender", 1)
    assert read_target("likeliest", model.specs) == Target("likeliest", "age", likeliest=True)
    groups = load_model(groups_file).specs
    assert read_target("15-30", groups) == Target("15-30", "age", 1)
    with pytest.raises(FeatxError, match="unknown target 'male'"):
        read_target("male", groups)
    with pytest.raises(FeatxError, match="did you mean 15-30"):
        read_target("15-31", groups)

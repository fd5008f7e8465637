"""The joined networks: what reaches the head, what the other network adds, what e2e weighs."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from featx.backbones import create, cross_modal, get_backbone, list_backbones
from featx.backbones.levi_hassner import copy_trunk

TRUNK = 8_855_040  # counted in test_levi_hassner

#: Features that reach the head, and parameters of the head and of FC3.
NETWORKS = {
    "levi_hassner_manual1_fc1": (1024, 1024 * 512 + 512 + 512 * 8 + 8),
    "levi_hassner_manual1_fc2": (1024, 1024 * 512 + 512 + 512 * 8 + 8),
    "levi_hassner_manual2_fc1": (1024, 512 * 512 + 512 + 1024 * 8 + 8),
    "levi_hassner_manual2_fc2": (1024, 512 * 512 + 512 + 1024 * 8 + 8),
    "levi_hassner_e2e": (3072, 2 * (1024 * 512 + 512 + 512 * 512 + 512) + 3072 * 8 + 8),
    "levi_hassner_no_embedding": (512, 512 * 512 + 512 + 512 * 8 + 8),
}
JOINED = [name for name in NETWORKS if name != "levi_hassner_no_embedding"]


@pytest.fixture(scope="module")
def images():
    return torch.randn(2, 3, 227, 227, generator=torch.Generator().manual_seed(0)) * 60


def made(name, seed=0):
    torch.manual_seed(seed)
    return create(name)


def test_names():
    found = {name for name in list_backbones() if name.startswith("levi_hassner_")}
    assert found == set(cross_modal.NAMES) == set(NETWORKS)


@pytest.mark.parametrize("name", NETWORKS)
def test_parameters_and_features_add_up(name):
    features, rest = NETWORKS[name]
    with torch.device("meta"):
        network = create(name)
        seen = []
        network.head.register_forward_pre_hook(lambda module, given: seen.append(given[0].shape))
        network(torch.empty(2, 3, 227, 227))
    assert seen == [(2, features)]
    others = 2 if name in JOINED else 1
    assert sum(p.numel() for p in network.parameters()) == others * TRUNK + rest


@pytest.mark.parametrize("name", JOINED)
def test_the_other_network_feeds_the_features(name, images):
    network = made(name)
    assert get_backbone(name).frozen == ("other",)
    with torch.no_grad():
        before = network(images)
        network.other.conv1.conv.weight.mul_(2)
        assert not torch.allclose(network(images), before)
        network.other.conv1.conv.weight.div_(2)
        assert torch.equal(network(images), before)
        network.other.fc2[0].weight.mul_(2)
        reaches = not torch.allclose(network(images), before)
    assert reaches == (not name.endswith("_fc1"))  # FC1's embedding does not know of FC2


def test_the_control_has_no_other_network():
    with torch.device("meta"):
        names = [name for name, _ in create("levi_hassner_no_embedding").named_modules()]
    assert not any("other" in name for name in names)
    assert get_backbone("levi_hassner_no_embedding").frozen == ()


def test_e2e_is_the_weighted_sum_of_the_four_variants(images):
    """Each variant as its own network, its output layer a block of e2e's, weighed by a number."""
    weighed = {"manual1_fc1": 0.5, "manual1_fc2": -1.0, "manual2_fc1": 2.0, "manual2_fc2": 0.25}
    torch.manual_seed(0)
    network = create("levi_hassner_e2e")
    total = torch.zeros(2, 8)
    blocks = []
    with torch.no_grad():
        for variant, weight in weighed.items():
            single = made(f"levi_hassner_{variant}", seed=len(blocks))
            copy_trunk(single, network)
            single.other.load_state_dict(network.other.state_dict())
            layer = variant[-3:]
            if variant.startswith("manual1"):
                network.early[layer][0].load_state_dict(single.head.hidden[0].state_dict())
                output = single.head.output
            else:
                network.late[layer].load_state_dict(single.fc3.state_dict())
                output = single.head
            nn.init.normal_(output.weight)
            nn.init.normal_(output.bias)
            blocks.append((weight * output.weight, weight * output.bias))
            total += weight * single(images)
        network.head.weight.copy_(torch.cat([block for block, _ in blocks], 1))
        network.head.bias.copy_(sum(bias for _, bias in blocks))
        torch.testing.assert_close(network(images), total, rtol=1e-4, atol=1e-4)

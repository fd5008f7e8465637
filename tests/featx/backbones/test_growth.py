"""Networks that grow out of others: the trunk is the parent's, and nothing is shared."""

from __future__ import annotations

import pytest
import torch

from featx.backbones import create, cross_modal, get_backbone, grow
from featx.errors import FeatxError
from featx.heads import HeadSpec, attach_heads

GENDER = HeadSpec("softmax", (0.0, 1.0))


@pytest.fixture(scope="module")
def images():
    return torch.randn(2, 3, 227, 227, generator=torch.Generator().manual_seed(0)) * 60


def fine_tuned(name):
    """Return a network as a stage leaves it, with weights unlike those of any other seed."""
    torch.manual_seed(7)
    network = create(name)
    attach_heads(network, get_backbone(name), [GENDER])
    return network


def at(network, module, images):
    seen = []
    hook = network.get_submodule(module).register_forward_hook(lambda m, i, o: seen.append(o))
    with torch.no_grad():
        network(images)
    hook.remove()
    return seen[0]


@pytest.mark.parametrize("name", cross_modal.NAMES)
@pytest.mark.parametrize("parent_name", ["levi_hassner", "levi_hassner_manual2_fc1"])
def test_trunk_and_embedding_are_the_parents(name, parent_name, images):
    parent = fine_tuned(parent_name)
    network = grow(name, parent, parent_name, seed=1)
    assert not network.training
    for layer in ("fc1", "fc2"):
        wanted = at(parent, layer, images)
        assert torch.equal(at(network, layer, images), wanted)
        if get_backbone(name).frozen:
            assert torch.equal(at(network, f"other.{layer}", images), wanted)


def test_parent_keeps_its_own_tensors():
    parent = fine_tuned("levi_hassner")
    before = {name: tensor.clone() for name, tensor in parent.state_dict().items()}
    network = grow("levi_hassner_manual2_fc2", parent, "levi_hassner")
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
    assert all(torch.equal(before[name], tensor) for name, tensor in parent.state_dict().items())


def test_refinement_passes_on_the_parents_own_trunk_and_not_what_it_was_fed():
    parent = fine_tuned("levi_hassner_e2e")
    network = grow("levi_hassner_e2e", parent, "levi_hassner_e2e")
    assert torch.equal(network.other.fc1[0].weight, parent.fc1[0].weight)
    assert not torch.equal(network.other.fc1[0].weight, parent.other.fc1[0].weight)


def test_seed_decides_the_rest_and_other_random_numbers_go_on_undisturbed():
    parent = fine_tuned("levi_hassner")
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    first, again, other = (
        grow("levi_hassner_manual2_fc1", parent, "levi_hassner", seed=seed) for seed in (0, 0, 1)
    )
    assert torch.equal(torch.rand(1), expected)
    assert torch.equal(first.fc3[0].weight, again.fc3[0].weight)
    assert not torch.equal(first.fc3[0].weight, other.fc3[0].weight)


def test_no_way_is_told_in_a_line():
    with torch.device("meta"):
        parent = create("resnet50")
    with pytest.raises(FeatxError, match=r"to grow levi_hassner_e2e from 'resnet50'.*known: levi"):
        grow("levi_hassner_e2e", parent, "resnet50")
    with pytest.raises(FeatxError, match="resnet50 does not grow"):
        grow("resnet50", parent, "resnet50")
    with pytest.raises(FeatxError, match="did you mean levi_hassner"):
        grow("levi_hassner_e2e", parent, "levi_hasner")


def test_smaller_networks_grow_out_of_those_of_their_size(images):
    parent = fine_tuned("levi_hassner:input=115")
    network = grow("levi_hassner_e2e:input=115", parent, "levi_hassner:input=115")
    smaller = images[:, :, :115, :115]
    assert torch.equal(at(network, "other.fc2", smaller), at(parent, "fc2", smaller))
    with pytest.raises(FeatxError, match="did you mean levi_hassner:input=115"):
        grow("levi_hassner_e2e:input=115", fine_tuned("levi_hassner"), "levi_hassner")

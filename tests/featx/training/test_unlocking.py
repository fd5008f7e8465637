"""What a stage may change: nothing else moves, and locked normalisation stands still."""

import copy

import pytest
import torch
from torch import nn

from featx.backbones import create, get_backbone
from featx.errors import FeatxError
from featx.training.unlocking import training_mode, unlock

LAST = {"mobilefacenet": "conv2", "resnet50": "layer4", "vgg16": "features.28"}


@pytest.fixture(scope="module", params=LAST)
def made(request):
    torch.manual_seed(0)
    entry = get_backbone(request.param)
    with torch.device("meta"):
        network = create(request.param)
        network.set_submodule(entry.head, nn.Linear(4, 3))
    return entry, network


def test_all_unlocks_all(made):
    entry, network = made
    assert unlock(network, entry, "all") == [name for name, _ in network.named_parameters()]
    assert all(parameter.requires_grad for parameter in network.parameters())


def test_head_unlocks_the_head_alone(made):
    entry, network = made
    names = unlock(network, entry, "head")
    assert names == [f"{entry.head}.weight", f"{entry.head}.bias"]
    assert {name for name, p in network.named_parameters() if p.requires_grad} == set(names)


def test_from_a_module_on_unlocks_it_what_follows_and_the_head(made):
    entry, network = made
    everything = [name for name, _ in network.named_parameters()]
    names = unlock(network, entry, LAST[entry.name])
    first = everything.index(names[0])
    assert names == everything[first:]
    assert f"{entry.head}.weight" in names
    assert 1 < len(names) < len(everything)


def test_an_unknown_module_is_told_with_near_matches():
    with torch.device("meta"):
        network = create("resnet50")
    with pytest.raises(FeatxError, match="did you mean layer4"):
        unlock(network, get_backbone("resnet50"), "layer44")


def test_a_step_moves_what_is_unlocked_and_nothing_else():
    torch.manual_seed(0)
    entry = get_backbone("mobilefacenet")
    network = create("mobilefacenet")
    network.set_submodule(entry.head, nn.Linear(128, 3))
    before = copy.deepcopy(network.state_dict())
    unlocked = set(unlock(network, entry, "conv2"))
    training_mode(network)
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimiser = torch.optim.AdamW(parameters, lr=0.01, weight_decay=0.1)
    network(torch.randn(4, 3, 112, 96)).square().mean().backward()
    optimiser.step()
    moved = {
        name for name, value in network.state_dict().items() if not torch.equal(value, before[name])
    }
    statistics = {name for name in moved if "running" in name or "num_batches" in name}
    assert moved - statistics == unlocked
    owners = {name.rsplit(".", 1)[0] for name in statistics}
    assert owners  # normalisation that is unlocked keeps count
    assert owners <= {name.rsplit(".", 1)[0] for name in unlocked}


@pytest.fixture
def joined():
    torch.manual_seed(0)
    return get_backbone("levi_hassner_manual2_fc2"), create("levi_hassner_manual2_fc2")


@pytest.mark.parametrize("what", ["all", "fc1", "conv1.pool", "head"])
def test_frozen_modules_are_never_unlocked(joined, what):
    entry, network = joined
    names = unlock(network, entry, what)
    assert names
    assert not any(name.startswith("other.") for name in names)
    assert not any(parameter.requires_grad for parameter in network.other.parameters())
    if what == "fc1":
        assert {name.split(".")[0] for name in names} == {"fc1", "fc2", "fc3", "head"}


@pytest.mark.parametrize("what", ["other", "other.fc1"])
def test_frozen_modules_cannot_be_asked_for(joined, what):
    entry, network = joined
    with pytest.raises(FeatxError, match=f"{what} cannot be unlocked"):
        unlock(network, entry, what)


def test_frozen_modules_stay_in_evaluation_mode_in_copies_and_wrappers_too(joined):
    entry, network = joined
    unlock(network, entry, "all")
    wrapped = nn.Sequential(copy.deepcopy(network))  # as a wrapper of several processes does
    training_mode(wrapped)
    assert not any(module.training for module in wrapped[0].other.modules())
    assert all(m.training for n, m in wrapped[0].named_modules() if not n.startswith("other"))


def test_a_step_leaves_a_frozen_network_and_what_it_gives_as_they_were(joined):
    entry, network = joined
    before = copy.deepcopy(network.state_dict())
    unlocked = set(unlock(network, entry, "all"))
    network.to(memory_format=torch.channels_last)
    images = torch.randn(2, 3, 227, 227) * 60
    with torch.no_grad():
        embedding = network.other.embeddings(images)["fc2"]
    training_mode(network)
    optimiser = torch.optim.SGD(network.parameters(), lr=0.1, weight_decay=0.1)
    network(images).square().mean().backward()
    optimiser.step()
    moved = {name for name, v in network.state_dict().items() if not torch.equal(v, before[name])}
    assert moved == unlocked
    assert torch.equal(network.other.embeddings(images)["fc2"], embedding)  # no dropout in it

"""What a backbone's entry asks of a stage: modules it leaves alone, options it remembers."""

import pytest
import torch
from torch import nn

from featx.training.cascade import run_cascade, start_network
from featx.training.config.cascade_file import read_cascade
from featx.training.planning import plan_stages
from featx.training.processes import Processes

ALONE = Processes(0, 1, torch.device("cpu"))


def train(made, backbone, *changes):
    changes = [f"backbone={backbone}", "weights=random:1", "stages.0.epochs=1", *changes]
    cascade = read_cascade(made / "cascade.yaml", changes)
    return start_network(cascade), run_cascade(cascade, plan_stages(cascade), made / "out", ALONE)


@pytest.mark.parametrize("place", ["manual1_fc1", "e2e"])
def test_a_stage_leaves_the_frozen_network_bit_by_bit(made, place):
    parent, network = train(made, f"levi_hassner_{place}", "stages.0.unlock=all")
    before, after = parent.module.state_dict(), network.module.state_dict()
    shared = [name for name in before if name in after and not name.startswith("head")]
    kept = {name for name in shared if torch.equal(before[name], after[name])}
    assert kept == {name for name in before if name.startswith("other.")}


def test_a_searched_network_is_trained_and_found_again(made):
    _, network = train(made, "agenet:kernel=5,filters=4,conv_layers=3")
    assert network.backbone.name == "agenet:conv_layers=3,filters=4,kernel=5"
    widths = [m.out_channels for m in network.module.modules() if isinstance(m, nn.Conv2d)]
    assert widths == [4, 8, 16]

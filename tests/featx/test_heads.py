"""Heads: shapes, initial values, and how outputs are read."""

import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from featx.backbones import create, get_backbone, list_backbones
from featx.errors import FeatxError
from featx.heads import Head, HeadSpec, attach_heads

YEARS = (0.0, 10.0, 20.0, 35.0, 60.0)


@given(
    kind=st.sampled_from(["softmax", "coral", "corn"]),
    seed=st.integers(0, 10**6),
    n=st.integers(1, 8),
)
@settings(deadline=None, max_examples=40)
def test_probabilities_are_probabilities_and_ages_their_expected_value(kind, seed, n):
    head = Head(3, HeadSpec(kind, YEARS))
    outputs = torch.from_numpy(
        np.random.default_rng(seed).normal(scale=4, size=(n, head.spec.outputs))
    ).float()
    probable = head.probabilities(outputs)
    assert probable.shape == (n, len(YEARS))
    assert (probable >= 0).all()
    assert torch.allclose(probable.sum(1), torch.ones(n), atol=1e-5)
    by_hand = [sum(p * y for p, y in zip(row, YEARS, strict=True)) for row in probable.tolist()]
    assert head.ages(outputs).tolist() == pytest.approx(by_hand, abs=1e-3)


def test_corn_multiplies_conditional_probabilities():
    head = Head(3, HeadSpec("corn", (1.0, 2.0, 3.0)))
    chances = torch.tensor([[0.8, 0.5]])
    probable = head.probabilities(torch.logit(chances))
    assert probable[0].tolist() == pytest.approx([0.2, 0.8 * 0.5, 0.8 * 0.5])


def test_coral_takes_differences_of_cumulative_probabilities():
    head = Head(3, HeadSpec("coral", (1.0, 2.0, 3.0)))
    probable = head.probabilities(torch.logit(torch.tensor([[0.8, 0.5]])))
    assert probable[0].tolist() == pytest.approx([0.2, 0.3, 0.5])


def test_plain_regression_has_an_age_and_no_probabilities():
    head = Head(3, HeadSpec("regression"))
    assert head.ages(torch.tensor([[31.5]])).tolist() == [31.5]
    with pytest.raises(FeatxError, match="no class probabilities"):
        head.probabilities(torch.zeros(1, 1))


def test_new_layers_are_drawn_as_he_et_al():
    torch.manual_seed(0)
    head = Head(2000, HeadSpec("softmax", tuple(range(500)), hidden=(1000,)))
    for layer, fan_in in ((head.hidden[0], 2000), (head.output, 1000)):
        assert float(layer.weight.detach().std()) == pytest.approx(math.sqrt(2 / fan_in), rel=0.02)
        assert float(layer.weight.detach().mean()) == pytest.approx(0, abs=1e-3)
        assert not layer.bias.detach().any()


@pytest.mark.parametrize("name", list_backbones())
@pytest.mark.parametrize("kind", ["softmax", "coral", "regression"])
def test_a_head_goes_onto_every_backbone(name, kind):
    backbone = get_backbone(name)
    spec = HeadSpec(kind, () if kind == "regression" else YEARS, hidden=backbone.hidden)
    with torch.device("meta"):
        network = create(name)
        attach_heads(network, backbone, [spec])
        outputs = network(torch.zeros(2, 3, *backbone.preprocessing.input_size))
    assert outputs.shape == (2, spec.outputs)


def test_descriptions_are_read_back():
    spec = HeadSpec("softmax", (6.0, 17.5), ("0-12", "15-20"), (512, 256), 0.5)
    assert HeadSpec.from_description(json.loads(json.dumps(spec.describe()))) == spec


@pytest.mark.parametrize(
    "spoilt", [{}, {"kind": "magic"}, {"classes": ["x"]}, {"groups": ["a"]}, {"hidden": None}]
)
def test_malformed_descriptions_are_refused(spoilt):
    good = HeadSpec("softmax", (1.0, 2.0)).describe()
    with pytest.raises(FeatxError, match="malformed description of a head"):
        HeadSpec.from_description({**good, **spoilt} if spoilt else {})

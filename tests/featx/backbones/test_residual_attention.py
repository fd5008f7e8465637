"""Attention-56 against the paper's counts, depth, operations and formula."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from featx.backbones import create, get_backbone
from featx.backbones.residual_attention import ResidualUnit
from featx.errors import FeatxError
from featx.heads import HeadSpec, attach_heads

MASKS = [f"attention{number}.mask" for number in (1, 2, 3)]


@pytest.fixture(scope="module")
def meta():
    with torch.device("meta"):
        return create("residual_attention")


@pytest.fixture(scope="module")
def small():
    torch.manual_seed(0)
    return create("residual_attention:input=64", 3)


def shapes(network, names, size):
    seen = {}

    def note(name):
        def hook(module, given, output):
            seen[name] = tuple(output.shape[1:])

        return hook

    hooks = [network.get_submodule(name).register_forward_hook(note(name)) for name in names]
    network(torch.empty(2, 3, size, size, device="meta"))
    for hook in hooks:
        hook.remove()
    return [seen[name] for name in names]


def unit(inputs, outputs, changes=False):
    """Count a bottleneck's parameters: three convolutions, their normalisations, a shortcut."""
    width = outputs // 4
    convolutions = inputs * width + 9 * width * width + width * outputs
    shortcut = inputs * outputs if changes else 0
    return convolutions + shortcut + 2 * (inputs + width + width)


def test_parameters_add_up_from_the_papers_table_and_are_its_31_9_million(meta):
    total, channels = 3 * 64 * 49 + 2 * 64, 64
    for outputs, poolings in ((256, 3), (512, 2), (1024, 1)):
        total += unit(channels, outputs, changes=True)
        channels = outputs
        in_mask = 2 * poolings + (poolings - 1)  # down and up at every level, skips between them
        total += (1 + 2 + 1 + in_mask) * unit(channels, channels)
        total += 2 * (channels * channels + 2 * channels)
    total += unit(1024, 2048, changes=True) + 2 * unit(2048, 2048) + 2 * 2048
    total += 2048 * 1000 + 1000
    assert sum(p.numel() for p in meta.parameters()) == total == 31_810_728
    # the authors' Caffe keeps means and variances among the layers' parameters
    statistics = sum(b.numel() for n, b in meta.named_buffers() if "running" in n)
    assert round((total + statistics) / 1e6, 1) == 31.9


def test_multiplications_are_the_papers_6_2_thousand_million(meta):
    counted = []

    def count(module, given, output):
        a_value = module.weight[0].numel()
        counted.append(a_value * output[0].numel())

    hooks = [
        module.register_forward_hook(count)
        for module in meta.modules()
        if isinstance(module, nn.Conv2d | nn.Linear)
    ]
    meta(torch.empty(1, 3, 224, 224, device="meta"))
    for hook in hooks:
        hook.remove()
    assert 6.2e9 <= sum(counted) < 6.3e9


def test_trunk_is_56_layers_deep(meta):
    outside = [n for n, m in meta.named_modules() if isinstance(m, nn.Conv2d) and ".mask." not in n]
    assert len([name for name in outside if "shortcut" not in name]) + 1 == 56  # the head


def test_masks_are_layers_by_name_and_as_large_as_what_they_weigh(meta):
    assert shapes(meta, MASKS, 224) == [(256, 56, 56), (512, 28, 28), (1024, 14, 14)]
    coarse = ["attention1.mask.0.inner.inner.down", "attention2.mask.0.inner.down"]
    assert shapes(meta, [*coarse, "attention3.mask.0.down"], 224) == [
        (256, 7, 7),
        (512, 7, 7),
        (1024, 7, 7),
    ]


@pytest.mark.parametrize("size", [64, 96, 128, 160, 320])
def test_other_sizes_fit(size):
    name = f"residual_attention:input={size}"
    backbone = get_backbone(name)
    assert backbone.preprocessing.input_size == (size, size)
    assert backbone.preprocessing.mean == get_backbone("residual_attention").preprocessing.mean
    with torch.device("meta"):
        network = create(name)
        attach_heads(network, backbone, [HeadSpec("softmax", (1.0, 2.0))])
    names = [*MASKS, backbone.last_conv, "head"]
    quarter = size // 4
    assert shapes(network, names, size) == [
        (256, quarter, quarter),
        (512, quarter // 2, quarter // 2),
        (1024, quarter // 4, quarter // 4),
        (2048, size // 32, size // 32),
        (2,),
    ]


def test_sizes_that_do_not_fit_are_refused():
    for size in (32, 100, 2048):
        with pytest.raises(FeatxError, match="give 64 to 1024 in steps of 32"):
            get_backbone(f"residual_attention:input={size}")


def test_features_are_weighed_by_one_plus_the_mask(small):
    module = small.attention2
    x = torch.randn(2, 512, 8, 8, generator=torch.Generator().manual_seed(1))
    last = module.mask[-2].weight
    with torch.no_grad():
        mask = module.mask(x)
        assert mask.shape == x.shape
        assert 0 <= float(mask.min()) < float(mask.max()) <= 1
        kept = last.clone()
        last.zero_()  # the mask is 0.5 everywhere
        expected = module.after(1.5 * module.trunk(module.before(x)))
        torch.testing.assert_close(module(x), expected)
        last.copy_(kept)
        assert not torch.allclose(module(x), expected)


def test_units_leave_a_clean_path(small):
    kept = ResidualUnit(8, 8).eval()
    changed = ResidualUnit(8, 16, stride=2).eval()
    x = torch.randn(2, 8, 6, 6)
    with torch.no_grad():
        kept.conv3.weight.zero_()
        changed.conv3.weight.zero_()
        assert torch.equal(kept(x), x)
        active = changed.bn1(x).relu()
        by_hand = torch.einsum("oi,nihw->nohw", changed.shortcut.weight[:, :, 0, 0], active)
        torch.testing.assert_close(changed(x), by_hand[:, :, ::2, ::2])


def test_gradients_reach_every_parameter(small):
    small.train()
    small(torch.randn(2, 3, 64, 64)).square().sum().backward()
    without = [n for n, p in small.named_parameters() if p.grad is None or not p.grad.any()]
    assert without == []

"""Every loss against an independent computation in NumPy."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from coral_pytorch.losses import corn_loss
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, log_softmax, softmax
from scipy.stats import norm

from featx.errors import FeatxError
from featx.heads import HeadSpec
from featx.training.config.head import KIND_OF_LOSS
from featx.training.losses import Targets, gaussian_labels, make_loss


def config(loss, **numbers):
    defaults = dict.fromkeys(
        ("label_sd", "expected_value_weight", "mean_weight", "variance_weight")
    )
    return SimpleNamespace(loss=loss, **{**defaults, **numbers})


def case(loss, n, classes, seed):
    """Random outputs and targets of a loss, and its head."""
    rng = np.random.default_rng(seed)
    kind = KIND_OF_LOSS[loss]
    years = np.sort(rng.choice(90, classes, replace=False)).astype(float)
    spec = HeadSpec(kind, () if kind == "regression" else tuple(years))
    outputs = rng.normal(scale=3, size=(n, spec.outputs))
    index = rng.integers(0, classes, n)
    return spec, outputs, index, years[index], years


def value(loss, spec, outputs, index, age, weights=None, **numbers):
    targets = Targets(torch.from_numpy(index), torch.tensor(age, dtype=torch.float32))
    given = torch.tensor(outputs, dtype=torch.float32, requires_grad=True)
    weights = None if weights is None else torch.tensor(weights, dtype=torch.float32)
    cost = make_loss(config(loss, **numbers), spec, weights)(given, targets)
    cost.backward()
    assert torch.isfinite(given.grad).all()
    return float(cost.detach())


def each_cross_entropy(outputs, index):
    return -log_softmax(outputs, axis=1)[np.arange(len(index)), index]


def each_distribution(outputs, age, years, sd, weight):
    density = norm.pdf(years[None, :], age[:, None], sd)
    wanted = density / density.sum(1, keepdims=True)
    logs = np.where(wanted > 0, np.log(np.maximum(wanted, 1e-300)), 0.0)
    divergence = (wanted * (logs - log_softmax(outputs, axis=1))).sum(1)
    return divergence + weight * np.abs(softmax(outputs, axis=1) @ years - age)


def each_mean_variance(outputs, index, age, years, mean_weight, variance_weight):
    p = softmax(outputs, axis=1)
    mean = p @ years
    variance = p @ years**2 - mean**2
    return (
        each_cross_entropy(outputs, index)
        + mean_weight * 0.5 * (mean - age) ** 2
        + variance_weight * variance
    )


def each_coral(outputs, index):
    """Binary cross-entropies of being older than each class but the last."""
    older = index[:, None] > np.arange(outputs.shape[1])[None, :]
    p = expit(outputs)
    return -(older * np.log(p) + ~older * np.log1p(-p)).sum(1)


def corn_total(outputs, index):
    """The same, but each only of images that are at least as old; and the number of terms."""
    total, terms = 0.0, 0
    for row, k in zip(outputs, index, strict=True):
        for rank, logit in enumerate(row):
            if k >= rank:
                total -= np.log(expit(logit)) if k > rank else np.log1p(-expit(logit))
                terms += 1
    return total, terms


shapes = given(n=st.integers(1, 12), classes=st.integers(2, 20), seed=st.integers(0, 10**6))


@shapes
@settings(deadline=None, max_examples=25)
def test_cross_entropy(n, classes, seed):
    spec, outputs, index, age, _ = case("cross-entropy", n, classes, seed)
    expected = each_cross_entropy(outputs, index).mean()
    assert value("cross-entropy", spec, outputs, index, age) == pytest.approx(
        expected, rel=1e-4, abs=1e-6
    )


@shapes
@settings(deadline=None, max_examples=25)
def test_label_distribution_is_the_divergence_to_a_gaussian(n, classes, seed):
    spec, outputs, index, age, years = case("label-distribution", n, classes, seed)
    for sd, weight in ((2.0, 0.0), (5.0, 0.3)):
        expected = each_distribution(outputs, age, years, sd, weight).mean()
        got = value(
            "label-distribution",
            *(spec, outputs, index, age),
            label_sd=sd,
            expected_value_weight=weight,
        )
        assert got == pytest.approx(expected, rel=1e-3, abs=1e-4)


@shapes
@settings(deadline=None, max_examples=25)
def test_dldl_v2_adds_the_expected_values_error(n, classes, seed):
    spec, outputs, index, age, years = case("dldl-v2", n, classes, seed)
    expected = each_distribution(outputs, age, years, 2.0, 1.0).mean()
    got = value("dldl-v2", spec, outputs, index, age, label_sd=2.0, expected_value_weight=1.0)
    assert got == pytest.approx(expected, rel=1e-3, abs=1e-4)


@shapes
@settings(deadline=None, max_examples=25)
def test_mean_variance(n, classes, seed):
    spec, outputs, index, age, years = case("mean-variance", n, classes, seed)
    expected = each_mean_variance(outputs, index, age, years, 0.2, 0.05).mean()
    got = value("mean-variance", spec, outputs, index, age, mean_weight=0.2, variance_weight=0.05)
    assert got == pytest.approx(expected, rel=1e-3, abs=1e-6)


@shapes
@settings(deadline=None, max_examples=25)
def test_coral(n, classes, seed):
    spec, outputs, index, age, _ = case("coral", n, classes, seed)
    expected = each_coral(outputs, index).mean()
    assert value("coral", spec, outputs, index, age) == pytest.approx(expected, rel=1e-4, abs=1e-6)


@shapes
@settings(deadline=None, max_examples=25)
def test_corn_asks_each_question_only_of_images_that_pass_the_one_before(n, classes, seed):
    spec, outputs, index, age, _ = case("corn", n, classes, seed)
    total, terms = corn_total(outputs, index)
    got = value("corn", spec, outputs, index, age)
    assert got == pytest.approx(total / n, rel=1e-4, abs=1e-6)
    theirs = corn_loss(torch.tensor(outputs), torch.from_numpy(index), classes)
    assert got == pytest.approx(float(theirs) * terms / n, rel=1e-4, abs=1e-6)
    even = value("corn", spec, outputs, index, age, weights=np.full(classes, 0.7))
    assert even == pytest.approx(0.7 * total / n, rel=1e-4, abs=1e-6)


@shapes
@settings(deadline=None, max_examples=25)
def test_l1_is_the_absolute_error(n, classes, seed):
    spec, outputs, index, age, _ = case("l1", n, classes, seed)
    expected = np.abs(outputs[:, 0] - age).mean()
    assert value("l1", spec, outputs, index, age) == pytest.approx(expected, rel=1e-5)


@shapes
@settings(deadline=None, max_examples=25)
def test_class_weights_multiply_each_images_loss(n, classes, seed):
    spec, outputs, index, age, _ = case("cross-entropy", n, classes, seed)
    weights = np.random.default_rng(seed).uniform(0.1, 3, classes)
    torchs = torch.nn.functional.cross_entropy(
        torch.tensor(outputs), torch.from_numpy(index), torch.tensor(weights), reduction="sum"
    )
    got = value("cross-entropy", spec, outputs, index, age, weights)
    assert got == pytest.approx(float(torchs) / n, rel=1e-4, abs=1e-6)


@given(
    seed=st.integers(0, 10**6), loss=st.sampled_from(sorted(KIND_OF_LOSS)), cut=st.integers(1, 8)
)
@settings(deadline=None, max_examples=40)
def test_parts_of_a_batch_add_up_to_the_batch(seed, loss, cut):
    """What processes and accumulated batches rely on, class weights included."""
    spec, outputs, index, age, _ = case(loss, 9, 6, seed)
    weights = None if loss == "l1" else np.random.default_rng(seed).uniform(0, 3, 6)
    whole = value(loss, spec, outputs, index, age, weights)
    parts = [slice(0, cut), slice(cut, 9)]
    each = [value(loss, spec, outputs[p], index[p], age[p], weights) for p in parts]
    assert whole == pytest.approx((cut * each[0] + (9 - cut) * each[1]) / 9, rel=1e-4, abs=1e-6)


def test_gaussian_labels_sum_to_one_and_peak_at_the_age():
    labels = gaussian_labels(torch.tensor([30.0, 99.0]), torch.arange(101.0), 2.0)
    assert torch.allclose(labels.sum(1), torch.ones(2))
    assert labels.argmax(1).tolist() == [30, 99]


def test_an_unknown_loss_is_told_with_near_matches():
    with pytest.raises(FeatxError, match=r"unknown loss 'dldl': did you mean dldl-v2"):
        make_loss(config("dldl"), HeadSpec("softmax", (1.0, 2.0)))

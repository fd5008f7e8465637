"""Age and gender together: how their losses are weighed, by closed forms and by descent."""

import math

import numpy as np
import pytest
import torch

from featx.heads import GENDERS, Heads, HeadSpec
from featx.training.config.stage import DataSpec, Stage
from featx.training.losses import Targets
from featx.training.task_losses import TaskLosses

AGE = HeadSpec("softmax", (10.0, 20.0, 30.0))
GENDER = HeadSpec("softmax", (0.0, 1.0), GENDERS, task="gender")


def made(weighting, specs=(AGE, GENDER), joined=False):
    stage = Stage(
        name="s",
        data=DataSpec(tables=("x",)),
        epochs=1,
        tasks=tuple(spec.task for spec in specs),
        weighting=weighting,
    )
    return TaskLosses(stage, Heads(4, specs))


@pytest.fixture
def batch():
    torch.manual_seed(0)
    index = torch.tensor([0, 2, 1, 1])
    gender = torch.tensor([1, 0, 0, 1])
    return torch.randn(4, 5), {
        "age": Targets(index, 10.0 * (index + 1)),
        "gender": Targets(gender, gender.float()),
    }


def by_hand(outputs, targets):
    """Mean cross-entropies of both tasks, with NumPy."""
    parts = outputs[:, :3].double().numpy(), outputs[:, 3:].double().numpy()
    found = []
    for scores, task in zip(parts, ("age", "gender"), strict=True):
        log_p = scores - np.log(np.exp(scores).sum(1, keepdims=True))
        found.append(-log_p[np.arange(4), targets[task].index.numpy()].mean())
    return found


def test_fixed_weights(batch):
    age, gender = by_hand(*batch)
    losses = made({"name": "fixed", "age": 2.0, "gender": 0.5})
    assert losses(*batch).item() == pytest.approx(2 * age + 0.5 * gender, rel=1e-5)
    assert losses.to_judge(*batch).item() == pytest.approx(2 * age + 0.5 * gender, rel=1e-5)
    assert losses.parameters_to_train == []


def test_one_task_alone_has_the_weight_1(batch):
    outputs, targets = batch
    losses = made({"name": "uncertainty"}, specs=(AGE,))
    assert losses(outputs[:, :3], targets).item() == pytest.approx(by_hand(*batch)[0], rel=1e-5)
    assert losses.named_weights() == {}


def descend(losses, batch, steps, rate):
    optimiser = torch.optim.SGD(losses.parameters_to_train, lr=rate)
    for _ in range(steps):
        optimiser.zero_grad()
        losses(*batch).backward()
        optimiser.step()
    return losses.named_weights()


def test_linear_weights_run_below_zero_as_the_paper_writes_them(batch):
    age, gender = by_hand(*batch)
    found = descend(made({"name": "linear"}), batch, steps=10, rate=0.5)
    # the gradient of each weight is its loss, which is never negative
    assert found["weight_age"] == pytest.approx(1 - 5 * age, rel=1e-4)
    assert found["weight_gender"] == pytest.approx(1 - 5 * gender, rel=1e-4)
    assert max(found.values()) < 0


def test_uncertainty_settles_where_its_derivative_is_zero(batch):
    found = descend(made({"name": "uncertainty"}), batch, steps=400, rate=0.5)
    # d/ds (exp(-s) L + s/2) = 0 at exp(-s) = 1 / (2 L)
    for task, loss in zip(("age", "gender"), by_hand(*batch), strict=True):
        assert found[f"weight_{task}"] == pytest.approx(1 / (2 * loss), rel=1e-3)


def test_softmax_weights_stay_positive_and_sum_to_the_number_of_tasks(batch):
    age, gender = by_hand(*batch)
    found = descend(made({"name": "softmax"}), batch, steps=50, rate=0.5)
    assert sum(found.values()) == pytest.approx(2)
    assert min(found.values()) > 0
    assert (found["weight_age"] > 1) == (age < gender)  # the easier task's rises


@pytest.mark.parametrize("name", ["linear", "uncertainty", "softmax"])
def test_epochs_are_judged_without_trained_weights(batch, name):
    losses = made({"name": name})
    descend(losses, batch, steps=5, rate=1.0)
    assert losses.to_judge(*batch).item() == pytest.approx(sum(by_hand(*batch)), rel=1e-5)


def test_a_joined_age_head_takes_the_gender_probabilities():
    torch.manual_seed(0)
    spec = HeadSpec("softmax", (10.0, 20.0, 30.0), joined=2)
    heads = Heads(4, (spec, GENDER))
    features = torch.randn(3, 4)
    parts = heads.split(heads(features))
    gender = heads.of("gender")(features)
    torch.testing.assert_close(parts["gender"], gender)
    both = torch.cat([features, gender.softmax(1)], 1)
    torch.testing.assert_close(
        parts["age"], both @ heads.of("age").output.weight.T + heads.of("age").output.bias
    )
    parts["age"].sum().backward()
    assert heads.of("gender").output.weight.grad.abs().sum() > 0  # gradients flow through
    assert math.isclose(float(parts["age"].shape[1]), 3)

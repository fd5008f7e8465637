"""Learning rates against the schedules' own definitions."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from featx.training.config.stage import Optimiser, Schedule
from featx.training.schedule import RateSchedule, make_optimiser


def optimiser(rate=0.1, head_rate=None, name="sgd"):
    body, head = nn.Linear(2, 2), nn.Linear(2, 1)
    config = Optimiser(name=name, learning_rate=rate, head_learning_rate=head_rate)
    return make_optimiser(config, list(body.parameters()), list(head.parameters()))


def rates(made):
    return [group["lr"] for group in made.param_groups]


def over_steps(schedule, made, steps):
    seen = []
    for _ in range(steps):
        seen.append(rates(made))
        made.step()
        schedule.after_step()
    return seen


def halved_by_hand(losses, patience, rate=0.1):
    """The paper's rule: after `patience` epochs without a lower validation loss, half the rate."""
    best, bad, seen = math.inf, 0, []
    for loss in losses:
        if loss < best:
            best, bad = loss, 0
        else:
            bad += 1
        if bad == patience:
            rate, bad = rate / 2, 0
        seen.append(rate)
    return seen


@given(
    losses=st.lists(st.sampled_from([0.5, 1.0, 1.5, 2.0, 3.0]), min_size=1, max_size=40),
    patience=st.integers(1, 5),
)
def test_plateau_halves_after_patience_epochs_without_improvement(losses, patience):
    made = optimiser()
    schedule = RateSchedule(Schedule(name="plateau", patience=patience), made, 100)
    seen = []
    for loss in losses:
        schedule.after_epoch(loss)
        seen.append(rates(made)[0])
    assert seen == pytest.approx(halved_by_hand(losses, patience))


@pytest.mark.parametrize("steps", [1, 2, 10, 137])
def test_cosine_falls_from_the_rate_to_zero(steps):
    made = optimiser(0.1, 0.3)
    seen = over_steps(RateSchedule(Schedule(name="cosine"), made, steps), made, steps)
    for step, (body, head) in enumerate(seen):
        expected = 0.1 * (1 + math.cos(math.pi * step / steps)) / 2
        assert body == pytest.approx(expected, abs=1e-12)
        assert head == pytest.approx(3 * expected, abs=1e-12)
    assert rates(made)[0] == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("warmup", [0.1, 0.3, 0.5])
def test_one_cycle_rises_to_both_rates_and_falls(warmup):
    made = optimiser(0.1, 0.3, "adamw")
    steps = 200
    schedule = RateSchedule(Schedule(name="one-cycle", warmup=warmup), made, steps)
    seen = over_steps(schedule, made, steps)
    body = [rate for rate, _ in seen]
    top = body.index(max(body))
    assert top == pytest.approx(warmup * steps, abs=1)
    assert max(body) == pytest.approx(0.1, rel=1e-3)
    assert body[: top + 1] == sorted(body[: top + 1])
    assert body[top:] == sorted(body[top:], reverse=True)
    assert body[-1] < 1e-4
    assert [head for _, head in seen] == pytest.approx([3 * rate for rate in body])


def test_constant_stays():
    made = optimiser(0.1)
    schedule = RateSchedule(Schedule(name="constant"), made, 10)
    assert over_steps(schedule, made, 10) == [[0.1, 0.1]] * 10
    schedule.after_epoch(1.0)
    assert schedule.state_dict() == {}


@pytest.mark.parametrize("name", ["plateau", "one-cycle", "cosine", "constant"])
def test_a_schedule_taken_up_goes_on_as_if_never_stopped(name):
    def go_on(made, schedule, epochs):
        seen = []
        for loss in epochs:
            seen += over_steps(schedule, made, 4)
            schedule.after_epoch(loss)
        return seen

    config = Schedule(name=name, patience=1)
    losses = [3.0, 3.0, 2.0, 2.0, 2.0]
    whole = optimiser(0.1, 0.3)
    expected = go_on(whole, RateSchedule(config, whole, 20), losses)
    first = optimiser(0.1, 0.3)
    schedule = RateSchedule(config, first, 20)
    seen = go_on(first, schedule, losses[:2])
    second = optimiser(0.1, 0.3)
    taken_up = RateSchedule(config, second, 20)
    taken_up.load_state_dict(schedule.state_dict())
    second.load_state_dict(first.state_dict())
    assert seen + go_on(second, taken_up, losses[2:]) == expected


@pytest.mark.parametrize(
    ("name", "kind"),
    [("sgd", torch.optim.SGD), ("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW)],
)
def test_optimisers_by_name(name, kind):
    made = optimiser(0.1, 0.3, name)
    assert type(made) is kind
    assert rates(made) == [0.1, 0.3]
    assert rates(optimiser(0.1, None, name)) == [0.1, 0.1]

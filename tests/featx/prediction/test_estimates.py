"""Distributions to ages, spreads and intervals, against scipy and counting by hand."""

import numpy as np
import pytest
from scipy import stats

from featx.heads import HeadSpec
from featx.prediction.estimates import interval, read_estimates, spread
from featx.training.inference import Predicted

YEARS = HeadSpec("softmax", classes=tuple(map(float, range(0, 101))))
GROUPS = HeadSpec("softmax", classes=(6.0, 17.5, 28.5), groups=("0-12", "15-20", "25-32"))


def test_spread_and_interval_are_scipy_s():
    rng = np.random.default_rng(0)
    for _ in range(20):
        p = rng.dirichlet(np.full(101, 0.2))
        discrete = stats.rv_discrete(values=(np.arange(101), p))
        assert spread(p, np.arange(101.0)) == pytest.approx(discrete.std())
        assert interval(p, YEARS) == (discrete.ppf(0.1), discrete.ppf(0.9))


def test_a_certain_network_has_no_spread():
    p = np.zeros(101)
    p[34] = 1
    assert spread(p, np.arange(101.0)) == 0
    assert interval(p, YEARS) == (34, 34)


def test_the_tails_may_be_exactly_a_tenth():
    p = np.zeros(101)
    p[[10, 20, 30]] = 0.1, 0.8, 0.1  # 0.1 + 0.8 is less than 0.9 in floating point
    assert interval(p, YEARS) == (10, 20)


def test_groups_give_their_first_and_last_year():
    assert interval(np.array([0.05, 0.55, 0.4]), GROUPS) == (15, 32)
    predicted = {"age": Predicted(np.array([19.0]), np.array([[0.1, 0.6, 0.3]], np.float32))}
    (told,) = read_estimates(predicted, {"age": GROUPS})
    assert told.age_group == "15-20"
    assert told.age_group_probability == pytest.approx(0.6)
    assert told.told() == "19 ± 7 (15-20)"


def test_plain_regression_has_an_age_alone():
    spec = HeadSpec("regression")
    (told,) = read_estimates({"age": Predicted(np.array([31.4]), None)}, {"age": spec})
    assert told.describe() == dict.fromkeys(told.describe()) | {"age": 31.4}
    assert told.told() == "31"


def test_gender_alone():
    spec = HeadSpec("softmax", (0.0, 1.0), ("female", "male"), task="gender")
    given = Predicted(None, np.array([[0.25, 0.75], [0.9, 0.1]], np.float32))
    one, two = read_estimates({"gender": given}, {"gender": spec})
    assert (one.gender, one.gender_probability) == ("male", 0.75)
    assert two.told() == "female 90 %"
    assert one.age is None

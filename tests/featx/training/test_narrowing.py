"""The next phase's space lies around the best settings: inside the former one, and near them."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from featx.training.search.file import Around
from featx.training.search.narrowing import narrow
from featx.training.search.space import Range

FINITE = {"allow_nan": False, "allow_infinity": False}


@st.composite
def spans(draw):
    """A range, some settings in it, and how far to go around them."""
    log = draw(st.booleans())
    if draw(st.booleans()):
        numbers = st.integers(1 if log else -1000, 10_000)
    else:
        numbers = st.floats(1e-12 if log else -1e6, 1e6, **FINITE)
    low, high = sorted(draw(st.lists(numbers, min_size=2, max_size=2, unique=True)))
    whole = isinstance(low, int)
    inside = st.integers(low, high) if whole else st.floats(low, high, **FINITE)
    best = draw(st.lists(inside, min_size=1, max_size=6))
    return Range(low=low, high=high, log=log), best, draw(st.floats(0.01, 0.99))


@given(spans())
def test_a_range_lies_around_the_best(drawn):
    span, best, fraction = drawn
    found = narrow({"x": span}, [{"x": b} for b in best], Around(best=6, fraction=fraction))["x"]
    assert isinstance(found, Range)
    assert (found.whole, found.log) == (span.whole, span.log)
    assert span.low <= found.low < found.high <= span.high
    assert found.low <= min(best)
    assert max(best) <= found.high
    if found == span:
        return  # nothing is nearer where floats cannot be told apart
    for end, near in ((found.low, min(best)), (found.high, max(best))):
        if span.log:
            factor = max(end / near, near / end)
            allowed = (span.high / span.low) ** fraction
        else:
            factor, allowed = abs(end - near), fraction * (span.high - span.low)
        step = span.whole and abs(end - near) <= 1
        assert step or factor <= allowed * (1 + 1e-9) + 1e-12


@given(st.data())
def test_of_a_list_the_best_and_their_neighbours_remain(data):
    numbers = st.lists(st.integers(0, 99), min_size=1, max_size=8, unique=True)
    lists = st.lists(
        st.lists(st.integers(1, 9), max_size=3).map(tuple), min_size=1, max_size=8, unique=True
    )
    values = tuple(data.draw(st.one_of(numbers, lists)))
    best = data.draw(st.lists(st.sampled_from(values), min_size=1, max_size=4))
    reach = data.draw(st.integers(0, 3))
    found = narrow({"x": values}, [{"x": b} for b in best], Around(best=4, neighbours=reach))["x"]
    assert set(best) <= set(found)
    assert found == tuple(value for value in values if value in found)  # in the file's order
    order = list(values) if isinstance(values[0], tuple) else sorted(values)
    for value in values:
        gap = min(abs(order.index(value) - order.index(b)) for b in best)
        assert (value in found) == (gap <= reach)


@pytest.mark.parametrize(
    ("space", "best", "expected"),
    [
        ({"x": Range(low=0.0, high=10.0)}, [4.0, 5.0], Range(low=3.0, high=6.0)),
        ({"x": Range(low=0.0, high=10.0)}, [0.5], Range(low=0.0, high=1.5)),
        ({"x": Range(low=2, high=12)}, [6], Range(low=5, high=7)),
        ({"x": Range(low=2, high=4)}, [4], Range(low=3, high=4)),  # a tenth of it would be none
        ({"x": (7, 3, 5, 9)}, [3], (3, 5)),
        ({"x": ("adam", "adamw", "sgd")}, ["adamw", "adamw"], ("adamw",)),
        ({"x": (True, False)}, [False], (False,)),
        ({"x": ((64,), (128,), (256, 128))}, [(64,)], ((64,), (128,))),
    ],
)
def test_by_example(space, best, expected):
    found = narrow(space, [{"x": b} for b in best], Around(best=2, fraction=0.1))["x"]
    assert found == expected


def test_a_logarithmic_range_narrows_by_factors():
    span = Range(low=1e-6, high=1e-1, log=True)
    found = narrow({"x": span}, [{"x": 1e-3}, {"x": 1e-4}], Around(best=2, fraction=0.2))["x"]
    assert isinstance(found, Range)
    assert math.log10(found.low) == pytest.approx(-5)
    assert math.log10(found.high) == pytest.approx(-2)

"""Which labels are not believed: against a loop over rows, bins and classes, written by hand."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from featx.errors import FeatxError
from regress.label_cleaning import AGENET_BINS, Rule, default_bins, judge_labels, label_bins
from regress.probabilities import Probabilities

TENS = tuple(f"{low}-{low + 9}" for low in range(0, 100, 10))


def table_of(ages, groups=None, status=None):
    n = len(ages)
    return pd.DataFrame(
        {
            "image": [f"i{row}" for row in range(n)],
            "age": np.asarray(ages, float),
            "age_group": [""] * n if groups is None else groups,
            "status": ["ok"] * n if status is None else status,
        }
    )


def one(bins, *probabilities):
    """Class probabilities of one image, in the bins themselves."""
    return Probabilities(np.array(bins), np.array([probabilities], float))


@st.composite
def cases(draw):
    """Bins with or without gaps, classes of years or of groups in them, and labelled rows."""
    cuts = draw(st.lists(st.integers(1, 90), min_size=4, max_size=12, unique=True).map(sorted))
    spans = [(a, b - 1) for a, b in itertools.pairwise(cuts)]
    if draw(st.booleans()) and len(spans) > 3:
        spans.pop(draw(st.integers(1, len(spans) - 2)))  # a gap
    bins = tuple(f"{low}-{high}" for low, high in spans)
    if draw(st.booleans()):
        classes = np.unique(draw(st.lists(st.integers(0, 95), min_size=2, max_size=30)))
        classes = classes.astype(float)
    else:  # each bin cut in two where it can be, and one class outside all
        parts = []
        for low, high in spans:
            middle = draw(st.integers(low, high))
            parts += [(low, middle)] + ([(middle + 1, high)] if middle < high else [])
        classes = np.array([f"{low}-{high}" for low, high in [*parts, (95, 99)]])
    n = draw(st.integers(1, 8))
    seed = draw(st.integers(0, 2**31))
    rng = np.random.default_rng(seed)
    values = rng.dirichlet(np.full(len(classes), 0.3), n)
    values[rng.random(n) < 0.2] = np.nan
    ages = np.where(rng.random(n) < 0.2, np.nan, rng.uniform(0, 100, n).round(1))
    groups = []
    for _ in range(n):
        low, high = sorted(rng.integers(0, 95, 2).tolist())
        held = bins[rng.integers(len(bins))]
        groups.append(rng.choice(["", "", "", held, f"{low}-{high}", "adult"]))
    status = rng.choice(["ok", "ok", "ok", "no_face"], n).tolist()
    rule = Rule(bins, draw(st.sampled_from([0.1, 0.4, 0.9])), draw(st.integers(0, 3)))
    return table_of(ages, groups, status), Probabilities(classes, values), rule


def ends(name):
    low, _, high = name.partition("-")
    return int(low), int(high)


def by_hand(row, values, classes, rule):
    """Decide on one row: (decision, bin, probability), with no array in sight."""
    if row.age_group == "adult":
        label = None
    elif row.age_group:
        label = ends(row.age_group)
    else:
        label = None if math.isnan(row.age) else (int(row.age), int(row.age))
    own = None
    for number, name in enumerate(rule.bins):
        low, high = ends(name)
        if label is not None and low <= label[0] and label[1] <= high:
            own = number
    sums, told = [0.0] * len(rule.bins), [False] * len(rule.bins)
    for value, cls in zip(values, classes, strict=True):
        first, last = ends(cls) if isinstance(cls, str) else (int(cls), int(cls))
        for number, name in enumerate(rule.bins):
            low, high = ends(name)
            if low <= first and last <= high:
                sums[number] += value
                told[number] = True
    if row.status != "ok" or own is None or math.isnan(values[0]) or not told[own]:
        return "", "" if own is None else rule.bins[own], None
    near = [sums[k] for k in range(len(sums)) if abs(k - own) <= rule.neighbours]
    return ("drop" if sum(near) < rule.least else "keep"), rule.bins[own], sum(near)


@settings(deadline=None, max_examples=150)
@given(cases())
def test_as_by_hand(case):
    table, given_, rule = case
    judged = judge_labels(table, given_, rule)
    assert judged.index.equals(table.index)
    classes = given_.classes.tolist()
    for row, values, found in zip(
        table.itertuples(), given_.values, judged.itertuples(), strict=True
    ):
        decision, own, probability = by_hand(row, values.tolist(), classes, rule)
        assert found.bin == own
        if probability is None:
            assert (found.decision, found.reason != "") == ("", True)
            assert math.isnan(found.probability)
            continue
        assert found.probability == pytest.approx(probability)
        if abs(probability - rule.least) > 1e-9:
            assert found.decision == decision
        assert found.reason.startswith("tentative model: ") == (found.decision == "drop")
        years = [sum(ends(c)) / 2 if isinstance(c, str) else c for c in classes]
        assert found.expected_age == pytest.approx(float(np.dot(values, years)))


def test_the_papers_example():
    """Ten bins, a label in the middle, at either end, and a rule of 40 %."""
    uniform = np.full((4, 10), 0.1)
    given_ = Probabilities(np.array(AGENET_BINS), uniform)
    judged = judge_labels(table_of([9, 1, 80, 117]), given_, Rule(AGENET_BINS))
    assert judged["probability"].round(9).tolist()[:3] == [0.3, 0.2, 0.2]
    assert judged["reason"].tolist() == [
        "tentative model: bins 3-6 to 13-17 have 0.30, under 0.40",
        "tentative model: bins 0-2 to 3-6 have 0.20, under 0.40",
        "tentative model: bins 45-59 to 60-116 have 0.20, under 0.40",
        "the label is in none of the bins",
    ]
    assert judged["decision"].tolist() == ["drop", "drop", "drop", ""]


@pytest.mark.parametrize(
    ("least", "neighbours", "given_", "reason"),
    [
        (0.4, 0, (0.3, 0.3, 0.4), "tentative model: bin 10-19 has 0.30, under 0.40"),
        (0.4, 0, (0.2, 0.4, 0.4), ""),  # less than 40 %, not 40 %
        (0.4, 0, (0.2, 0.3998, 0.4002), "tentative model: bin 10-19 has 0.399800, under 0.40"),
        (0.425, 0, (0.3, 0.42, 0.28), "tentative model: bin 10-19 has 0.42, under 0.425"),
    ],
)
def test_numbers_of_the_rule(least, neighbours, given_, reason):
    bins = TENS[:3]
    judged = judge_labels(table_of([12]), one(bins, *given_), Rule(bins, least, neighbours))
    assert judged["reason"].tolist() == [reason]
    assert judged["decision"].tolist() == ["drop" if reason else "keep"]


def test_what_cannot_be_judged_says_why():
    table = table_of(
        [5, 15, 15, np.nan, 15, 5],
        ["", "", "", "", "0-100", ""],
        ["ok", "corrupt", "ok", "ok", "ok", "ok"],
    )
    values = np.full((6, 2), 0.5)
    values[2] = np.nan
    values[5] = np.nan
    given_ = Probabilities(np.array(["10-19", "20-29"]), values)
    missing = ["", "", "cannot be read: cut", "", "", "cannot be read"]
    judged = judge_labels(table, given_, Rule(TENS[:3]), missing)
    assert judged["reason"].tolist() == [
        "the model tells no age of the label's bin",
        "status corrupt",
        "cannot be read: cut",
        "the label is in none of the bins",
        "the label is in none of the bins",
        "cannot be read",
    ]
    assert set(judged["decision"]) == {""}


def test_groups_stand_before_ages_and_lie_within_a_bin():
    table = table_of([50, 12.9, 13, np.nan], ["4-6", "", "", "8-12"])
    assert label_bins(table, AGENET_BINS).tolist() == [1, 2, 3, 2]


def test_bins_are_the_models_own_or_the_papers():
    assert default_bins(np.arange(101.0)) == AGENET_BINS
    assert default_bins(np.array(["0-12", "13-99"])) == ("0-12", "13-99")


def test_a_class_across_a_border_is_refused():
    given_ = one(("0-12", "13-99"), 0.5, 0.5)
    with pytest.raises(FeatxError, match=r"class 0-12 lies only in part in the bin 0-9: give --b"):
        judge_labels(table_of([5]), given_, Rule(("0-9", "10-99")))


@pytest.mark.parametrize("wrong", [{"least": 0}, {"least": 1.01}, {"neighbours": -1}])
def test_numbers_out_of_range(wrong):
    (name,) = wrong
    with pytest.raises(FeatxError, match=f"--{name}"):
        Rule(TENS, **wrong)

"""Whom a network has seen: told apart as exactly as sets of names would."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from featx.trained_on import TrainedOn

NAMES = st.sampled_from(["", "a", "b", "c", "d", "Zoë", "\ud800"])
ROWS = st.lists(st.tuples(st.sampled_from(["x", "y"]), NAMES, NAMES), max_size=8)


def table(rows):
    made = pd.DataFrame(rows, columns=["dataset", "subject", "sha256"], dtype=object)
    return made.assign(image=[f"i{row}" for row in range(len(made))])


@given(ROWS, ROWS, ROWS)
def test_as_sets_do(one, two, asked):
    seen = TrainedOn.of(table(one)) | TrainedOn.of(table(two))
    again = TrainedOn.decode(seen.encode())
    known = {sha for _, _, sha in one + two} - {""}
    people = {(data, who) for data, who, _ in one + two if who}
    for told in (seen, again, TrainedOn.of(table(one), table(two))):
        images, persons = told.among(table(asked))
        assert images.tolist() == [sha in known for _, _, sha in asked]
        assert persons.tolist() == [(data, who) in people for data, who, _ in asked]
        assert bool(told.overlap(table(asked))) == bool((images | persons).any())


def test_nobody_is_known_to_a_network_that_has_seen_nobody():
    images, people = TrainedOn.of().among(table([("x", "a", "b"), ("x", "", "")]))
    assert not images.any()
    assert not people.any()


def test_celebrities_are_known_however_spelt():
    seen = TrainedOn.of(table([("imdb", "Zoë Kravitz", "1")]))
    rows = table([("cacd", "Zoe_Kravitz", "2"), ("fgnet", "Zoë Kravitz", "3")])
    assert seen.among(rows)[1].tolist() == [True, False]


def test_examples_are_named():
    seen = TrainedOn.of(table([("x", "ann", "1"), ("x", "bob", "2")]))
    rows = table([("x", "ann", "1"), ("x", "ann", "9"), ("x", "bob", "8"), ("x", "eve", "7")])
    assert seen.overlap(rows) == (
        "1 of these 4 images (such as i0) and other images of 2 people (such as ann, bob)"
    )
    many = table([("x", "", str(number)) for number in range(1000)])
    assert TrainedOn.of(many).overlap(many) == ("1,000 of these 1,000 images (such as i0, i1, i2)")


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"images": "?", "people": ""}', "3"])
def test_damage_is_told(text):
    with pytest.raises(ValueError):  # noqa: PT011, each of its own kind
        TrainedOn.decode(text)


def test_a_digest_is_eight_bytes():
    """460,000 images make a part of a file of megabytes, not of tens of them."""
    names = [("x", "", str(number)) for number in range(1000)]
    assert len(TrainedOn.of(table(names)).encode()) < 1000 * 8 * 4 / 3 + 100
    assert TrainedOn.of(table(names)).images.dtype == np.uint64

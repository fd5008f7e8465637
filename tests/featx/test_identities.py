import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from featx.identities import one_spelling, people, plain_name


@pytest.mark.parametrize(
    "names",
    [
        ("Zoë Kravitz", "Zoe_Kravitz", "ZoeKravitz", "ZOE KRAVITZ", "Zoe\u0308 Kravitz"),
        ("Sami Jauhojärvi", "sami_jauhojarvi"),
        ("Søren Åkerström", "Soren_Akerstrom"),
        ("Jean-Luc O'Neill", "Jean Luc ONeill"),
    ],
)
def test_spellings_of_one_name(names):
    assert len({plain_name(name) for name in names}) == 1


def test_other_names_stay_apart():
    names = ["Robin Williams", "Robbie Williams", "Robin Williams 2", "王菲", "?", "!"]
    assert len({plain_name(name) for name in names}) == len(names)


@given(st.text(min_size=1))
def test_a_name_is_never_nobodys(name):
    assert plain_name(name)


def table(*rows):
    return pd.DataFrame(rows, columns=["dataset", "subject"])


def test_one_namespace_for_celebrities_and_one_a_set_for_others():
    rows = table(
        ("imdb", "Zoë Kravitz"),
        ("agedb", "ZoeKravitz"),
        ("fgnet", "001"),
        ("utkface", "001"),
        ("imdb", ""),
        ("fgnet", ""),
        ("fgnet", "001"),
        ("fgnet", "zoekravitz"),
    )
    who = people(rows)
    same = who[:, None] == who[None, :]
    expected = np.eye(8, dtype=bool)
    for a, b in [(0, 1), (2, 6), (4, 5)]:
        expected[a, b] = expected[b, a] = True
    assert (same == expected).all()
    assert who[4] == who[5] == ""


def test_names_are_spelt_as_they_first_were():
    rows = table(("cacd", "Zoe_Kravitz"), ("imdb", "Zoë Kravitz"), ("fgnet", "Zo"), ("imdb", ""))
    assert one_spelling(rows).tolist() == ["Zoe_Kravitz", "Zoe_Kravitz", "Zo", ""]

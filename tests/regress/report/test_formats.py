import math

import pytest

from regress.report import formats


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1234.567, "1,234.57"),
        (-0.5, "\N{MINUS SIGN}0.50"),
        (-0.001, "0.00"),
        (math.nan, formats.NOTHING),
    ],
)
def test_number(value, text):
    assert formats.number(value) == text


def test_signed_and_intervals():
    assert formats.signed(0.25) == "+0.25"
    assert formats.signed(0.001) == "0.00"
    assert formats.signed(-1) == "\N{MINUS SIGN}1.00"
    assert formats.interval(3.708, 4.351) == "3.71\N{EN DASH}4.35"
    assert formats.interval(-0.1, 0.2) == "\N{MINUS SIGN}0.10 to 0.20"
    assert formats.interval(math.nan, 1) == formats.NOTHING


def test_p_percent_counts_and_decades():
    assert formats.p_value(0.0004) == "<0.001"
    assert formats.p_value(0.0412) == "0.041"
    assert formats.percent(0.7345) == "73.5 %"
    assert formats.of_total(999, 1002) == "999 / 1,002"
    assert formats.decade(20) == "20\N{EN DASH}29"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (12.34, "12.3 s"),
        (59.99, "1 min 00 s"),
        (245, "4 min 05 s"),
        (3599.7, "1 h 00 min"),
        (48000, "13 h 20 min"),
    ],
)
def test_duration(seconds, text):
    assert formats.duration(seconds) == text

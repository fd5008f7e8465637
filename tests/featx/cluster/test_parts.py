import pytest
from hypothesis import given
from hypothesis import strategies as st

from featx.cluster import Part
from featx.errors import FeatxError


@given(st.integers(0, 200), st.integers(1, 250))
def test_the_parts_are_the_tasks_each_once(n, count):
    parts = [Part.read(f"{number}/{count}").of(range(n)) for number in range(1, count + 1)]
    assert sorted(task for part in parts for task in part) == list(range(n))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize("text", ["0/3", "4/3", "1", "a/b", "1/0", "-1/2", "1/2/3", ""])
def test_what_is_no_part_is_refused_in_one_line(text):
    with pytest.raises(FeatxError, match="give K/N"):
        Part.read(text)


def test_it_reads_as_it_is_written():
    assert str(Part.read(" 3/82 ")) == "3/82"

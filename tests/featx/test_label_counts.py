"""Labels counted: against a count by hand, whatever the rows hold."""

from collections import Counter

import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from featx.label_counts import label_counts
from featx.manifest import new_table

#: Every value of the three columns below, as a table shows them.
ORDER = ["0", "2", "10", "0-2", "4-6", "15-20", "60-100", "female", "male", "none"]

LABELS = st.tuples(
    st.sampled_from(["", "0-2", "4-6", "15-20", "60-100"]),
    st.sampled_from(["", "female", "male"]),
    st.sampled_from(["", "0", "2", "10"]),
    st.sampled_from(["", "a", "b"]),
    st.sampled_from([None, 3.0, 41.5]),
)


@given(st.lists(LABELS, max_size=20))
def test_every_row_is_counted_once(rows):
    columns = ["age_group", "gender", "fold", "subject", "age"]
    made = pd.DataFrame(rows, columns=columns)
    names = [str(number) for number in range(len(rows))]
    counts = label_counts(new_table(made.assign(image=names, path=names)))
    for column, told in (("age_group", "age group"), ("gender", "gender"), ("fold", "fold")):
        by_hand = Counter(row[columns.index(column)] or "none" for row in rows)
        if set(by_hand) <= {"none"}:
            assert told not in counts
        else:
            assert counts[told] == by_hand
            in_order = [name for name in ORDER if name in by_hand]
            assert list(counts[told]) == in_order
    named = [row[3] for row in rows if row[3]]
    assert counts.get("subjects", {}).get("different", 0) == len(set(named))
    known = [row[4] for row in rows if row[4] is not None]
    assert counts.get("age", {}).get("known", 0) == len(known)


def test_what_no_row_has_is_not_counted():
    assert label_counts(new_table(pd.DataFrame({"image": ["a"], "path": ["a"]}))) == {}

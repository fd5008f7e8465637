"""The review list: what goes in comes out, and what a person writes in it is done, or refused."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from featx.errors import FeatxError
from featx.manifest import COLUMNS, new_table, read_table, write_table
from regress.label_cleaning import Rule, judge_labels
from regress.probabilities import Probabilities
from regress.review import apply_review, read_review, review_list, summarise, write_review

BINS = ("0-9", "10-19", "20-29", "30-39")


def make_table(n=40, seed=0):
    rng = np.random.default_rng(seed)
    rows = pd.DataFrame(
        {
            "image": [f"im, {row}" for row in range(n)],
            "path": [f"src/{row}.jpg" for row in range(n)],
            "crop": [f"crops/{row}.png" if row % 3 else "" for row in range(n)],
            "age": np.where(rng.random(n) < 0.1, np.nan, rng.uniform(0, 45, n)),
            "subject": [f"s{row // 4}" for row in range(n)],
            "status": rng.choice(["ok", "ok", "ok", "duplicate"], n),
            "reason": rng.choice(["", "two faces; largest taken"], n),
            "box_left": rng.normal(size=n),
        }
    )
    return new_table(rows)


def judge(table, seed=1):
    values = np.random.default_rng(seed).dirichlet(np.full(4, 0.4), len(table))
    return judge_labels(table, Probabilities(np.array(BINS), values), Rule(BINS))


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 1000))
def test_nothing_but_status_and_reason_changes(tmp_path_factory, seed):
    table = make_table(seed=seed)
    judged = judge(table, seed + 1)
    listed = review_list(table, judged)
    assert listed["probability"].is_monotonic_increasing
    assert set(listed["image"]) == set(table["image"][judged["decision"] != ""])
    cleaned = apply_review(table, listed, "list")
    drop = (judged["decision"] == "drop").to_numpy()
    others = [column for column in COLUMNS if column not in ("status", "reason")]
    pd.testing.assert_frame_equal(cleaned[others], table[others])
    pd.testing.assert_frame_equal(cleaned[~drop], table[~drop])
    assert set(cleaned["status"][drop]) <= {"excluded"}
    for row in np.flatnonzero(drop):
        own, before = judged["reason"][row], table["reason"][row]
        assert cleaned["reason"][row] == (f"{own}; {before}" if before else own)

    # through both files it is the same, cell by cell
    folder = tmp_path_factory.mktemp("review")
    write_review(listed, folder / "review.csv")
    again = apply_review(table, read_review(folder / "review.csv"), "list")
    write_table(cleaned, folder / "a.csv")
    write_table(again, folder / "b.csv")
    assert (folder / "a.csv").read_bytes() == (folder / "b.csv").read_bytes()
    pd.testing.assert_frame_equal(read_table(folder / "a.csv"), cleaned)


@pytest.fixture
def files(tmp_path):
    table = make_table()
    write_review(review_list(table, judge(table)), tmp_path / "review.csv")
    return table, tmp_path / "review.csv"


def change(path, **changes):
    """Rewrite the first row of a list, as a person would in a spreadsheet."""
    listed = pd.read_csv(path, dtype=str, keep_default_na=False)
    for column, value in changes.items():
        listed.loc[0, column] = value
    listed.to_csv(path, index=False, encoding="utf-8-sig", lineterminator="\r\n")
    return listed["image"][0]


def test_decisions_of_a_person_are_done(files):
    table, path = files
    rows = table.set_index("image")
    listed = read_review(path)
    assert listed["decision"][0] == "drop"
    image = change(path, decision=" Keep ")
    assert (
        apply_review(table, read_review(path), "x")
        .set_index("image")
        .loc[image]
        .equals(rows.loc[image])
    )
    change(path, decision="DROP", reason="", age="")
    told = apply_review(table, read_review(path), "x").set_index("image")
    assert told.loc[image, "status"] == "excluded"
    assert told.loc[image, "reason"].startswith("review: dropped by hand")
    change(path, reason="a doll")
    told = apply_review(table, read_review(path), "x").set_index("image")
    assert told.loc[image, "reason"].startswith("a doll")


def test_two_columns_are_enough(files):
    table, path = files
    pd.read_csv(path, dtype=str)[["image", "decision"]].to_csv(path, index=False)
    listed = read_review(path)
    cleaned = apply_review(table, listed, "x")
    assert (cleaned["status"] == "excluded").sum() == (listed["decision"] == "drop").sum() > 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"decision": "maybe"}, r"review.csv, line 2: the decision on image 'im, \d+' is 'maybe'"),
        ({"decision": ""}, "write keep or drop"),
        ({"image": "elsewhere.png"}, "image 'elsewhere.png' is not in the table"),
        ({"age": "7.125"}, "has another age in the table"),
        ({"age_group": "20-29"}, "has another age in the table"),
    ],
)
def test_a_wrong_list_is_refused(files, changes, message):
    table, path = files
    change(path, **changes)
    with pytest.raises(FeatxError, match=message):
        apply_review(table, read_review(path), str(path))


def test_a_list_of_another_table_is_refused(files):
    table, path = files
    listed = read_review(path)
    with pytest.raises(FeatxError, match="is not in the table"):
        apply_review(table.iloc[:0], listed, "x")
    with pytest.raises(FeatxError, match="has a status other than ok"):
        apply_review(apply_review(table, listed, "x"), listed, "x")
    doubled = pd.concat([listed, listed.iloc[:1]])
    write_review(doubled, path)
    with pytest.raises(FeatxError, match=rf"line {len(listed) + 2}: image '.*' is there twice"):
        read_review(path)
    path.write_text("image;decision\na;keep\n")
    with pytest.raises(FeatxError, match=r"no column 'image'; .* with commas"):
        read_review(path)


def test_counts():
    table = make_table()
    judged = judge(table)
    listed = review_list(table, judged)
    unjudged = judged["reason"][judged["decision"] == ""].tolist()
    told = summarise(table, listed, unjudged)
    assert told["n_total"] == 40 == told["judged"] + told["not_judged"]
    assert sum(told["why_not"].values()) == told["not_judged"]
    assert list(told["bins"]) == list(BINS)
    assert sum(each["judged"] for each in told["bins"].values()) == told["judged"]
    assert sum(each["dropped"] for each in told["bins"].values()) == told["dropped"]
    assert summarise(table, listed, ["cannot be read: a", "cannot be read: b"])["why_not"] == {
        "cannot be read": 2
    }

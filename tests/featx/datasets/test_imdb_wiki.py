"""IMDB-WIKI's metadata, its dates, and the paper's cleaning, rule by rule."""

import datetime

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from featx.datasets import cleaning_rules, read_dataset
from featx.datasets.imdb_wiki import _age
from featx.errors import FeatxError
from featx.preparation import count
from tests.featx.datasets.miniatures import imdb_wiki, matlab_serial, pack

GOOD = {
    "path": "01/nm01_rm1_1899-5-10_1968.jpg",
    "dob": matlab_serial(1950, 5, 10),
    "taken": 1980,
    "gender": 1.0,
    "score": 3.5,
    "second": np.nan,
    "name": "Fred Astaire",
    "celeb": 6488,
}


def row(number, **changes):
    return {**GOOD, "path": f"0{number}/nm_{number}.jpg", **changes}


ROWS = [
    row(0),
    row(1, dob=matlab_serial(1950, 8, 1)),
    row(2, dob=matlab_serial(1990, 1, 1)),  # taken before birth
    row(3, dob=matlab_serial(1850, 1, 1)),
    row(4, score=0.99),
    row(5, score=-np.inf),
    row(6, second=2.0),
    row(7, gender=np.nan),
    row(8, gender=0.0, name="Lauren Bacall", celeb=11516),
    row(9, score=0.5, second=2.0, gender=np.nan),
    row(10, dob=0),  # no date
    row(11, score=1.0),
]


@pytest.mark.parametrize("kind", ["folder", "zip", "tar"])
def test_every_rule_has_its_count(tmp_path, kind):
    table = read_dataset("imdb-wiki", pack(imdb_wiki(tmp_path / "imdb_crop", "imdb", ROWS), kind))
    assert count(table)["reasons"] == {
        "excluded": {
            "age outside 0-100": 3,
            "face score below 1.0": 3,
            "a second face": 1,
            "gender missing": 1,
        }
    }
    ok = table[table["status"] == "ok"]
    assert ok["image"].tolist() == [f"imdb/0{n}/nm_{n}.jpg" for n in (0, 1, 8, 11)]
    assert ok["age"].tolist() == [30, 29, 30, 30]
    assert ok["gender"].tolist() == ["male", "male", "female", "male"]
    assert ok["subject"].tolist() == ["Fred Astaire"] * 2 + ["Lauren Bacall", "Fred Astaire"]
    assert set(table["dataset"]) == {"imdb"}


@pytest.mark.parametrize(
    ("without", "n_ok"),
    [
        (["age"], 5),  # the 130 year old; no age below 0 and no missing one is ever used
        (["face-score"], 6),
        (["second-face"], 5),
        (["gender"], 5),
        (["face-score", "second-face", "gender"], 9),
        (["age", "face-score", "second-face", "gender"], 10),
    ],
)
def test_each_rule_has_its_switch(tmp_path, without, n_ok):
    path = imdb_wiki(tmp_path / "imdb", "imdb", ROWS)
    table = read_dataset("imdb-wiki", path, without)
    assert (table["status"] == "ok").sum() == n_ok
    assert (table["age"] >= 0)[table["status"] == "ok"].all()


def test_wiki_and_imdb_together(tmp_path):
    imdb_wiki(tmp_path / "imdb_crop", "imdb", ROWS[:1])
    imdb_wiki(tmp_path / "wiki_crop", "wiki", [row(0, name="Sami Jauhojärvi")])
    table = read_dataset("imdb-wiki", tmp_path)
    assert table["dataset"].tolist() == ["imdb", "wiki"]
    assert table["subject"].tolist() == ["Fred Astaire", "Sami Jauhojärvi"]
    assert table["path"].tolist() == [
        str(tmp_path / f"{name}_crop" / "00" / "nm_0.jpg") for name in ("imdb", "wiki")
    ]


@given(
    born=st.dates(datetime.date(1800, 1, 1), datetime.date(2010, 12, 31)),
    years=st.integers(0, 110),
)
def test_ages_are_completed_years_on_the_first_of_july(born, years):
    """Against pandas' calendar: the birthday of that age is past, the next one is not."""
    taken = born.year + years
    age = _age(matlab_serial(born.year, born.month, born.day), taken)
    july = pd.Timestamp(taken, 7, 1)
    birth = pd.Timestamp(born)
    assert birth + pd.DateOffset(years=int(age)) <= july < birth + pd.DateOffset(years=int(age) + 1)


def test_a_serial_date_that_matlab_documents():
    # datenum(2000, 1, 1) is 730486
    assert _age(730486, 2010) == 10


def test_unknown_rules_and_sets_without_rules(tmp_path):
    imdb_wiki(tmp_path, "imdb", ROWS)
    with pytest.raises(FeatxError, match=r"cleaning rule of imdb-wiki 'face': did you mean"):
        read_dataset("imdb-wiki", tmp_path, ["face"])
    with pytest.raises(FeatxError, match="--without-rule age: agedb has no cleaning rules"):
        read_dataset("agedb", tmp_path, ["age"])
    assert cleaning_rules("imdb-wiki") == ["age", "face-score", "second-face", "gender"]


def test_foreign_files(tmp_path):
    with pytest.raises(FeatxError, match=r"holds no imdb\.mat or wiki\.mat"):
        read_dataset("imdb-wiki", tmp_path)
    (tmp_path / "imdb.mat").write_bytes(b"no MATLAB file at all" * 40)
    with pytest.raises(FeatxError, match=r"imdb\.mat is not the published metadata"):
        read_dataset("imdb-wiki", tmp_path)

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from featx.errors import FeatxError
from regress.protocols import Fold, assert_disjoint, plan_folds, split_hash


def people(subjects, fold=None, sha256=None):
    n = len(subjects)
    return pd.DataFrame(
        {
            "image": [f"i{row}" for row in range(n)],
            "subject": [str(subject) for subject in subjects],
            "age": np.arange(n, dtype=float),
            "fold": fold or [""] * n,
            "sha256": sha256 or [f"hash{row}" for row in range(n)],
        }
    )


subject_lists = st.lists(st.integers(0, 12), min_size=6, max_size=60).filter(
    lambda subjects: len(set(subjects)) >= 5
)


@given(subject_lists, st.sampled_from(["lopo", "kfold:3", "kfold:5"]), st.integers(0, 99))
def test_folds_cover_every_row_once_and_share_no_subject(subjects, protocol, seed):
    images = people(subjects)
    folds = plan_folds(protocol, images, seed)
    tested = np.concatenate([fold.test for fold in folds])
    assert sorted(tested) == list(range(len(images)))
    for fold in folds:
        train, test = set(images.subject[fold.train]), set(images.subject[fold.test])
        assert not train & test
        assert sorted([*fold.train, *fold.test]) == list(range(len(images)))
    if protocol == "lopo":
        assert {fold.name for fold in folds} == set(images.subject)


@given(subject_lists, st.integers(0, 99))
def test_holdout_tests_one_share_of_subjects(subjects, seed):
    images = people(subjects)
    (fold,) = plan_folds("holdout:0.4", images, seed)
    n_subjects = images.subject.nunique()
    tested = images.subject[fold.test].nunique()
    assert tested == int(np.ceil(0.4 * n_subjects))
    assert not set(images.subject[fold.train]) & set(images.subject[fold.test])


def test_kfold_is_shuffled_by_its_seed_and_only_by_it():
    images = people(np.repeat(range(20), 3))
    hashes = [split_hash(images, plan_folds("kfold:5", images, seed)) for seed in (0, 0, 1)]
    assert hashes[0] == hashes[1] != hashes[2]


def test_official_folds_keep_their_names():
    images = people([1, 1, 2, 3, 3], fold=["a", "a", "b", "a", "a"])
    folds = plan_folds("folds", images)
    assert [(fold.name, fold.test.tolist()) for fold in folds] == [("a", [0, 1, 3, 4]), ("b", [2])]


def test_a_subject_on_both_sides_of_official_folds_is_named():
    images = people([1, 7, 7, 2], fold=["a", "a", "b", "b"])
    with pytest.raises(FeatxError, match=r"subject on both sides.*: 7"):
        plan_folds("folds", images)


def test_byte_identical_images_on_both_sides_are_named():
    images = people([1, 2, 3], sha256=["same", "same", "other"])
    with pytest.raises(FeatxError, match=r"byte-identical.*i0, i1"):
        plan_folds("lopo", images)


def test_unknown_hashes_do_not_count_as_identical():
    images = people([1, 2], sha256=["", ""])
    assert_disjoint(images, Fold("f", np.array([0]), np.array([1])))


@pytest.mark.parametrize(
    ("protocol", "message"),
    [
        ("lop", "did you mean lopo"),
        ("kfold:1", "two folds or more"),
        ("kfold:x", "two folds or more"),
        ("kfold:9", "at least 9 subjects and the file has 3"),
        ("holdout:1.5", "between 0 and 1"),
        ("holdout:", "between 0 and 1"),
        ("folds", "no official folds"),
        ("lopo:3", "unknown protocol"),
    ],
)
def test_bad_protocols_are_told_in_one_line(protocol, message):
    with pytest.raises(FeatxError, match=message) as caught:
        plan_folds(protocol, people([1, 1, 2, 3]))
    assert "\n" not in str(caught.value)


def test_split_hash_sees_membership_and_ages_but_not_row_order():
    images = people([1, 1, 2, 2, 3])
    original = split_hash(images, plan_folds("lopo", images))
    shuffled = images.iloc[[3, 0, 4, 2, 1]].reset_index(drop=True)
    assert split_hash(shuffled, plan_folds("lopo", shuffled)) == original
    older = images.assign(age=images.age + 1)
    assert split_hash(older, plan_folds("lopo", older)) != original
    moved = images.assign(subject=["1", "2", "2", "2", "3"])
    assert split_hash(moved, plan_folds("lopo", moved)) != original

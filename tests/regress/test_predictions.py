import json

import h5py
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from featx.errors import FeatxError
from regress.predictions import (
    COLUMNS,
    finished_folds,
    fold_stem,
    gather,
    read_csv,
    read_run,
    write_csv,
    write_fold,
    write_probabilities,
)


def piece(fold, n=2):
    rows = {"image": [f"{fold}-{i}" for i in range(n)], "subject": [fold] * n, "fold": [fold] * n}
    ages = np.linspace(1, 70, n)
    return pd.DataFrame({**rows, "age": ages, "predicted_age": ages / 3})


def test_folds_come_back_exactly_and_with_leading_zeros(tmp_path):
    for fold in ("001", "002"):
        write_fold(tmp_path, piece(fold), {"fold": fold, "key": "k"})
    assert list(finished_folds(tmp_path, "k")) == ["001", "002"]
    expected = pd.concat([piece("001"), piece("002")], ignore_index=True)
    pd.testing.assert_frame_equal(
        gather(tmp_path, ["001", "002"])[list(COLUMNS)],
        expected[list(COLUMNS)],
        check_exact=True,
        check_dtype=False,
    )


def test_a_fold_counts_by_content(tmp_path):
    write_fold(tmp_path, piece("a"), {"fold": "a", "key": "k"})
    assert not finished_folds(tmp_path, "another key")
    table = tmp_path / "folds" / "a.csv"
    table.write_text(table.read_text()[:-5])
    assert not finished_folds(tmp_path, "k")
    table.unlink()
    assert not finished_folds(tmp_path, "k")


def test_failed_and_broken_records_do_not_count(tmp_path):
    write_fold(tmp_path, piece("a"), {"fold": "a", "key": "k", "error": "out of luck"})
    write_fold(tmp_path, piece("b"), {"fold": "b", "key": "k"})
    (tmp_path / "folds" / "b.json").write_text('{"fold": "b", "ke')
    assert not finished_folds(tmp_path, "k")


@given(st.text(min_size=1, max_size=50), st.text(min_size=1, max_size=50))
def test_fold_files_are_safe_and_distinct(one, other):
    stem = fold_stem(one)
    assert "/" not in stem
    assert not stem.startswith(".")
    assert stem.isascii()
    assert len(stem) <= 100
    assert (fold_stem(other) == stem) == (other == one)


def test_an_unusable_prediction_names_file_line_and_image(tmp_path):
    table = piece("a", 3)
    table.loc[1, "predicted_age"] = np.nan
    write_csv(tmp_path / "p.csv", table)
    with pytest.raises(FeatxError, match=r"p\.csv, line 3: predicted_age of image 'a-1'"):
        read_csv(tmp_path / "p.csv")


def test_probabilities_of_folds_with_different_classes_share_one_axis(tmp_path):
    write_fold(
        tmp_path,
        piece("a"),
        {"fold": "a", "key": "k"},
        (np.array([1.0, 5.0]), np.full((2, 2), 0.5)),
    )
    write_fold(
        tmp_path,
        piece("b"),
        {"fold": "b", "key": "k"},
        (np.array([5.0, 9.0]), np.full((2, 2), 0.5)),
    )
    assert write_probabilities(tmp_path, ["a", "b"])
    with h5py.File(tmp_path / "probabilities.h5") as file:
        assert file["class"][:].tolist() == [1, 5, 9]
        assert file["probability"][:].tolist() == [[0.5, 0.5, 0]] * 2 + [[0, 0.5, 0.5]] * 2
        assert file["image"].asstr()[:].tolist() == ["a-0", "a-1", "b-0", "b-1"]


def test_a_folder_that_is_no_run_is_told(tmp_path):
    with pytest.raises(FeatxError, match=r"no run\.json"):
        read_run(tmp_path)
    (tmp_path / "run.json").write_text(json.dumps({"format": "featx-predictions/99"}))
    with pytest.raises(FeatxError, match="featx-predictions/99"):
        read_run(tmp_path)

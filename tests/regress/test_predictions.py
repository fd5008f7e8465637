import json

import h5py
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from featx.errors import FeatxError
from regress.fold_pieces import gather, write_fold
from regress.fold_records import finished_folds, fold_stem
from regress.predictions import COLUMNS, GENDERS, Run, read_csv, read_run, write_csv
from regress.probabilities import has_probabilities, read_probabilities, write_probabilities
from tests.regress.made_runs import GROUPS, draw, draw_probabilities, write_run


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


def test_genders_stay_beside_predictions_and_older_folds_have_none(tmp_path):
    known = piece("001").assign(gender=["female", ""])
    write_fold(tmp_path, known, {"fold": "001", "key": "k"})
    write_fold(tmp_path, piece("002"), {"fold": "002", "key": "k"})
    found = gather(tmp_path, ["001", "002"])
    assert found["gender"].tolist() == ["female", "", "", ""]
    assert "gender" not in gather(tmp_path, ["002"])
    write_csv(tmp_path / "predictions.csv", found)
    assert read_csv(tmp_path / "predictions.csv")["gender"].tolist() == ["female", "", "", ""]


def test_a_fold_counts_by_content(tmp_path):
    write_fold(tmp_path, piece("a"), {"fold": "a", "key": "k"})
    assert not finished_folds(tmp_path, "another key")
    table = tmp_path / "folds" / "a.csv"
    table.write_text(table.read_text()[:-5])
    assert not finished_folds(tmp_path, "k")
    table.unlink()
    assert not finished_folds(tmp_path, "k")


def test_joined_tables_are_those_read_one_by_one(tmp_path):
    for number, fold in enumerate(("b", "a", "c")):
        table = piece(fold, 2 + number)
        table.loc[0, "image"] = 'Zoë, the "2nd"\nof 1 NA'
        table["predicted_age"] += 0.1 + number / 3
        write_fold(tmp_path, table, {"fold": fold, "key": "k"})
    tables = [read_csv(tmp_path / "folds" / f"{fold}.csv") for fold in "bac"]
    expected = pd.concat(tables, ignore_index=True)
    pd.testing.assert_frame_equal(gather(tmp_path, "bac"), expected, check_exact=True)
    path = tmp_path / "folds" / "a.csv"
    path.write_bytes(path.read_bytes().rstrip())  # else the next row would go on in its last
    pd.testing.assert_frame_equal(gather(tmp_path, "bac"), expected, check_exact=True)
    tables[1].sort_index(axis=1).to_csv(path, index=False)
    pd.testing.assert_frame_equal(gather(tmp_path, "bac"), expected, check_exact=True)


def test_an_unusable_row_is_told_by_the_file_that_has_it(tmp_path):
    for fold in "abc":
        write_fold(tmp_path, piece(fold, 3), {"fold": fold, "key": "k"})
    path = tmp_path / "folds" / "b.csv"
    path.write_text(path.read_text().replace("b-1,b,b,35.5", "b-1,b,b,old"))
    with pytest.raises(FeatxError, match=r"b\.csv, line 3: age of image 'b-1'"):
        gather(tmp_path, "abc")


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


def test_a_run_of_gender_comes_back_with_unknown_ages(tmp_path):
    true, guess = draw(30, 0, groups=GENDERS)
    ages = np.where(np.arange(30) % 4 == 0, np.nan, np.arange(30) + 0.1)
    run = write_run(tmp_path, true, guess, task="gender", groups=GENDERS, ages=ages)
    assert (run.task, run.columns) == ("gender", ("gender", "predicted_gender"))
    assert run.groups == GENDERS
    written = (tmp_path / "predictions.csv").read_text().splitlines()[0]
    assert written == "image,subject,fold,age,gender,predicted_gender"
    rows = run.predictions["image"].str[1:].astype(int).to_numpy()
    np.testing.assert_array_equal(run.predictions["age"], ages[rows])
    assert run.predictions["gender"].tolist() == true[rows].tolist()
    assert run.predictions["predicted_gender"].tolist() == guess[rows].tolist()


def test_tasks_are_told_by_their_record_and_columns(tmp_path):
    true, guess = draw(12, 0)
    assert write_run(tmp_path / "groups", true, guess).columns == ("age_group", "predicted_group")
    run = write_run(tmp_path / "ages", np.arange(12), np.arange(12), task="age")
    assert (run.task, run.columns, run.groups) == ("age", ("age", "predicted_age"), ())


def test_a_run_without_finished_folds_has_the_columns_of_its_task(tmp_path):
    true, guess = draw(12, 0, groups=GENDERS)
    nothing = {"task": "gender", "groups": GENDERS, "left_out": ("0", "1", "2")}
    run = write_run(tmp_path, true, guess, **nothing)
    assert run.task == "gender"
    assert list(run.predictions)[-2:] == ["gender", "predicted_gender"]


@pytest.mark.parametrize(
    ("task", "column", "told"),
    [
        ("age", "age", "age of image 'i3' is not a finite number"),
        ("age", "predicted_age", "predicted_age of image 'i3' is not a finite number"),
        ("gender", "gender", "gender of image 'i3' is missing"),
        ("age-group", "predicted_group", "predicted_group of image 'i3' is missing"),
    ],
)
def test_what_a_row_must_have(tmp_path, task, column, told):
    values = np.arange(12) if task == "age" else np.array(["a", "b"] * 6)
    write_run(tmp_path, values, values, task=task, groups=("a", "b"))
    table = pd.read_csv(tmp_path / "predictions.csv", dtype=str)
    table.loc[table["image"] == "i3", column] = ""
    table.to_csv(tmp_path / "predictions.csv", index=False)
    with pytest.raises(FeatxError, match=rf"predictions\.csv, line 3: {told}"):
        read_run(tmp_path)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            {"task": "age-group"},
            "says task age-group, and predictions.csv has the columns of g",
        ),
        ({"task": "gendre"}, r"run\.json, 'gendre': did you mean gender"),
        ({"groups": []}, "names no groups, which task gender needs"),
    ],
)
def test_a_record_that_does_not_fit_is_told(tmp_path, changes, told):
    true, guess = draw(12, 0, groups=GENDERS)
    write_run(tmp_path, true, guess, task="gender", groups=GENDERS)
    path = tmp_path / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(FeatxError, match=told):
        read_run(tmp_path)


def test_probabilities_are_read_in_the_order_of_the_table(tmp_path):
    true, guess = draw(40, 0)
    given = draw_probabilities(40, 1)
    run = write_run(tmp_path, true, guess, probabilities=given)
    table = run.predictions.sample(frac=0.5, random_state=0)
    found = read_probabilities(Run(run.folder, run.info, table))
    assert found.classes.tolist() == list(GROUPS)
    np.testing.assert_allclose(found.values, given[table["image"].str[1:].astype(int)], atol=1e-7)


def test_what_is_wrong_with_probabilities_is_told(tmp_path):
    ages = np.arange(12.0)
    bare = write_run(tmp_path / "bare", ages, ages, task="age")
    assert not has_probabilities(bare)
    with pytest.raises(FeatxError, match="has no class probabilities"):
        read_probabilities(bare)
    true, guess = draw(12, 0)
    run = write_run(tmp_path / "a", true, guess)
    other = run.predictions.assign(image="x" + run.predictions["image"])
    with pytest.raises(FeatxError, match="has no row for image 'xi0'"):
        read_probabilities(Run(run.folder, run.info, other))
    doubled = pd.concat([run.predictions, run.predictions.head(1)], ignore_index=True)
    with pytest.raises(FeatxError, match="image 'i0' is there twice"):
        read_probabilities(Run(run.folder, run.info, doubled))
    with h5py.File(run.folder / "probabilities.h5", "r+") as file:
        file["probability"][4] = 0.1
    with pytest.raises(FeatxError, match="do not sum to 1"):
        read_probabilities(run)


def test_folds_that_name_different_classes_are_told(tmp_path):
    for fold, classes in (("a", ["x", "y"]), ("b", ["y", "x"])):
        probable = np.array(classes), np.full((2, 2), 0.5)
        write_fold(tmp_path, piece(fold), {"fold": fold, "key": "k"}, probable)
    with pytest.raises(FeatxError, match="its folds name different classes"):
        write_probabilities(tmp_path, ["a", "b"])

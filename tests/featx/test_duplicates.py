"""Byte-identical images and conflicting labels."""

import pandas as pd

from featx.duplicates import conflicting, mark_duplicates, own_reason
from featx.manifest import new_table


def table_of(*rows):
    names = ("image", "sha256", "age", "subject", "gender", "status", "reason")
    rows = [dict(zip(names, row, strict=False)) for row in rows]
    return new_table(pd.DataFrame(rows).assign(path="x"))


def test_the_first_is_kept_and_the_others_point_at_it():
    table = table_of(("a", "1", 3), ("b", "2", 3), ("c", "1", 3), ("d", "1", None))
    mark_duplicates(table)
    assert table["status"].tolist() == ["ok", "ok", "duplicate", "duplicate"]
    assert table["duplicate_of"].tolist() == ["", "", "a", "a"]
    assert table["reason"].tolist() == ["", "", "byte-identical: to a", "byte-identical: to a"]
    assert conflicting(table) == 0


def test_conflicts_are_told_in_every_member():
    table = table_of(
        ("a", "1", 3, "s1", "f"),
        ("b", "1", 4.5, "s1", ""),
        ("c", "1", 3, "s2", "f"),
        ("d", "2", 3, "", "m"),
        ("e", "2", 3, "", "f"),
        ("f", "3", 9, "", "f"),
    )
    mark_duplicates(table)
    assert table["reason"].tolist() == [
        "conflicting labels: age 3, 4.5; subject s1, s2",
        "byte-identical: to a; conflicting labels: age 3, 4.5; subject s1, s2",
        "byte-identical: to a; conflicting labels: age 3, 4.5; subject s1, s2",
        "conflicting labels: gender m, f",
        "byte-identical: to d; conflicting labels: gender m, f",
        "",
    ]
    assert conflicting(table) == 2
    assert [own_reason(reason) for reason in table["reason"][:2]] == ["", "byte-identical: to a"]


def test_excluded_and_unread_images_take_no_part():
    table = table_of(
        ("a", "1", 3, "", "", "excluded", "no age"),
        ("b", "1", 4),
        ("c", "", 4, "", "", "corrupt", "not there"),
        ("d", "", 5, "", "", "corrupt", "not there"),
    )
    before = table.copy()
    mark_duplicates(table)
    pd.testing.assert_frame_equal(table, before)


def test_copies_of_a_corrupt_file_are_corrupt():
    table = table_of(("a", "1", 3, "", "", "corrupt", "empty file"), ("b", "1", 4))
    mark_duplicates(table)
    assert table["status"].tolist() == ["corrupt", "corrupt"]
    assert table["reason"].tolist() == ["empty file", "empty file"]
    assert conflicting(table) == 0


def test_copies_of_an_image_without_a_face_point_at_it():
    table = table_of(("a", "1", 3, "", "", "no_face", "no face found"), ("b", "1", 4))
    mark_duplicates(table)
    assert table["status"].tolist() == ["no_face", "duplicate"]
    assert own_reason(table["reason"][0]) == "no face found"

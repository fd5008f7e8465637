import pandas as pd
import pytest

from regress.compare import compare
from regress.report.tables import (
    markdown_report,
    markdown_table,
    ranking,
    read_markdown_table,
    terminal_table,
    versus_best,
    write_tables,
)
from tests.exact_csv import EXACT


def test_csv_read_again_is_equal(comparison, tmp_path):
    write_tables(comparison, tmp_path)
    for name in ("table", "tests", "by_age", "by_subject"):
        again = pd.read_csv(tmp_path / f"{name}.csv", dtype={"subject": str}, **EXACT)
        pd.testing.assert_frame_equal(
            again, getattr(comparison, name), check_dtype=False, check_exact=True
        )


def test_markdown_read_again_is_equal_hostile_names_and_all(comparison, hostile):
    header, rows = ranking(comparison)
    again = read_markdown_table(markdown_report(comparison))
    assert list(again) == header
    assert again.to_numpy().tolist() == rows
    assert hostile in again["method"].tolist()
    assert "<script" not in markdown_report(comparison)


def test_markdown_table_keeps_pipes_and_lines_in_their_cells():
    text = markdown_table(["#", "method"], [["1", "a|b\nc\\"]])
    assert text == "| # | method |\n| --: | :-- |\n| 1 | a\\|b c\\\\ |"


def test_the_terminal_table_is_aligned_and_marks_what_is_incomplete(runs):
    half = {"folds": {"planned": 12, "done": 11, "missing": ["3"]}}
    made = runs(["one", "日本語の方法", "a much longer name"], changes={"one": half})
    lines = terminal_table(compare(made, bootstrap=200)).splitlines()
    assert "one †" in lines[4]
    assert lines[5].startswith("note: one is incomplete: 11 of 12 folds")
    column = lines[0].index("MAE")
    assert len(lines[2]) == len(lines[3]) - 6  # six wide characters take two columns each
    assert lines[4][column - 1 : column + 3].strip().replace(".", "").isdigit()


def test_versus_best_counts_from_the_best(comparison):
    header, rows = versus_best(comparison)
    assert [row[0] for row in rows] == ["2", "3"]
    table = comparison.table
    expected = table["mae"][1] - table["mae"][0]
    assert float(rows[0][header.index("behind the best by")]) == pytest.approx(expected, abs=0.006)

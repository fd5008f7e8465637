"""The comparison's tables for the terminal, as CSV and as Markdown."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from featx.atomic import write_text, writing
from regress.compare import CS_YEARS, Comparison
from regress.report.data_files import predictions_table
from regress.report.figure_data import cumulative_scores
from regress.report.formats import duration, interval, number, of_total, p_value, percent, signed

INCOMPLETE = "†"


def write_tables(comparison: Comparison, folder: Path) -> None:
    """Write table.md and the tables that every report has (`regress.report.data_files`) as CSV.

    CSV holds every number in full; Markdown holds what a reader needs, rounded.
    """
    for name, table in (
        ("table", comparison.table),
        ("tests", comparison.tests),
        ("by_age", comparison.by_age),
        ("by_subject", comparison.by_subject),
        ("predicted_against_true", predictions_table(comparison)),
        ("cumulative_score", cumulative_scores(comparison)),
    ):
        with writing(folder / f"{name}.csv") as temporary:
            table.to_csv(temporary, index=False, lineterminator="\n")
    write_text(folder / "table.md", markdown_report(comparison))


def ranking(comparison: Comparison) -> tuple[list[str], list[list[str]]]:
    """Return the header and the rows of the ranking, rounded for reading."""
    header = [
        "#",
        "method",
        "MAE",
        "95 % CI",
        "median AE",
        "quartiles",
        "R² pooled",
        "R² fold mean",
        f"CS({CS_YEARS})",
        "RMSE",
        "bias",
        "images",
        "subjects",
        "time",
    ]
    rows = []
    for row in comparison.table.to_dict("records"):
        mark = f" {INCOMPLETE}" if row["folds_done"] < row["folds_planned"] else ""
        rows.append(
            [
                str(row["rank"]),
                f"{row['method']}{mark}",
                number(row["mae"]),
                interval(row["mae_low"], row["mae_high"]),
                number(row["median_ae"]),
                interval(row["lower_quartile_ae"], row["upper_quartile_ae"]),
                number(row["r2_pooled"]),
                number(row["r2_fold_mean"]),
                percent(row[f"cs{CS_YEARS}"]),
                number(row["rmse"]),
                signed(row["bias"]),
                of_total(row["n_images"], row["n_total"]),
                f"{row['n_subjects']:,}",
                duration(row["seconds"]),
            ]
        )
    return header, rows


def versus_best(comparison: Comparison) -> tuple[list[str], list[list[str]]]:
    """Return the header and the rows of the paired tests against the best method."""
    unit = comparison.unit
    header = ["#", "method", "behind the best by", "95 % CI", "p", "p (Holm)", "images", f"{unit}s"]
    rows = [
        [
            str(rank),
            row["second"],
            number(-row["difference"]),
            interval(-row["high"], -row["low"]),
            p_value(row["p"]),
            p_value(row["p_holm"]),
            f"{row['n_images']:,}",
            f"{row[f'n_{unit}s']:,}",
        ]
        for rank, row in enumerate(comparison.versus_best().to_dict("records"), start=2)
    ]
    return header, rows


def terminal_table(comparison: Comparison) -> str:
    """Return the ranking as aligned text, followed by the notes."""
    header, rows = ranking(comparison)
    keep = [header.index(name) for name in _TERMINAL]
    text = aligned([[row[k] for k in keep] for row in [header, *rows]])
    return "\n".join([*text, *(f"note: {note}" for note in comparison.notes)])


def aligned(lines: Sequence[Sequence[str]]) -> list[str]:
    """Return a header and rows as lines of one width, the second column aligned left."""
    widths = [max(_width(line[k]) for line in lines) for k in range(len(lines[0]))]
    text = [
        "  ".join(
            _pad(cell, width, left=k == 1)
            for k, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]
    text.insert(1, "  ".join("─" * width for width in widths))
    return text


_TERMINAL = (
    "#", "method", "MAE", "95 % CI", "median AE", "R² pooled", "R² fold mean", f"CS({CS_YEARS})",
    "images", "subjects",
)  # fmt: skip


def _width(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def _pad(text: str, width: int, left: bool) -> str:
    fill = " " * (width - _width(text))
    return text + fill if left else fill + text


def markdown_report(comparison: Comparison) -> str:
    """Return the ranking, the tests against the best and the notes as GitHub Markdown."""
    parts = ["Errors in years.", markdown_table(*ranking(comparison))]
    if len(comparison.tests):
        parts += [
            f"Against {_escape(comparison.names[0])}; p-values by sign-flip permutation over "
            f"{comparison.unit}s, adjusted over all {len(comparison.tests)} pairs.",
            markdown_table(*versus_best(comparison)),
        ]
    parts += [f"Note: {_escape(note)}" for note in comparison.notes]
    return "\n\n".join(parts) + "\n"


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a GitHub Markdown table; the column ``method`` is aligned left, others right."""
    rule = [":--" if name == "method" else "--:" for name in header]
    lines = [[_escape(cell) for cell in line] for line in (header, *rows)]
    lines.insert(1, rule)
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def read_markdown_table(text: str) -> pd.DataFrame:
    """Read the first table of a Markdown text back as text cells."""
    lines = next(line for line in text.split("\n\n") if line.startswith("|")).splitlines()
    cells = [_split(line) for line in lines]
    return pd.DataFrame(cells[2:], columns=cells[0])


def _split(line: str) -> list[str]:
    hidden = line.replace("\\\\", "\0").replace("\\|", "\1")
    cells = hidden.strip().strip("|").split(" | ")
    return [
        cell.strip().replace("\1", "|").replace("\0", "\\").replace("&lt;", "<") for cell in cells
    ]


def _escape(text: str) -> str:
    one_line = " ".join(str(text).split())
    return one_line.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")

"""What a report on ages tells beyond errors and tests: ranks, calibration, gender, worst images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from featx.atomic import writing
from regress.by_gender import UNKNOWN, errors_by_gender
from regress.calibration import Calibration, calibrate
from regress.compare import Comparison
from regress.image_facts import ImageFacts, genders, image_facts
from regress.predictions import GENDERS
from regress.ranks import mean_ranks, ranks_table
from regress.report.calibration_figures import calibration_data, calibration_figure
from regress.report.formats import NOTHING, interval, number, p_value, percent, signed
from regress.report.gender_figure import gender_figure
from regress.report.inline_svg import WIDE, save, two_widths
from regress.report.rank_figure import rank_figure, rank_text
from regress.report.worst_section import worst_section
from regress.worst_images import worst_images

_SHOWN_LEVELS = (0.5, 0.8, 0.95)
_FIGURES = ("mean_ranks", "calibration", "error_by_gender")
_TABLES = ("ranks", "coverage", "pit", "crps", "by_gender", "worst_images")


@dataclass(frozen=True)
class Sections:
    """The further sections of a report, as they are written and as the page shows them.

    Attributes
    ----------
    tables : dict of str to pandas.DataFrame
        By the CSV file's name without its suffix; only of sections that there are.
    figures : dict of str to callable
        From a width in inches to the figure, by the file's name without its suffix.
    page : dict
        What the page's template takes of each section; None where it is left out.
    flags : list of str
        The options of `featx compare` that make the same sections.
    """

    tables: dict[str, pd.DataFrame]
    figures: dict[str, Callable[[float], Figure]]
    page: dict[str, Any]
    flags: list[str]

    def write(self, folder: Path) -> None:
        """Write tables and figures into a report's folder, and remove those of an earlier one."""
        for name in _TABLES:
            path = folder / f"{name}.csv"
            if name not in self.tables:
                path.unlink(missing_ok=True)
                continue
            with writing(path) as temporary:
                self.tables[name].to_csv(temporary, index=False, lineterminator="\n")
        for name in _FIGURES:
            stem = folder / "figures" / name
            if name in self.figures:
                save(self.figures[name](WIDE), stem)
                continue
            for suffix in (".png", ".svg"):
                stem.with_suffix(suffix).unlink(missing_ok=True)


def further_sections(
    comparison: Comparison, facts: ImageFacts | None = None, images: bool | None = None
) -> Sections:
    """Return the sections for which a comparison has the data.

    Parameters
    ----------
    comparison : Comparison
        Of ages.
    facts : ImageFacts, optional
        What else is known of the images; by default what the runs' image tables tell.
    images : bool, optional
        Whether to show the worst images' pictures; by default where no data set's terms forbid it.
    """
    facts = facts or image_facts(comparison.runs)
    made = Sections({}, {}, dict.fromkeys(("ranks", "calibration", "gender")), [])
    if images is not None:
        made.flags.append("--images" if images else "--no-images")
    if facts.given is not None:
        made.flags.extend(["--table", str(facts.given)])
    _add_ranks(made, comparison)
    _add_calibration(made, comparison)
    _add_gender(made, comparison, errors_by_gender(comparison, genders(comparison.runs, facts)))
    made.tables["worst_images"] = worst_images(comparison)
    made.page["worst"] = worst_section(made.tables["worst_images"], facts, images)
    return made


def _add_ranks(made: Sections, comparison: Comparison) -> None:
    ranks = mean_ranks(comparison)
    if ranks is None:
        return
    draw = partial(rank_figure, ranks)
    made.figures["mean_ranks"] = draw
    made.tables["ranks"] = ranks_table(ranks, comparison.unit)
    made.page["ranks"] = {
        "data": made.tables["ranks"],
        "figure": two_widths(draw, "mean-ranks", rank_text(ranks)),
        "n_methods": len(ranks.names),
        "chi2": number(ranks.chi2),
        "p": p_value(ranks.p),
        "n_blocks": f"{ranks.n_blocks:,}",
        "n_left_out": ranks.n_left_out,
        "unjoined": ranks.unjoined,
        "any_bar": bool(ranks.bars),
    }


def _add_calibration(made: Sections, comparison: Comparison) -> None:
    found = calibrate(comparison)
    if found is None:
        return
    draw = partial(calibration_figure, found, comparison.names)
    made.figures["calibration"] = draw
    made.tables.update(coverage=found.coverage, pit=found.pit, crps=found.scores)
    shown = [f"{100 * level:.0f} %" for level in _SHOWN_LEVELS]
    text = (
        "Observed coverage of the central intervals of predicted distributions against nominal "
        f"coverage, a line a method, for {len(found.scores)} of {len(comparison.names)} methods; "
        "beside it the histogram of the probability integral transform. coverage.csv and pit.csv "
        "have the numbers."
    )
    made.page["calibration"] = {
        "data": calibration_data(found),
        "figure": two_widths(draw, "calibration", text),
        "first": found.scores["method"][0],
        "levels": shown,
        "rows": _calibration_rows(found),
        "n_without": len(comparison.names) - len(found.scores),
    }


def _calibration_rows(found: Calibration) -> list[tuple[str, list[str]]]:
    covered = found.coverage.set_index(["method", "nominal"])
    rows = []
    for row in found.scores.to_dict("records"):
        cells = [number(row["crps"]), interval(row["crps_low"], row["crps_high"])]
        for level in _SHOWN_LEVELS:
            one = covered.loc[(row["method"], level)]
            cells.append(
                f"{percent(one['coverage'])} ({interval(100 * one['low'], 100 * one['high'], 0)})"
            )
        cells += [percent(row["calibration_error"]), number(row["width_80"], 1)]
        rows.append((str(row["method"]), [*cells, f"{row['n_images']:,}"]))
    return rows


def _add_gender(made: Sections, comparison: Comparison, table: pd.DataFrame) -> None:
    if table.empty:
        return
    draw = partial(gender_figure, table, comparison.names)
    made.figures["error_by_gender"] = draw
    made.tables["by_gender"] = table
    difference = " - ".join(GENDERS)
    cells = {(row["method"], row["gender"]): row for row in table.to_dict("records")}
    kinds = [kind for kind in dict.fromkeys(table["gender"]) if kind != difference]
    kinds.sort(key=lambda kind: kind == UNKNOWN)  # some methods may not have predicted them
    compared = difference in set(table["gender"])

    def told(name: str, kind: str) -> str:
        row = cells.get((name, kind))
        if row is None:
            return NOTHING
        write = signed if kind == difference else number
        return f"{write(row['mae'])} ({interval(row['mae_low'], row['mae_high'])})"

    columns = [*kinds, *([difference] if compared else [])]
    columns_of_counts = list(dict.fromkeys(("n_images", f"n_{comparison.unit}s")))
    most = table.groupby("gender")[columns_of_counts].max().loc[kinds]
    counts = [
        (column.removeprefix("n_"), [f"{int(n):,}" for n in most[column]])
        for column in columns_of_counts
    ]
    unknown = table.loc[table["gender"] == UNKNOWN, "n_images"]
    made.page["gender"] = {
        "data": made.tables["by_gender"],
        "figure": two_widths(
            draw,
            "error-by-gender",
            "Mean absolute error of each method by gender, with 95 % intervals. The table below "
            "has the numbers.",
        ),
        "kinds": [kind.replace(" - ", " \N{MINUS SIGN} ") for kind in columns],
        "rows": [(name, [told(name, kind) for kind in columns]) for name in comparison.names],
        "counts": [(what, [*n, *([""] if compared else [])]) for what, n in counts],
        "unknown": f"{int(unknown.max()):,}" if len(unknown) else "",
    }

"""The critical-difference diagram: methods along their mean ranks, bars over those alike."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from regress.ranks import Ranks
from regress.report.figure_style import INK, MUTED, SERIES, shorten, style
from regress.report.marks import mark

# Inches.
_AXIS = -0.42  # from the upper edge
_STEP_OF_BARS = 0.1
_STEP = 0.3
_LINE = 0.13  # of text of 8 points


def rank_figure(ranks: Ranks, width: float = 7.2) -> Figure:
    """Draw the diagram of Demšar (2006, Figure 1), the best method at the left.

    Bars join methods that are not told apart (`regress.ranks.mean_ranks` says by what). On a phone
    methods have their numbers in the ranking, and a key below names them.
    """
    narrow = width < 5
    n = len(ranks.names)
    margin, arm = (0.4, 0.1) if narrow else (2.55, 0.4)
    levels = bar_levels(ranks)
    top = _AXIS - 0.2 - _STEP_OF_BARS * (max(levels, default=-1) + 1)
    step = 0.2 if narrow else _STEP
    n_left = -(-n // 2)
    key = [_wrapped(name, 38) for name in ranks.names] if narrow else []
    height = step * n_left - top + sum(_key_height(lines) for lines in key)

    def at(rank: float) -> float:
        return margin + (width - 2 * margin) * (rank - 1) / (n - 1)

    with style():
        figure = Figure(figsize=(width, height))
        axes = figure.subplots(gridspec_kw={"left": 0, "right": 1, "bottom": 0, "top": 1})
        figure.set_layout_engine("none")
        axes.set(xlim=(0, width), ylim=(-height, 0))
        axes.set_axis_off()
        _draw_axis(axes, n, at(1), at(n))
        for level, (first, last) in zip(levels, ranks.bars, strict=True):
            y = _AXIS - 0.14 - _STEP_OF_BARS * level
            ends = at(ranks.mean_rank[first]) - 0.04, at(ranks.mean_rank[last]) + 0.04
            axes.plot(ends, (y, y), color=INK, lw=3, solid_capstyle="butt")
        for place in range(n):
            left = place < n_left
            y = top - step * (place if left else n - 1 - place) - 0.06
            x = at(ranks.mean_rank[place])
            edge = margin - arm if left else width - margin + arm
            colour = SERIES[0] if place == 0 else MUTED
            axes.plot((x, x, edge), (_AXIS, y, y), color=colour, lw=1.0, zorder=1)
            (point,) = axes.plot(x, _AXIS, "o", ms=4, color=colour, mew=0, zorder=3)
            mark(point, place, "{method}: mean rank {mean_rank:2}")
            side, other = ("right", "left") if left else ("left", "right")
            axes.text(
                edge + (-0.06 if left else 0.06), y,
                str(ranks.methods[place] + 1) if narrow else _wrapped(ranks.names[place], 28),
                ha=side, va="center", fontsize=8, linespacing=1.0, parse_math=False,
            )  # fmt: skip
            if not narrow:
                axes.text(
                    edge, y + 0.02, f"{ranks.mean_rank[place]:.2f}", ha=other, va="bottom",
                    fontsize=7.5, color=MUTED,
                )  # fmt: skip
        _draw_key(axes, ranks, key, top - step * n_left)
    return figure


def bar_levels(ranks: Ranks) -> list[int]:
    """Return how far below the axis each bar lies, so that none touches another."""
    ends: list[float] = []  # of the last bar in each level
    levels = []
    for first, last in ranks.bars:
        start = ranks.mean_rank[first]
        room = 0.06 * (len(ranks.names) - 1)
        level = next((k for k, end in enumerate(ends) if start > end + room), len(ends))
        ends[level : level + 1] = [float(ranks.mean_rank[last])]
        levels.append(level)
    return levels


def _wrapped(name: str, letters: int) -> str:
    """Return a name in two lines at most."""
    short = shorten(name, 2 * letters - 6)
    return "\n".join(textwrap.wrap(short, letters, max_lines=2, placeholder="…"))


def _key_height(lines: str) -> float:
    return _LINE * (lines.count("\n") + 1) + 0.07


def _draw_axis(axes: Axes, n: int, left: float, right: float) -> None:
    axes.plot((left, right), (_AXIS, _AXIS), color=INK, lw=1.0, zorder=2)
    for rank in range(1, n + 1, 1 if n <= 12 else 2):
        x = left + (right - left) * (rank - 1) / (n - 1)
        axes.plot((x, x), (_AXIS, _AXIS + 0.06), color=INK, lw=1.0)
        axes.text(x, _AXIS + 0.09, str(rank), ha="center", va="bottom", fontsize=8, color=MUTED)
    middle = (left + right) / 2
    axes.text(middle, -0.02, "mean rank", ha="center", va="top", fontsize=8, color=MUTED)


def _draw_key(axes: Axes, ranks: Ranks, key: Sequence[str], y: float) -> None:
    right = axes.get_xlim()[1] - 0.1
    for place, name in enumerate(key):
        number, rank = str(ranks.methods[place] + 1), f"{ranks.mean_rank[place]:.2f}"
        for x, text, side, colour in (
            (0.3, number, "right", MUTED),
            (0.42, name, "left", INK),
            (right, rank, "right", MUTED),
        ):
            axes.text(
                x, y, text, ha=side, va="top", fontsize=8, linespacing=1.0, color=colour,
                parse_math=False,
            )  # fmt: skip
        y -= _key_height(name)


def rank_text(ranks: Ranks) -> str:
    """Describe the diagram for those who cannot see it."""
    told = ", ".join(
        f"{name} {rank:.2f}" for name, rank in zip(ranks.names, ranks.mean_rank, strict=True)
    )
    bars = "; ".join(
        " to ".join(np.array(ranks.names)[[first, last]].tolist()) for first, last in ranks.bars
    )
    return f"Mean ranks: {told}. Bars join: {bars or 'no methods'}."

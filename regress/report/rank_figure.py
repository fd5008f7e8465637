"""The critical-difference diagram: methods along their mean ranks, bars over those alike."""

from __future__ import annotations

import textwrap

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from regress.ranks import Ranks
from regress.report.figures import INK, MUTED, SERIES, shorten, style

# Inches.
_AXIS = -0.42  # from the upper edge
_STEP_OF_BARS = 0.1
_STEP = 0.3
_KEY_STEP = 0.34


def rank_figure(ranks: Ranks, width: float = 7.2) -> Figure:
    """Draw the diagram of Demšar (2006, Figure 1), the best method at the left.

    Bars join methods that are not told apart (`regress.ranks.mean_ranks` says by what). On a phone
    methods have their numbers in the ranking, and a key below names them.
    """
    narrow = width < 5
    n = len(ranks.names)
    margin = 0.4 if narrow else 2.35
    levels = bar_levels(ranks)
    top = _AXIS - 0.2 - _STEP_OF_BARS * (max(levels, default=-1) + 1)
    step = 0.2 if narrow else _STEP
    n_left = -(-n // 2)
    height = step * n_left - top + (_KEY_STEP * n + 0.1 if narrow else 0.0)

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
            edge = margin - 0.1 if left else width - margin + 0.1
            colour = SERIES[0] if place == 0 else MUTED
            axes.plot((x, x, edge), (_AXIS, y, y), color=colour, lw=1.0, zorder=1)
            axes.plot(x, _AXIS, "o", ms=4, color=colour, mew=0, zorder=3)
            axes.text(
                edge + (-0.06 if left else 0.06), y, _label(ranks, place, narrow),
                ha="right" if left else "left", va="center", fontsize=8, linespacing=1.0,
                parse_math=False,
            )  # fmt: skip
        if narrow:
            _draw_key(axes, ranks, top - step * n_left - 0.1)
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


def _label(ranks: Ranks, place: int, narrow: bool) -> str:
    if narrow:
        return str(ranks.methods[place] + 1)
    told = f"{shorten(ranks.names[place], 44)} ({ranks.mean_rank[place]:.2f})"
    return "\n".join(textwrap.wrap(told, 28, max_lines=2, placeholder="…"))


def _draw_axis(axes: Axes, n: int, left: float, right: float) -> None:
    axes.plot((left, right), (_AXIS, _AXIS), color=INK, lw=1.0, zorder=2)
    for rank in range(1, n + 1, 1 if n <= 12 else 2):
        x = left + (right - left) * (rank - 1) / (n - 1)
        axes.plot((x, x), (_AXIS, _AXIS + 0.06), color=INK, lw=1.0)
        axes.text(x, _AXIS + 0.09, str(rank), ha="center", va="bottom", fontsize=8, color=MUTED)
    middle = (left + right) / 2
    axes.text(middle, -0.02, "mean rank", ha="center", va="top", fontsize=8, color=MUTED)


def _draw_key(axes: Axes, ranks: Ranks, top: float) -> None:
    for place, name in enumerate(ranks.names):
        y = top - _KEY_STEP * place
        axes.text(
            0.3, y, str(ranks.methods[place] + 1), ha="right", va="top", fontsize=8, color=MUTED
        )
        told = f"{shorten(name, 84)} ({ranks.mean_rank[place]:.2f})"
        lines = textwrap.wrap(told, 44, max_lines=2, placeholder="…")
        axes.text(
            0.42, y, "\n".join(lines), va="top", fontsize=8, linespacing=1.0, parse_math=False
        )


def rank_text(ranks: Ranks) -> str:
    """Describe the diagram for those who cannot see it."""
    told = ", ".join(
        f"{name} {rank:.2f}" for name, rank in zip(ranks.names, ranks.mean_rank, strict=True)
    )
    bars = "; ".join(
        " to ".join(np.array(ranks.names)[[first, last]].tolist()) for first, last in ranks.bars
    )
    return f"Mean ranks: {told}. Bars join: {bars or 'no methods'}."

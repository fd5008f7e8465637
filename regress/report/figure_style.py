"""How all figures look: settings, colours, names, legends.

Names are never read as mathematics. Colours are those of Okabe and Ito (2008), told apart by
line style and marker too.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

INK = "#1b1f24"
MUTED = "#626b76"
RULE = "#d9dde2"
SERIES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
_DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1)))
#: A marker that is there to be pointed at, not to be seen.
UNSEEN: dict[str, Any] = {"marker": "o", "ms": 4, "mfc": "none", "mec": "none"}


def style() -> AbstractContextManager[None]:
    """Return the drawing settings, to be entered while a figure is drawn or saved."""
    return matplotlib.rc_context(
        {
            "font.family": "sans-serif",
            "font.size": 9,
            "axes.edgecolor": RULE,
            "axes.labelcolor": INK,
            "axes.labelsize": 9,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "axes.axisbelow": True,
            "axes.titlesize": 9,
            "axes.titlelocation": "left",
            "grid.color": RULE,
            "grid.linewidth": 0.6,
            "text.color": INK,
            "xtick.color": RULE,
            "ytick.color": RULE,
            "xtick.labelcolor": MUTED,
            "ytick.labelcolor": MUTED,
            "xtick.labelsize": 8,
            "ytick.labelsize": 8,
            "legend.frameon": False,
            "legend.fontsize": 8,
            "svg.fonttype": "none",  # text stays text: searchable, and in the page's own font
            "svg.hashsalt": "featx",
            "figure.constrained_layout.use": True,
        }
    )


def label_rows(axes: Axes, rows: np.ndarray, names: Sequence[str], narrow: bool) -> None:
    """Name the rows of a figure: at their left, or above each on a phone."""
    if narrow:  # above each row, where a phone has room
        axes.set_yticks([])
        for row, name in zip(rows, names, strict=True):
            axes.text(
                0.005, row + 0.27, shorten(name, 52), fontsize=8, va="bottom",
                transform=axes.get_yaxis_transform(), parse_math=False,
            )  # fmt: skip
        axes.set_ylim(-0.5, len(names) - 0.25)
        return
    labels = ["\n".join(textwrap.wrap(shorten(name, 64), 34)) for name in names]
    axes.set_yticks(rows, labels)
    axes.set_ylim(-0.6, len(names) - 0.4)
    for label in axes.get_yticklabels():
        label.set(parse_math=False, color=INK, fontsize=8.5)


def shorten(name: str, width: int) -> str:
    """Shorten a long name in its middle."""
    name = " ".join(name.split())
    if len(name) <= width:
        return name
    head = (width - 1) * 2 // 3
    return f"{name[:head]}…{name[head + 1 - width :]}"


def line_look(rank: int) -> dict[str, Any]:
    """Return the look of a method's line: the best six in colour, others thin and grey."""
    if rank < len(SERIES):
        return {"color": SERIES[rank], "ls": _DASHES[rank], "lw": 1.7, "zorder": 9 - rank}
    return {"color": MUTED, "ls": "-", "lw": 0.6, "alpha": 0.55, "zorder": 1}


def legend(figure: Figure, axes: Axes, names: Sequence[str], width: float) -> None:
    """Name the lines of a figure below it: the best six, and how many others there are."""
    handles, _ = axes.get_legend_handles_labels()
    shown = handles[: len(SERIES)]
    limit = 46 if width < 5 else 44
    labels = [shorten(name, limit) for name in names[: len(shown)]]
    if len(handles) > len(shown):
        shown.append(handles[len(shown)])
        others = len(handles) - len(SERIES)
        labels.append(f"{others} other method{'s' if others > 1 else ''}")
    columns = 1 if width < 5 else 2
    box = figure.legend(
        shown, labels, loc="outside lower left", ncols=columns, handlelength=2.6, columnspacing=1.4
    )
    for text in box.get_texts():
        text.set_parse_math(False)

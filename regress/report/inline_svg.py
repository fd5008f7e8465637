"""Figures as SVG that can stand inside an HTML page."""

from __future__ import annotations

import contextlib
import io
import re
import warnings
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from pathlib import Path

from markupsafe import Markup
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from featx.atomic import writing
from regress.report.figure_style import INK, MUTED, RULE, SERIES, style
from regress.report.marks import marks_of

#: Drawn colour -> the page's variable, so that figures follow the light and dark scheme.
VARIABLES = {
    INK: "var(--ink)",
    MUTED: "var(--muted)",
    RULE: "var(--rule)",
    **{colour: f"var(--series-{k})" for k, colour in enumerate(SERIES, start=1)},
}
WIDE, NARROW = 7.6, 3.7  # inches: a page's column, a phone
_NO_METADATA = {"Creator": None, "Date": None, "Format": None, "Type": None}
_LINK = "{http://www.w3.org/1999/xlink}href"


@contextlib.contextmanager
def _drawing() -> Iterator[None]:
    """Enter the drawing settings; a letter the font lacks is a box in the PNG, and no matter."""
    with style(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


def save(figure: Figure, stem: Path) -> None:
    """Write a figure as PNG (200 dots an inch, white) and SVG beside each other, atomically."""
    with _drawing():
        with writing(stem.with_suffix(".png")) as temporary, temporary.open("wb") as out:
            FigureCanvasAgg(figure)
            figure.savefig(out, format="png", dpi=200, facecolor="white")
        with writing(stem.with_suffix(".svg")) as temporary, temporary.open("wb") as out:
            FigureCanvasSVG(figure)
            figure.savefig(out, format="svg", facecolor="white", metadata=_NO_METADATA)


def inline_svg(figure: Figure, prefix: str, description: str) -> Markup:
    """Return a figure as an `svg` element without namespaces, for use inside HTML.

    Its background is transparent and its colours are the page's variables; its ids carry
    `prefix`, since all figures of a page share one space of ids. What `regress.report.marks.mark`
    said of its artists is in the attributes ``data-row`` and ``data-say`` of their groups.

    Parameters
    ----------
    figure : Figure
    prefix : str
        Letters, digits and hyphens; unique in the page.
    description : str
        What the figure shows, for those who cannot see it.
    """
    raw = io.BytesIO()
    with _drawing():
        FigureCanvasSVG(figure)
        figure.savefig(raw, format="svg", transparent=True, dpi=150, metadata=_NO_METADATA)
    root = ET.fromstring(raw.getvalue())  # matplotlib wrote it  # nosec B314
    _tidy(root, prefix)
    marks = {f"{prefix}-{name}": told for name, told in marks_of(figure).items()}
    for element in root.iter():
        if told := marks.get(element.get("id", "")):
            element.set("data-row", str(told[0]))
            element.set("data-say", told[1])
    width, height = (
        float(root.attrib.pop(side).removesuffix("pt")) for side in ("width", "height")
    )
    root.attrib.pop("version", None)
    # 4/3 px a point: text of 9 points is 12 px at the figure's own width, and scales down with it
    root.set("style", f"width:{width * 4 / 3:.0f}px;aspect-ratio:{width:.1f}/{height:.1f}")
    root.set("role", "img")
    root.set("aria-label", description)
    escaped = ET.tostring(root, encoding="unicode")
    return Markup(escaped)  # nosec B704


def two_widths(draw: Callable[[float], Figure], name: str, description: str) -> dict[str, Markup]:
    """Return a figure as inline SVG in two widths; the page shows the one that fits."""
    return {
        kind: inline_svg(draw(width), f"{name}-{kind}", description)
        for kind, width in (("wide", WIDE), ("narrow", NARROW))
    }


def _tidy(element: ET.Element, prefix: str) -> None:
    element.tag = element.tag.rpartition("}")[2]
    for name in list(element.attrib):
        value = element.attrib.pop(name)
        if name == "id":
            value = f"{prefix}-{value}"
        elif name == _LINK:
            name, value = "href", value.replace("#", f"#{prefix}-", 1) if value[0] == "#" else value
        elif name in ("style", "clip-path"):
            value = _recolour(value.replace("url(#", f"url(#{prefix}-"))
        elif name in ("x", "y") and element.tag == "use":
            value = f"{float(value):.2f}"
        element.set(name.rpartition("}")[2], value)
    for child in list(element):
        if child.tag.endswith(("}style", "}metadata")):  # would reach the whole page
            element.remove(child)
        else:
            _tidy(child, prefix)
    if not [child for child in element if child.tag != "defs"] and element.tag == "defs":
        return
    _hoist(element)


def _recolour(value: str) -> str:
    for colour, variable in VARIABLES.items():
        value = value.replace(colour, variable)
    return re.sub(r"'DejaVu Sans'[^;]*", "sans-serif", value)


def _hoist(element: ET.Element) -> None:
    """Give the style that all points of a series repeat to their parent, once."""
    points = [child for child in element if child.tag == "use"]
    styles = {child.get("style") for child in points}
    if element.tag == "g" and len(points) > 1 and len(points) == len(element) and len(styles) == 1:
        shared = styles.pop()
        if shared:
            for child in points:
                del child.attrib["style"]
            element.set("style", shared)

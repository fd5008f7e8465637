"""Which rows of its data the marks of a figure show, so that the page can tell them on hover."""

from __future__ import annotations

from weakref import WeakKeyDictionary

from matplotlib.artist import Artist
from matplotlib.figure import Figure

_MARKS: WeakKeyDictionary[Figure, dict[str, tuple[int, str]]] = WeakKeyDictionary()


def mark(artist: Artist, row: int, say: str) -> None:
    """Tie an artist, already in its figure, to rows of the figure's data.

    Parameters
    ----------
    artist : Artist
        A line with markers, whose points are that many rows, or a patch, which is one.
    row : int
        The (first) row, from 0.
    say : str
        What to tell of a row, with names of columns in braces, and after a colon how many digits
        a number is rounded to: ``"{method}: {mae:2} years"``.
    """
    figure = artist.get_figure(root=True)
    if figure is None:
        raise ValueError("the artist is in no figure yet")
    marks = _MARKS.setdefault(figure, {})
    name = f"marks-{len(marks)}"
    artist.set_gid(name)  # becomes the id of its group in the SVG
    marks[name] = (int(row), say)


def marks_of(figure: Figure) -> dict[str, tuple[int, str]]:
    """Return the first row and the text of each marked artist of a figure, by its id."""
    return dict(_MARKS.get(figure, {}))

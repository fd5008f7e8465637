"""The error that a user can act on."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class FeatxError(Exception):
    """Bad input or a broken environment, told in one line.

    The message names the file, row or option and says what to do; the command line prints it
    without a traceback and exits with status 1.
    """


def unknown(kind: str, name: str, known: Iterable[str]) -> FeatxError:
    """Return an error for a name that is not among the known ones, with near matches.

    Parameters
    ----------
    kind : str
        What the name was meant to be, for example ``"backbone"``.
    name : str
        The name that was asked for.
    known : iterable of str
        The names that exist.
    """
    choices = sorted(known)
    near = difflib.get_close_matches(name, choices, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(choices)}"
    return FeatxError(f"unknown {kind} {name!r}: {hint}")

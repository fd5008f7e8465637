"""The error that a user can act on."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class FeatxError(Exception):
    """Bad input or a broken environment, told in one line.

    The message names the file, row or option and says what to do; the command line prints it
    without a traceback and exits with status 1.
    """


class Interrupted(FeatxError):
    """Work that a signal has stopped, where it can be taken up again.

    The command line prints the message and exits with `exit_code`.

    Parameters
    ----------
    message : str
        Where it stopped and how it goes on.
    signal : str
        The signal's name.
    """

    #: EX_TEMPFAIL of sysexits.h: another try goes on.
    exit_code = 75

    def __init__(self, message: str, signal: str) -> None:
        super().__init__(message, signal)
        self.signal = signal

    def __str__(self) -> str:
        """Return the message."""
        return str(self.args[0])


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

"""What a check found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Finding:
    """One thing looked at.

    Attributes
    ----------
    name : str
        Of the thing.
    ok : bool
        Whether it is well.
    detail : str
        What was seen.
    remedy : str
        What to do if it is not, or good advice where it is.
    severity : {"required", "optional"}
        What it means if it is not well: something is broken, or something is only not there that
        one can do without.
    """

    name: str
    ok: bool
    detail: str
    remedy: str = ""
    severity: Literal["required", "optional"] = "required"

"""Bytes and seconds in words. No torch."""

from __future__ import annotations


def in_bytes(count: float) -> str:
    """Return a number of bytes in binary units, as ``3.2 MiB``."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def in_time(seconds: float) -> str:
    """Return seconds in the two largest units that count, as ``2 h 5 min``; short ones as ``3 s``.

    A plan is no stopwatch: parts of a second are told below ten only.
    """
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    for unit, size, part, parts in (("min", 60, "s", 60), ("h", 3600, "min", 60)):
        if seconds < 60 * size:
            whole, rest = divmod(round(seconds / size * parts), parts)
            return f"{whole} {unit} {rest} {part}"
    whole, rest = divmod(round(seconds / 3600), 24)
    return f"{whole} d {rest} h" if whole else f"{rest} h"

"""How numbers are written for people: years, intervals, p-values, counts, durations."""

from __future__ import annotations

import math

NOTHING = "\N{EN DASH}"
MINUS = "\N{MINUS SIGN}"


def number(value: float, digits: int = 2) -> str:
    """Write a number with fixed digits and a true minus sign; an en dash where there is none."""
    if value is None or not math.isfinite(value):
        return NOTHING
    text = f"{value:,.{digits}f}"
    if float(text.replace(",", "")) == 0:
        text = text.lstrip("-")
    return text.replace("-", MINUS)


def signed(value: float, digits: int = 2) -> str:
    """Write a number with its sign, except zero."""
    text = number(value, digits)
    return text if value is None or not value > 0 or not text.strip("0.") else f"+{text}"


def interval(low: float, high: float, digits: int = 2) -> str:
    """Write an interval: ``3.71–4.35``, or ``−0.10 to 0.21`` where a sign would confuse."""
    if not (math.isfinite(low) and math.isfinite(high)):
        return NOTHING
    joint = "\N{EN DASH}" if low >= 0 and high >= 0 else " to "
    return f"{number(low, digits)}{joint}{number(high, digits)}"


def p_value(p: float) -> str:
    """Write a p-value with three digits, ``<0.001`` below that."""
    if not math.isfinite(p):
        return NOTHING
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def percent(share: float) -> str:
    """Write a share between 0 and 1 as a percentage with one digit."""
    return NOTHING if not math.isfinite(share) else f"{100 * share:.1f} %"


def duration(seconds: float) -> str:
    """Write seconds as people say them: ``12.3 s``, ``4 min 05 s``, ``13 h 20 min``."""
    if not math.isfinite(seconds):
        return NOTHING
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60:,} h {minutes % 60:02d} min"


def of_total(n: int, total: int) -> str:
    """Write a count beside its total: ``999 / 1,002``."""
    return f"{n:,} / {total:,}"


def decade(start: int) -> str:
    """Write a decade of age: ``20–29``."""
    return f"{start}\N{EN DASH}{start + 9}"

"""The space of a search's next phase, drawn around the best settings of the one before."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from featx.training.search.space import Range, Space, Values

if TYPE_CHECKING:
    from featx.training.search.file import Around


def narrow(
    space: Space, best: Sequence[Mapping[str, Any]], around: Around
) -> dict[str, Values | Range]:
    """Return the part of a space that lies around some settings.

    A range goes from the lowest of the settings to the highest, and on either side a fraction of
    the former range beyond, on its own scale: factors where it is logarithmic. Whole numbers move
    by 1 at least. Of a list remain the values of the settings and their neighbours: numbers by
    size, lists in the file's order; words and truths have no neighbours. Nothing outside the space
    comes in.

    Parameters
    ----------
    space : mapping
        Of the phase before.
    best : sequence of mapping
        Its best settings, one or more, a value for every key.
    around : Around
        How far to go.
    """
    return {
        key: _part_of_range(values, [each[key] for each in best], around.fraction)
        if isinstance(values, Range)
        else _part_of_list(values, [each[key] for each in best], around.neighbours)
        for key, values in space.items()
    }


def _part_of_range(span: Range, tried: list[float], fraction: float) -> Range:
    scale, back = (math.log, math.exp) if span.log else (float, float)
    ends = scale(span.low), scale(span.high)
    reach = fraction * (ends[1] - ends[0])
    low: float = back(max(ends[0], scale(min(tried)) - reach))
    high: float = back(min(ends[1], scale(max(tried)) + reach))
    if span.whole:
        low, high = math.ceil(low), math.floor(high)
    step = 1 if span.whole else 0
    # the way to a scale and back is not exact
    low = max(span.low, min(low, min(tried) - step))
    high = min(span.high, max(high, max(tried) + step))
    return span.model_copy(update={"low": low, "high": high}) if low < high else span


def _part_of_list(values: Values, tried: list[Any], neighbours: int) -> Values:
    if any(isinstance(value, str | bool) for value in values):
        return tuple(value for value in values if value in tried)
    numbers = not any(isinstance(value, tuple) for value in values)
    ordered = sorted(values) if numbers else list(values)
    places = [ordered.index(value) for value in tried]
    near = [
        value
        for place, value in enumerate(ordered)
        if any(abs(place - other) <= neighbours for other in places)
    ]
    return tuple(value for value in values if value in near)

"""The search file: which values of a stage are tried, and how, in one phase or several."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError, field_validator

from featx.errors import FeatxError
from featx.training.config.yaml_errors import refuse_own_fields, tell_errors
from featx.training.config.yaml_lines import Location, read_yaml
from featx.training.config.yaml_part import Part
from featx.training.search.space import Range, Space, Values, grid_size, in_words

Sampler = Literal["grid", "random", "tpe"]
Pruner = Literal["none", "median", "hyperband"]
Count = Annotated[int, Field(ge=1)]


class Around(Part):
    """Where a phase looks: around the best settings of the phase before.

    Attributes
    ----------
    best : int
        How many settings, those with the lowest validation losses.
    fraction : float
        Of the former range (on its own scale), that far below the lowest and above the highest of
        them; whole numbers move by 1 at least.
    neighbours : int
        In a list of values, so many places on either side of each of them; see
        `featx.training.search.narrowing.narrow`.
    """

    best: Count
    fraction: Annotated[float, Field(gt=0, lt=1)] = 0.25
    neighbours: Annotated[int, Field(ge=0)] = 1


class Phase(Part):
    """A part of a search with trials of its own; what it does not give is the file's.

    Attributes
    ----------
    name : str
        Of its trials' folders.
    around : Around or None
        None in the first phase, whose space is the file's.
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,60}$")]
    sampler: Sampler | None = None
    trials: Count | None = None
    epochs: Count | None = None
    pruner: Pruner | None = None
    around: Around | None = None


@dataclass(frozen=True)
class SettledPhase:
    """A `Phase` with what the file gives for all; `name` is empty where the file names none."""

    name: str
    sampler: Sampler
    trials: int | None
    epochs: int
    pruner: Pruner
    around: Around | None

    def models(self, space: Space) -> int:
        """Return how many trials there are; of a grid, in a space of that many values."""
        if self.sampler != "grid":
            assert self.trials is not None
            return self.trials
        combinations = grid_size(space)
        return min(combinations, self.trials or combinations)


class Search(Part):
    """A search over a stage's settings.

    Attributes
    ----------
    cascade : str
        The cascade file, relative to this one.
    stage : str
        Which of its stages; by default the last.
    sampler : {"grid", "random", "tpe"}
        How settings are chosen.
    trials : int or None
        How many are tried; all of a grid by default.
    epochs : int
        Of each trial.
    pruner : {"none", "median", "hyperband"}
        How hopeless trials are stopped early.
    space : mapping
        Lists of values, or `Range`, by the setting's place in the stage, such as
        ``optimiser.learning_rate``; or ``backbone.OPTION``, an option of the stage's backbone.
    phases : tuple of Phase or None
        One after the other, each but the first around the best settings of the one before.
    """

    cascade: str
    stage: str | None = None
    sampler: Sampler = "grid"
    trials: Count | None = None
    epochs: Count = 1
    pruner: Pruner = "none"
    seed: Annotated[int, Field(ge=0)] = 0
    space: Annotated[dict[str, Values | Range], Field(min_length=1)]
    phases: Annotated[tuple[Phase, ...], Field(min_length=1)] | None = None
    file: Path = Field(default=Path("search.yaml"), exclude=True)

    @field_validator("space", mode="before")
    @classmethod
    def _tuples(cls, given: object) -> object:
        if not isinstance(given, dict):
            return given
        for key, values in given.items():
            for value in values if isinstance(values, list) else ():
                if not all(map(_plain, value) if isinstance(value, list) else [_plain(value)]):
                    raise ValueError(
                        f"{key}: {value!r} is no value; give numbers, words, truths or lists of "
                        "them"
                    )
        return {key: _tuple(values) for key, values in given.items()}

    @property
    def settled(self) -> tuple[SettledPhase, ...]:
        """The phases with all they have; a single one where the file names none."""
        return tuple(
            SettledPhase(
                name=phase.name if self.phases else "",
                sampler=phase.sampler or self.sampler,
                trials=phase.trials or self.trials,
                epochs=phase.epochs or self.epochs,
                pruner=phase.pruner or self.pruner,
                around=phase.around,
            )
            for phase in self.phases or (Phase(name="search"),)
        )


def read_search(path: str | Path) -> Search:
    """Read a search file.

    Raises
    ------
    FeatxError
        If it is malformed, naming line and key.
    """
    path = Path(path)
    data, lines = read_yaml(path)
    if not isinstance(data, dict):
        raise FeatxError(f"{path}, line 1: give a mapping with cascade and space")
    refuse_own_fields(path, data, lines, Search)
    try:
        search = Search.model_validate({**data, "file": path})
    except ValidationError as error:
        raise tell_errors(path, error, lines, Search) from None
    for location, message in _slips(search):
        raise FeatxError(f"{path}, line {lines[location]}: {message}")
    return search


def outline(search: Search) -> list[str]:
    """Return what a search will do, in lines: its space, its phases, and how many models."""
    lines = [f"{key}: {in_words(values)}" for key, values in search.space.items()]
    total, bound, before = 0, "", ""
    for phase in search.settled:
        count = phase.models(search.space)
        most = "at most " if phase.around and phase.sampler == "grid" else ""
        total, bound = total + count, bound or most
        told = f"{most}{_counted(count, 'model')} of up to {_counted(phase.epochs, 'epoch')}, "
        told += phase.sampler
        if phase.pruner != "none":
            told += f", pruned by {phase.pruner}"
        if phase.around:
            told += (
                f", around the best {phase.around.best} of {before}: by {phase.around.fraction:g} "
                f"of a range, by {_counted(phase.around.neighbours, 'place')} of a list"
            )
        lines.append(f"{phase.name}: {told}" if phase.name else told)
        before = phase.name
    return [*lines, f"{bound}{total} models in all"] if search.phases else lines


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'s' * (count != 1)}"


def _plain(value: object) -> bool:
    return isinstance(value, int | float | str)


def _tuple(values: object) -> object:
    return tuple(_tuple(each) for each in values) if isinstance(values, list) else values


def _slips(search: Search) -> Iterator[tuple[Location, str]]:
    """Yield what does not go together, each with its place in the file."""
    yield from _slips_of_space(search)
    phases = search.settled
    twice = [name for name, count in Counter(p.name for p in phases).items() if count > 1]
    for name in twice:
        yield ("phases",), f"phases: two are named {name}"
    for number, phase in enumerate(phases):
        place: Location = ("phases", number) if search.phases else ()
        who = f"phase {phase.name}: " if search.phases else ""
        ranges = [key for key, values in search.space.items() if isinstance(values, Range)]
        if phase.sampler == "grid" and ranges:
            key = ranges[0]
            yield ("space", key), f"{who}a grid needs a list of values, not a range, for {key}"
        if phase.sampler != "grid" and phase.trials is None:
            yield place, f"{who}give the number of trials of the sampler {phase.sampler}"
        if number == 0 and phase.around is not None:
            yield (*place, "around"), f"{who}around: there is no phase before the first"
        if number > 0 and phase.around is None:
            yield place, f"{who}give around, such as {{best: 5}}: it looks there and nowhere else"
        if number > 0 and phase.around is not None:
            most = phases[number - 1].models(search.space)
            if phase.around.best > most:
                yield (
                    (*place, "around"),
                    f"{who}around.best is {phase.around.best}, but {phases[number - 1].name} "
                    f"has {_counted(most, 'trial')}",
                )


def _slips_of_space(search: Search) -> Iterator[tuple[Location, str]]:
    for key, values in search.space.items():
        place: Location = ("space", key)
        if key == "epochs":
            yield place, "epochs: all trials train equally long; give epochs outside space"
        if key.startswith("backbone.") and "backbone" in search.space:
            yield place, f"{key}: the backbone varies too; leave one of the two out"
        if isinstance(values, Range):
            continue
        if not values:
            yield place, f"no value for {key}"
        for number, value in enumerate(values):
            if any(value == other and type(value) is type(other) for other in values[:number]):
                yield (*place, number), f"{key}: {value!r} stands twice"

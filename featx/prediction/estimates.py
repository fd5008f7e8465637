"""What a network tells of one face: an age with its spread, a group, a gender."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from featx.heads import GENDERS, HeadSpec, Task
from featx.training.images.labels import bounds
from featx.training.inference import Predicted

#: The part of the class distribution that an interval holds.
INTERVAL = 0.8


@dataclass(frozen=True)
class Estimate:
    """A network's estimate of one face; None where the network does not tell.

    Attributes
    ----------
    age : float
        Years: the expected value of the age classes, or plain regression's output.
    age_sd : float
        Years: the standard deviation of the distribution over the age classes. It is the network's
        own uncertainty, no measured error.
    age_low, age_high : float
        Years: between the classes at which the distribution reaches 10 % and 90 %; of groups the
        first year of the one and the last of the other.
    age_group : str
        The most probable, where the classes are groups.
    age_group_probability : float
        Its probability.
    gender : str
        ``female`` or ``male``, the more probable.
    gender_probability : float
        Its probability.
    """

    age: float | None = None
    age_sd: float | None = None
    age_low: float | None = None
    age_high: float | None = None
    age_group: str | None = None
    age_group_probability: float | None = None
    gender: str | None = None
    gender_probability: float | None = None

    def describe(self) -> dict[str, Any]:
        """Return it as JSON values, rounded to what single precision can tell."""
        return {
            name: round(value, 4) if isinstance(value, float) else value
            for name, value in asdict(self).items()
        }

    @classmethod
    def from_description(cls, given: Mapping[str, Any]) -> Estimate:
        """Read what `describe` returned, among whatever else is told of a face."""
        return cls(**{field.name: given[field.name] for field in fields(cls)})

    def told(self) -> str:
        """Return it in a line, as it is written on pictures."""
        parts = []
        if self.age is not None:
            spread = "" if self.age_sd is None else f" ± {self.age_sd:.0f}"
            group = "" if self.age_group is None else f" ({self.age_group})"
            parts.append(f"{self.age:.0f}{spread}{group}")
        if self.gender is not None and self.gender_probability is not None:
            parts.append(f"{self.gender} {100 * self.gender_probability:.0f} %")
        return ", ".join(parts)


def told_of(record: Mapping[str, Any]) -> str:
    """Return what was told of a picture, or why nothing was, in a line."""
    faces = [Estimate.from_description(face).told() for face in record["faces"]]
    return "; ".join(faces) or str(record["reason"])


def read_estimates(
    predicted: Mapping[Task, Predicted], specs: Mapping[Task, HeadSpec]
) -> list[Estimate]:
    """Turn what a network tells of some faces into an estimate a face.

    Parameters
    ----------
    predicted : mapping of task to Predicted
        The network's, averaged over views.
    specs : mapping of task to HeadSpec
        Its heads.
    """
    found: list[dict[str, Any]] = []
    for task, given in predicted.items():
        read = _age if task == "age" else _gender
        values = given.ages if given.probabilities is None else given.probabilities
        assert values is not None
        found = found or [{} for _ in values]
        for number, known in enumerate(found):
            known |= read(given, number, specs[task])
    return [Estimate(**known) for known in found]


def _age(given: Predicted, number: int, spec: HeadSpec) -> dict[str, Any]:
    assert given.ages is not None
    age = float(given.ages[number])
    if given.probabilities is None:
        return {"age": age}
    probabilities = given.probabilities[number].astype(float)
    low, high = interval(probabilities, spec)
    known: dict[str, Any] = {
        "age": age,
        "age_sd": spread(probabilities, np.asarray(spec.classes)),
        "age_low": low,
        "age_high": high,
    }
    if spec.groups:
        best = int(probabilities.argmax())
        known |= {
            "age_group": spec.groups[best],
            "age_group_probability": float(probabilities[best]),
        }
    return known


def _gender(given: Predicted, number: int, spec: HeadSpec) -> dict[str, Any]:
    assert given.probabilities is not None
    probabilities = given.probabilities[number]
    best = int(probabilities.argmax())
    names = spec.groups or GENDERS
    return {"gender": names[best], "gender_probability": float(probabilities[best])}


def spread(probabilities: np.ndarray, years: np.ndarray) -> float:
    """Return the standard deviation of a distribution over classes, in years.

    Parameters
    ----------
    probabilities : numpy.ndarray of shape (classes,)
        Summing to 1, but for rounding.
    years : numpy.ndarray of shape (classes,)
        The classes' values.
    """
    weights = probabilities / probabilities.sum()
    mean = weights @ years
    return float(np.sqrt(weights @ (years - mean) ** 2))


def interval(
    probabilities: np.ndarray, spec: HeadSpec, part: float = INTERVAL
) -> tuple[float, float]:
    """Return the classes between which the middle part of a distribution lies, in years.

    Parameters
    ----------
    probabilities : numpy.ndarray of shape (classes,)
        Summing to 1, but for rounding.
    spec : HeadSpec
        Says what the classes are.
    part : float
        0.8 leaves out at most 0.1 at either end.
    """
    summed = np.cumsum(probabilities / probabilities.sum())
    tail = (1 - part) / 2
    # a little less than the tail is the tail: sums in floating point may miss it by rounding
    first = int(np.searchsorted(summed, tail - 1e-9))
    last = int(np.searchsorted(summed, 1 - tail - 1e-9))
    last = min(last, len(summed) - 1)
    if spec.groups:
        return bounds(spec.groups[first])[0], bounds(spec.groups[last])[1]
    return spec.classes[first], spec.classes[last]

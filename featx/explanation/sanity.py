"""Whether maps depend on what a network has learned: a check that drawn weights destroy them.

Adebayo, Gilmer, Muelly, Goodfellow, Hardt and Kim 2018, "Sanity checks for saliency maps",
NeurIPS: the weights are replaced by drawn ones, from the output back, each layer on top of those
before it ("cascading randomization"), and each map is compared with that of the trained network.
A map that stays is one of the picture, as an edge detector's is, and explains nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from featx.explanation.similarity import rank_correlation, structural_similarity
from featx.explanation.untrained import cascade, untrained, weighted_units
from featx.weights import LoadedNetwork

#: A map that is more alike than this under drawn weights does not depend on them. Ours: the paper
#: gives no number.
LIMIT = 0.5

#: Sets of drawn weights, so that no chance likeness decides.
DRAWS = 3

#: What gives a network's maps of some pictures, by name: (n, h, w).
Mapper = Callable[[nn.Module], Mapping[str, np.ndarray]]


@dataclass(frozen=True)
class Step:
    """How alike maps are to those of the trained network; means over pictures and draws.

    Attributes
    ----------
    map : str
        The map's name.
    drawn : str
        The last part whose weights were drawn, all behind it too.
    parts : int
        How many parts are drawn.
    rank : float
        Spearman's correlation over the map's places.
    rank_of_sizes : float
        The same of the values without their signs, for drawn weights may turn all signs.
    ssim : float
        Structural similarity of the maps as they are shown.
    flat : float
        The part of the maps under drawn weights that are the same everywhere; they count as not
        alike, but show nothing.
    """

    map: str
    drawn: str
    parts: int
    rank: float
    rank_of_sizes: float
    ssim: float
    flat: float


@dataclass(frozen=True)
class Checked:
    """A map that was checked.

    Attributes
    ----------
    places : int
        It has.
    faces : int
        For which the trained network's map is not the same everywhere; the means are over these.
    """

    places: int
    faces: int


@dataclass(frozen=True)
class Check:
    """What the check came to.

    Attributes
    ----------
    draws : int
        Over how many the means are.
    maps : dict of str to Checked
        By their names.
    steps : tuple of Step
        Of each map, from the head's weights alone to all weights.
    """

    draws: int
    maps: dict[str, Checked]
    steps: tuple[Step, ...]

    def last(self, name: str) -> Step:
        """Return a map's step with all weights drawn."""
        return [step for step in self.steps if step.map == name][-1]

    def depends(self, name: str) -> bool:
        """Tell whether a map depends on the weights: it is not alike once all are drawn."""
        if not self._shows(name):
            return False
        step = self.last(name)
        return max(abs(step.rank), abs(step.rank_of_sizes)) < LIMIT

    def _shows(self, name: str) -> bool:
        """Tell whether there is a map to compare, and mostly one to compare it with."""
        return self.maps[name].faces > 0 and self.last(name).flat <= 0.5

    def verdict(self, name: str) -> str:
        """Return what the check says of a map, in a line."""
        if not self.maps[name].faces:
            return "is the same everywhere on every face, and explains nothing"
        step = self.last(name)
        if not self._shows(name):
            return (
                f"could not be checked: with drawn weights {step.flat:.0%} of the maps are the "
                "same everywhere; try --score logit or another target"
            )
        told = (
            f"rank correlation {step.rank:.2f} ({step.rank_of_sizes:.2f} without signs), "
            f"SSIM {step.ssim:.2f} once all weights are drawn"
        )
        if self.depends(name):
            return f"depends on the weights: {told}"
        return f"does NOT depend on the weights, and explains nothing: {told}"

    def describe(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "draws": self.draws,
            "limit": LIMIT,
            "maps": {
                name: {**asdict(each), "depends_on_weights": self.depends(name)}
                for name, each in self.maps.items()
            },
            "steps": [asdict(step) for step in self.steps],
        }


def check(
    network: LoadedNetwork,
    mapper: Mapper,
    shown: Callable[[str, np.ndarray], np.ndarray] = lambda name, maps: maps,
    *,
    images: torch.Tensor | None = None,
    seed: int = 0,
    draws: int = DRAWS,
    advance: Callable[[int], None] = lambda n: None,
) -> Check:
    """Draw a network's weights anew, from the head back, and see what becomes of its maps.

    Parameters
    ----------
    network : LoadedNetwork
        Fine-tuned; it stays as it is.
    mapper : callable
        Gives the maps of the same pictures by any network of this architecture.
    shown : callable
        A map's name, and maps (n, h, w), to maps as they are shown, for the structural similarity.
    images : torch.Tensor, optional
        Network input for the statistics of drawn batch normalisations; see `untrained`.
    seed : int
        Of the first draw; the others have those after it.
    draws : int
        Sets of drawn weights.
    advance : callable
        Told how many steps more are done; `count_steps` tells how many there are.
    """
    trained = mapper(network.module)
    varied = {name: np.ptp(maps, axis=(1, 2)) > 0 for name, maps in trained.items()}
    units = weighted_units(network)
    device = next(network.module.parameters()).device
    found: dict[tuple[str, int], list[tuple[float, ...]]] = {}
    for draw in range(draws):
        drawn = untrained(network, seed + draw, images).to(device)
        for number, (_, changed) in enumerate(cascade(network, drawn, units)):
            for name, maps in mapper(changed).items():
                rows = varied[name]
                if rows.any():
                    alike = _alike(name, trained[name][rows], maps[rows], shown)
                    found.setdefault((name, number), []).append(alike)
            advance(1)
    steps = [
        Step(name, unit, number + 1, *map(float, np.mean(found[name, number], axis=0)))
        for name in trained
        if varied[name].any()
        for number, unit in enumerate(units)
    ]
    checked = {
        name: Checked(int(np.prod(maps.shape[1:])), int(varied[name].sum()))
        for name, maps in trained.items()
    }
    return Check(draws, checked, tuple(steps))


def count_steps(network: LoadedNetwork, draws: int = DRAWS) -> int:
    """Return how many steps `check` has."""
    return draws * len(weighted_units(network))


def _alike(
    name: str,
    maps: np.ndarray,
    others: np.ndarray,
    shown: Callable[[str, np.ndarray], np.ndarray],
) -> tuple[float, ...]:
    return (
        float(rank_correlation(maps, others).mean()),
        float(rank_correlation(np.abs(maps), np.abs(others)).mean()),
        float(structural_similarity(shown(name, maps), shown(name, others)).mean()),
        float((np.ptp(others, axis=(1, 2)) == 0).mean()),
    )


def table(check: Check) -> str:
    """Return the steps as a table of text."""
    rows: Sequence[tuple[str, ...]] = [
        ("map", "weights drawn down to", "parts", "rank", "rank of sizes", "SSIM", "flat"),
        *(
            (s.map, s.drawn, str(s.parts), f"{s.rank:.3f}", f"{s.rank_of_sizes:.3f}",
             f"{s.ssim:.3f}", f"{s.flat:.2f}")
            for s in check.steps
        ),
    ]  # fmt: skip
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(
            cell.ljust(width) if place < 2 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    told = [
        f"{name} ({each.places} places, {each.faces} faces): {check.verdict(name)}"
        for name, each in check.maps.items()
    ]
    head = (
        f"Means over faces and {check.draws} draws. Alike, so not dependent, from a rank "
        f"correlation of {LIMIT:g}."
    )
    return "\n".join([*told, head, "", *lines]) + "\n"

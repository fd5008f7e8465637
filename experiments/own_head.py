"""What a fine-tuned network's own head says of images, beside what their labels say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from featx.errors import FeatxError
from featx.heads import GENDERS, Heads, HeadSpec, Task
from featx.training.images.labels import bounds, label
from featx.training.images.samples import Samples
from featx.training.inference import PixelSource, predict
from featx.views import View
from featx.weights import LoadedNetwork
from regress.expected_age import told_classes
from regress.grouping import nearest_group


@dataclass(frozen=True)
class Estimate:
    """What is said of some images.

    Attributes
    ----------
    ages : numpy.ndarray or None
        Years, float64 (n,); None for gender.
    classes, probabilities : numpy.ndarray or None
        Names or years (k,), and float32 (n, k); None of plain regression.
    report : dict
        How it came about.
    """

    ages: np.ndarray | None
    classes: np.ndarray | None
    probabilities: np.ndarray | None
    report: dict[str, Any]

    @property
    def groups(self) -> tuple[str, ...]:
        """The classes where they are named; none where they are years."""
        if self.classes is None or self.classes.dtype.kind != "U":
            return ()
        return tuple(self.classes.tolist())

    @property
    def piece(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Classes and probabilities, as `regress.predictions.write_fold` takes them."""
        if self.classes is None or self.probabilities is None:
            return None
        return self.classes, self.probabilities


def estimate(
    network: LoadedNetwork,
    store: PixelSource,
    rows: np.ndarray,
    *,
    task: Task,
    view: View,
    device: torch.device,
) -> Estimate:
    """Ask a network's head of one task about some rows of a store, each and its mirror image."""
    heads = network.module.get_submodule(network.backbone.head)
    assert isinstance(heads, Heads)
    given = predict(
        network.module.to(device),
        heads,
        network.preprocessing,
        store,
        rows,
        device=device,
        view=view,
    )[task]
    spec = heads.of(task).spec
    classes = None if given.probabilities is None else np.array(spec.groups or spec.classes)
    told = network.provenance
    report = {"epochs": told["epochs"], **told["last_epoch"]}
    return Estimate(given.ages, classes, given.probabilities, report)


def spec_of(specs: tuple[HeadSpec, ...], task: Task, where: str) -> HeadSpec:
    """Return the head of a task.

    Raises
    ------
    FeatxError
        If there is none.
    """
    for spec in specs:
        if spec.task == task:
            return spec
    raise FeatxError(f"{where} has the tasks {', '.join(spec.task for spec in specs)}, not {task}")


def beside_labels(
    samples: Samples, said: Estimate, task: Task, groups: tuple[str, ...]
) -> dict[str, Any]:
    """Return the columns of a table of predictions that depend on what is predicted.

    Parameters
    ----------
    samples : Samples
        The images, in the order of the estimates.
    said : Estimate
        Of them.
    task : {"age", "gender"}
        What of.
    groups : tuple of str
        Age groups into which labels and estimates go; none where ages are told as such.

    Returns
    -------
    dict
        By column: the true and the predicted value of each image (n,); the true age apart, which
        every table of predictions has.

    Raises
    ------
    FeatxError
        If a label lies in none of the groups.
    """
    if task == "gender":
        assert said.classes is not None
        assert said.probabilities is not None
        guess = told_classes(said.probabilities, said.classes, GENDERS)
        return {"gender": samples.table["gender"].tolist(), "predicted_gender": guess}
    if not groups:
        return {"predicted_age": said.ages}
    names = np.array(groups)
    true = label(samples, [sum(bounds(group)) / 2 for group in groups], groups)
    if said.classes is not None and said.probabilities is not None:
        guess = told_classes(said.probabilities, said.classes, groups)
    else:  # plain regression
        assert said.ages is not None
        guess = names[nearest_group(said.ages, groups)]
    return {"age_group": names[true.index], "predicted_group": guess}

"""What AutoML is measured on: a layer of a features file, or features made up from a seed.

There are 1,002 made-up images of 512 units, 82 people; ages follow nonlinearly from six latent
numbers, with noise and an offset a person.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
import pandas as pd

from regress.data import load_layer
from regress.protocols import Fold, plan_folds


@dataclass(frozen=True)
class Problem:
    """Features, ages (years) and subjects of some images, and the folds to predict."""

    X: np.ndarray
    y: np.ndarray
    groups: np.ndarray
    folds: list[Fold]

    def parts(self, fold: Fold) -> dict[str, np.ndarray]:
        """Return what a method is given of a fold."""
        X, y, groups = (values[fold.train] for values in (self.X, self.y, self.groups))
        return {"X_train": X, "y_train": y, "groups": groups, "X_test": self.X[fold.test]}


def made_up(seed: int, images: int, units: int, people: int) -> tuple[pd.DataFrame, np.ndarray]:
    """Return a table of images with ages (years), and features (float32) they follow from."""
    rng = np.random.default_rng(seed)
    who = np.sort(np.concatenate([np.arange(people), rng.integers(people, size=images - people)]))
    offset = rng.normal(size=people)
    latent = rng.normal(size=(images, 6)) + 0.3 * rng.normal(size=(people, 6))[who]
    age = 30 + 12 * np.sin(latent[:, 0]) + 5 * latent[:, 1] * latent[:, 2] + 4 * latent[:, 3]
    age += 2 * offset[who] + 2 * rng.normal(size=images)
    X = np.maximum(latent @ rng.normal(size=(6, units)) / np.sqrt(6), 0)
    X += 0.3 * rng.normal(size=X.shape)
    names = [f"{row:04d}" for row in range(images)]
    columns = {"image": names, "subject": [f"{one:03d}" for one in who], "age": age.clip(0)}
    table = pd.DataFrame({**columns, "fold": "", "sha256": ""})
    return table, X.astype(np.float32)


def given(
    features: str | None, layer: str | None, protocol: str = "lopo", seed: int = 0, **sizes: int
) -> tuple[Problem, str]:
    """Return the problem of a features file's layer, or of made-up features, and what they are."""
    if features and not layer:
        raise click.UsageError("give --layer with --features")
    if features:
        data = load_layer(features, layer)
        images, X, label = data.images, data.X, f"{Path(features).name}, layer {layer}"
    else:
        images, X = made_up(seed, **sizes)
        label = "made-up features"
    ages, people = images["age"].to_numpy(float), images["subject"].to_numpy(str)
    return Problem(X, ages, people, plan_folds(protocol, images)), label


def with_data(command: Callable) -> Callable:
    """Add the options by which `given` gets its data."""
    for option in (
        click.option("--people", default=82, show_default=True, help="Made up."),
        click.option("--units", default=512, show_default=True, help="Made up."),
        click.option("--images", default=1002, show_default=True, help="Made up."),
        click.option("--layer", help="Its layer."),
        click.option("--features", type=click.Path(exists=True), help="A features file."),
    ):
        command = option(command)
    return command

"""Nested leave-one-person-out by exact-kernel, against refitting scikit-learn's KernelRidge.

    python benchmarks/exact_kernel.py --images 1002 --units 512 --subjects 82

Ours is one call of `cross_val_predict_groups`: for each person left out, kernel and λ are chosen by
leave-one-person-out among the others, over the whole default grid. Theirs is the same by hand: a
`KernelRidge` is fitted, and asked for the people left out, for each outer person, inner person,
kernel and λ. In each turn a random sample of these refits is timed, and the rest extrapolated from
it. That both predict the same is shown by tests/regress/regressors/test_exact_kernel.py.
"""

from __future__ import annotations

from typing import Any

import click
import numpy as np
from side_by_side import machine, take_turns
from sklearn.kernel_ridge import KernelRidge
from sklearn.preprocessing import normalize

from regress.regressors.exact_kernel import ExactKernelRegressor
from regress.regressors.exact_kernel.selection import ALPHAS, DEGREES, GAMMAS


def made_up(images: int, units: int, subjects: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return features (float32), ages in years that follow from them, and each image's subject."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(images, units)).astype(np.float32)
    y = 30 + 10 * X[:, 0] + 5 * np.abs(X[:, 1]) + rng.normal(size=images)
    return X, y, np.arange(images) % subjects


def candidates() -> list[dict[str, Any]]:
    """Return the default grid as parameters of scikit-learn's estimator."""
    kernels: list[dict[str, Any]] = [{"kernel": "linear"}]
    kernels += [{"kernel": "rbf", "gamma": gamma} for gamma in GAMMAS]
    kernels += [{"kernel": "poly", "degree": d, "gamma": 0.5, "coef0": 0.5} for d in DEGREES]
    return [{**kernel, "alpha": alpha} for kernel in kernels for alpha in ALPHAS]


@click.command(help=__doc__)
@click.option("--images", default=1002, show_default=True)
@click.option("--units", default=512, show_default=True)
@click.option("--subjects", default=82, show_default=True)
@click.option("--sample", default=30, show_default=True, help="Refits timed in each turn.")
@click.option("--turns", default=5, show_default=True)
def main(images: int, units: int, subjects: int, sample: int, turns: int) -> None:
    X, y, people = made_up(images, units, subjects)
    rows, grid = normalize(X.astype(float)), candidates()
    refits = subjects * (subjects - 1) * len(grid)
    rng = np.random.default_rng(1)

    def ours() -> None:
        ExactKernelRegressor().cross_val_predict_groups(X, y, people)

    def theirs() -> None:
        for _ in range(sample):
            outer, inner = rng.choice(subjects, 2, replace=False)
            train = (people != outer) & (people != inner)
            mean = y[train].mean()
            model = KernelRidge(**grid[rng.integers(len(grid))])
            model.fit(rows[train], y[train] - mean).predict(rows[people == inner])

    found = take_turns(ours, theirs, turns)
    click.echo(f"{machine()}; {turns} turns, {sample} of {refits:,} refits in each\n")
    click.echo("| images x units, subjects | exact-kernel, seconds | refits, seconds | ratio |")
    click.echo("| --- | ---: | ---: | ---: |")
    label = f"{images:,} x {units:,}, {subjects}; {len(grid)} candidates"
    click.echo(f"| {label} | {found.row(refits / sample)} |")


if __name__ == "__main__":
    main()

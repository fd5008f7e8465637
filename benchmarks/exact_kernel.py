"""Nested leave-one-person-out by exact-kernel, against refitting scikit-learn's KernelRidge.

    python benchmarks/exact_kernel.py --images 1002 --units 512 --subjects 82

Ours is one call of `cross_val_predict_groups`: for each person left out, target, kernel and λ are
chosen by leave-one-person-out among the others, over the whole default grid. Theirs is the same by
hand: a `KernelRidge` is fitted, to the columns of both targets together, and asked for the people
left out, for each outer person, inner person, kernel and λ. In each turn a random sample of these
refits is timed, and the rest extrapolated from it. That both predict the same is shown by
tests/regress/regressors/test_exact_kernel.py.

    python benchmarks/exact_kernel.py --growth --gib 8

times ours alone, once a size, over images (512 units), over units (2,000 images) and over subjects
(2,000 images of 512 units), 200 subjects unless they vary: `fit`, and the nested call where it is
exact, with linear alone and rbf alone (one gamma), each at 15 values of λ; and tells which form the
rule picks within so many GiB. Then `fit` on 5,000 images through more and more landmarks, of ages
that follow from six hidden numbers and not linearly: the error on 1,000 other images, beside that
of the exact fit. Seed 0.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import click
import numpy as np
from side_by_side import machine, take_turns
from sklearn.kernel_ridge import KernelRidge
from sklearn.preprocessing import normalize

from regress.regressors.exact_kernel import ExactKernelRegressor
from regress.regressors.exact_kernel.selection import ALPHAS, DEGREES, GAMMAS
from regress.regressors.exact_kernel.targets import NAMES, Targets

#: Images, units and subjects of each curve.
CURVES = {
    "images": [(n, 512, 200) for n in (1000, 2000, 5000, 10_000, 20_000)],
    "units": [(2000, p, 200) for p in (128, 512, 2048, 8192, 32_768, 100_000)],
    "subjects": [(2000, 512, g) for g in (10, 30, 100, 300, 1000)],
}
LANDMARKS = (250, 500, 1000, 2000)


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


def grow(scale: float, memory: float) -> Iterator[str]:
    """Yield a row a curve, size and kernel: what it took, and in which form."""
    for curve, sizes in CURVES.items():
        for full in sizes:
            images, units, subjects = (max(4, round(scale * size)) for size in full)
            X, y, people = made_up(images, units, subjects)
            for kernel in ("linear", "rbf"):
                model = ExactKernelRegressor(kernel, gammas=[0.5], max_memory=memory)
                taken = seconds(model.fit, X, y, people)
                report, nested = model.report_, "-"
                if report["form"] != "nystrom":
                    nested = f"{seconds(model.cross_val_predict_groups, X, y, people):,.3f}"
                size = f"{images:,} x {units:,}, {subjects:,}"
                cells = (report["form"], report["landmarks"] or "-", f"{taken:,.3f}", nested)
                yield f"| {curve} | {size} | {kernel} | " + " | ".join(map(str, cells)) + " |"


def approach(scale: float) -> Iterator[str]:
    """Yield a row a number of landmarks, and one of the exact fit: seconds and errors."""
    images, others = round(5000 * scale), round(1000 * scale)
    rng = np.random.default_rng(0)
    hidden = rng.normal(size=(images + others, 6))
    X = np.tanh(hidden @ rng.normal(size=(6, 128)) / 2).astype(np.float32)
    y = 40 + 15 * np.sin(hidden[:, 0] * hidden[:, 1]) + 8 * np.abs(hidden[:, 2])
    y += rng.normal(size=len(y))
    people = np.arange(images) // 5
    exact = None
    for count in (None, *(max(2, round(scale * count)) for count in LANDMARKS)):
        model = ExactKernelRegressor("rbf", gammas=[0.5, 1, 2, 4], landmarks=count)
        taken = seconds(model.fit, X[:images], y[:images], people)
        mae = float(np.abs(model.predict(X[images:]) - y[images:]).mean())
        exact = mae if exact is None else exact
        lost = model.report_["approximation_error"]
        label = "exact" if count is None else f"{count:,}"
        more = f"{mae - exact:+.3f}"
        yield f"| {label} | {model.kernel_} | {taken:,.3f} | {lost:.2g} | {mae:.3f} | {more} |"


def seconds(function: Any, *arguments: Any) -> float:
    start = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - start


def show_growth(scale: float, memory: float) -> None:
    click.echo(f"{machine()}; {memory / 2**30:.3g} GiB allowed\n")
    click.echo("| over | images x units, subjects | kernel | form | landmarks | fit, s | nested |")
    click.echo("| --- | --- | --- | --- | ---: | ---: | ---: |")
    for line in grow(scale, memory):
        click.echo(line)
    click.echo("\n| landmarks | kernel | fit, s | error of k(x, x) | MAE, years | beyond exact |")
    click.echo("| --- | --- | ---: | ---: | ---: | ---: |")
    for line in approach(scale):
        click.echo(line)


@click.command(help=__doc__)
@click.option("--images", default=1002, show_default=True)
@click.option("--units", default=512, show_default=True)
@click.option("--subjects", default=82, show_default=True)
@click.option("--sample", default=30, show_default=True, help="Refits timed in each turn.")
@click.option("--turns", default=5, show_default=True)
@click.option("--growth", is_flag=True, help="Seconds over sizes, and the error over landmarks.")
@click.option("--gib", default=8.0, show_default=True, help="Memory of --growth.")
@click.option("--scale", default=1.0, show_default=True, help="What sizes of --growth are times.")
def main(
    images: int,
    units: int,
    subjects: int,
    sample: int,
    turns: int,
    growth: bool,
    gib: float,
    scale: float,
) -> None:
    if growth:
        show_growth(scale, gib * 2**30)
        return
    X, y, people = made_up(images, units, subjects)
    columns = Targets(y, NAMES).values
    rows, grid = normalize(X.astype(float)), candidates()
    refits = subjects * (subjects - 1) * len(grid)
    rng = np.random.default_rng(1)

    def ours() -> None:
        ExactKernelRegressor().cross_val_predict_groups(X, y, people)

    def theirs() -> None:
        for _ in range(sample):
            outer, inner = rng.choice(subjects, 2, replace=False)
            train = (people != outer) & (people != inner)
            model = KernelRidge(**grid[rng.integers(len(grid))])
            centred = columns[train] - columns[train].mean(axis=0)
            model.fit(rows[train], centred).predict(rows[people == inner])

    found = take_turns(ours, theirs, turns)
    click.echo(f"{machine()}; {turns} turns, {sample} of {refits:,} refits in each\n")
    click.echo("| images x units, subjects | exact-kernel, seconds | refits, seconds | ratio |")
    click.echo("| --- | ---: | ---: | ---: |")
    label = f"{images:,} x {units:,}, {subjects}; {len(grid)} kernels x λ"
    click.echo(f"| {label} | {found.row(refits / sample)} |")


if __name__ == "__main__":
    main()

"""Softmax heads under leave-one-person-out: folds side by side, against one after the other.

    python benchmarks/softmax_folds.py --images 1002 --units 512 --subjects 82

Each fold fits `featx regress`'s softmax head, its penalty chosen by inner folds. Side by side (what
`featx regress` does) a core takes a fold, with one thread for its matrices; one after the other, a
fold has all cores. Both predict the same, which is checked. A random sample of the folds is timed;
features and ages are made up from a seed.
"""

from __future__ import annotations

import click
import numpy as np
from exact_kernel import made_up
from side_by_side import machine, take_turns

from featx.cluster import available_cores, run
from regress.regressors.softmax import SoftmaxRegressor


def fit_fold(
    X: np.ndarray, y: np.ndarray, people: np.ndarray, person: int
) -> tuple[int, np.ndarray]:
    """Return a person's number, and the ages that are predicted for them from all others."""
    train = people != person
    model = SoftmaxRegressor().fit(X[train], y[train], groups=people[train])
    return person, model.predict(X[~train])


@click.command(help=__doc__)
@click.option("--images", default=1002, show_default=True)
@click.option("--units", default=512, show_default=True)
@click.option("--subjects", default=82, show_default=True)
@click.option("--folds", default=8, show_default=True, help="How many of them are timed.")
@click.option("--turns", default=3, show_default=True)
def main(images: int, units: int, subjects: int, folds: int, turns: int) -> None:
    X, y, people = made_up(images, units, subjects)
    ages = y.round().clip(0)
    sample = np.random.default_rng(1).choice(subjects, min(folds, subjects), replace=False)
    tasks = [(X, ages, people, int(person)) for person in sample]
    predicted: list[dict[int, np.ndarray]] = []

    def with_jobs(jobs: int) -> None:
        predicted.append(dict(run(fit_fold, tasks, jobs)))

    cores = available_cores()
    found = take_turns(lambda: with_jobs(cores), lambda: with_jobs(1), turns)
    first = predicted[0]
    off = max(np.abs(each[person] - first[person]).max() for each in predicted for person in first)
    if off > 1e-2:
        raise click.ClickException(f"predictions differ by {off:g} years")
    click.echo(f"{machine()}; {turns} turns, {len(tasks)} of {subjects} folds in each; ", nl=False)
    click.echo(f"predictions differ by {off:.0e} years at most\n")
    click.echo(f"| images x units, subjects | {cores} at a time, s | one by one, s | ratio |")
    click.echo("| --- | ---: | ---: | ---: |")
    click.echo(f"| {images:,} x {units:,}, {subjects} | {found.row()} |")


if __name__ == "__main__":
    main()

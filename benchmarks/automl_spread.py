"""How much auto-sklearn varies: by its seed, and from run to run with the same seed.

    python benchmarks/automl_spread.py --features features.h5 --layer gap --repeats 2

One fold, the same for every run: a third of the people are tested on, by a seed of its own. On it
each seed is searched with some times over, once with a budget of seconds and once with one of
models evaluated; the mean absolute errors say what the seed changes and what the clock does.
`models` are those that succeeded, of those that were begun. Without --features the data are made up
by automl_data.py.
"""

from __future__ import annotations

import statistics
from typing import Any

import click
import numpy as np
from automl_data import Problem, given, with_data
from side_by_side import machine

from regress.regressors.auto_sklearn import AutoSklearnRegressor
from regress.regressors.auto_sklearn.environment import VERSION

HEADER = "| budget | seed | MAE, years | models |\n| --- | ---: | --- | --- |"


def search(problem: Problem, seed: int, **budget: float | int) -> tuple[float, str]:
    """Return a search's mean absolute error (years) on the test people, and its models."""
    (fold,) = problem.folds
    part = problem.parts(fold)
    model = AutoSklearnRegressor(random_state=seed, search_space="fast", n_jobs=1, **budget)
    model.fit(part["X_train"], part["y_train"], part["groups"])
    errors = np.abs(model.predict(part["X_test"]) - problem.y[fold.test])
    told = model.statistics_
    return float(errors.mean()), f"{told['success']} of {told['runs']}"


def spread(found: dict[int, list[float]]) -> str:
    """Return the standard deviations (years) between seeds' means and between repeats, in words."""
    means = [statistics.fmean(maes) for maes in found.values()]
    told = [f"{statistics.fmean(means):.3f} years on average"]
    if len(means) > 1:
        told.append(f"standard deviation of the seeds' means {statistics.stdev(means):.3f}")
    if all(len(maes) > 1 for maes in found.values()):
        within = statistics.fmean(statistics.variance(maes) for maes in found.values()) ** 0.5
        told.append(f"of repeats with one seed {within:.3f}")
    return ", ".join(told)


@click.command(help=__doc__)
@with_data
@click.option("--seeds", default=5, show_default=True, help="From 0 on.")
@click.option("--repeats", default=2, show_default=True, help="Of each seed.")
@click.option("--seconds", default=60.0, show_default=True, help="Of a search under a budget.")
@click.option("--evaluations", default=20, show_default=True, help="Of a search that counts them.")
def main(seeds: int, repeats: int, seconds: float, evaluations: int, **data: Any) -> None:
    problem, label = given(protocol="holdout:0.33", **data)
    (fold,) = problem.folds
    click.echo(
        f"{label}: {len(fold.train):,} rows to search on, {len(fold.test):,} to test, "
        f"{problem.X.shape[1]:,} units; {machine()}; "
        f"auto-sklearn {VERSION}, search space fast\n\n{HEADER}"
    )
    budgets = {
        f"{seconds:g} s": {"time_budget": seconds, "run_time_limit": seconds / 3},
        f"{evaluations} models": {
            "evaluations": evaluations,
            "time_budget": 60.0 * evaluations,
            "run_time_limit": 60.0,
        },
    }
    found: dict[str, dict[int, list[float]]] = {name: {} for name in budgets}
    # each seed's repeats lie as far apart as they can: a slow hour is shared by all
    for _ in range(repeats):
        for seed in range(seeds):
            for name, budget in budgets.items():
                mae, models = search(problem, seed, **budget)
                found[name].setdefault(seed, []).append(mae)
                click.echo(f"| {name} | {seed} | {mae:.3f} | {models} |")
    for name, by_seed in found.items():
        click.echo(f"\n{name}: {spread(by_seed)}")


if __name__ == "__main__":
    main()

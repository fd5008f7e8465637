"""exact-kernel against auto-sklearn, FLAML and AutoGluon: mean absolute error and wall time.

    python benchmarks/automl_peers.py --features features.h5 --layer gap --folds 10

All methods get the same leave-one-person-out folds of the same features, on as many cores, in one
run. exact-kernel predicts all folds, nested, at once; its seconds a fold are this time over the
number of folds. `alone` is what it takes where only one fold is wanted: `fit` on the others and
`predict`. The peers do a seeded sample of the folds, each told to keep a person's images together
where it validates:

- auto-sklearn 0.15 as featx has it, in its default search space and in the fast one;
- FLAML as it comes, with `split_type="group"`;
- AutoGluon (tabular) as it comes, and with the preset `best_quality` without the choice whether to
  stack, which needs ray; with `validation_structure={"group_on": ...}`, and without its neural
  networks, which need torch.

auto-sklearn's budget is an option; the others' are the seconds that exact-kernel took a fold, and
100 times these. A budget in which a tool trains no model is doubled, for this fold and those that
follow, until it does. Wall time is fit and predict (of auto-sklearn search and refit) as the peer's
process measures it, after imports; attempts that failed do not count.

Without --features the data are those that automl_data.py makes up.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click
import numpy as np
from automl_data import Problem, given, with_data
from peers import environments
from side_by_side import machine
from threadpoolctl import threadpool_limits

from featx.cluster.local import available_cores
from featx.errors import FeatxError
from regress.protocols import Fold
from regress.regressors.auto_sklearn import AutoSklearnRegressor
from regress.regressors.auto_sklearn.environment import VERSION
from regress.regressors.exact_kernel import ExactKernelRegressor

WORKER = Path(__file__).parent / "peers" / "worker.py"
REFUSED = 3  # as in worker.py
LONGEST = 3600.0  # s; no budget is doubled beyond
SPACES = {"auto-sklearn": "default", "auto-sklearn-fast": "fast"}
PEERS = {"flaml": "flaml", "autogluon": "autogluon", "autogluon-best": "autogluon"}
HEADER = (
    "| method | budget a fold, s | folds | MAE, years | wall, s a fold | times exact-kernel's |\n"
    "| --- | ---: | ---: | ---: | ---: | ---: |"
)


@dataclass
class Row:
    """What a method did on some folds: absolute errors (years), seconds and budgets, by fold."""

    method: str
    errors: list[np.ndarray] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    budgets: list[float] = field(default_factory=list)

    def cells(self, exact: float) -> str:
        """Return a line of the table; `exact` are exact-kernel's seconds a fold."""
        low, high = (f"{pick(self.budgets):,.2f}" if self.budgets else "" for pick in (min, max))
        budget = low if low == high else f"{low} to {high}"
        mae = f"{np.concatenate(self.errors).mean():.3f}"
        seconds = statistics.fmean(self.seconds)
        return (
            f"| {self.method} | {budget} | {len(self.errors)} | {mae} | {seconds:,.3f} "
            f"| {seconds / exact:,.1f} |"
        )


def exact_kernel(problem: Problem, sample: Sequence[Fold]) -> tuple[list[Row], float]:
    """Return exact-kernel's rows, and its seconds a fold where all are done at once."""
    start = time.perf_counter()
    model = ExactKernelRegressor()
    predicted, _ = model.cross_val_predict_groups(problem.X, problem.y, problem.groups)
    share = (time.perf_counter() - start) / len(problem.folds)
    errors = np.abs(predicted - problem.y)
    rows = [
        Row(f"exact-kernel, {name}", [errors[f.test] for f in folds], [share] * len(folds))
        for name, folds in (("all folds", problem.folds), ("the sampled folds", sample))
    ]
    alone = Row("exact-kernel, a fold alone")
    for fold in sample:
        part = problem.parts(fold)
        start = time.perf_counter()
        model = ExactKernelRegressor().fit(part["X_train"], part["y_train"], part["groups"])
        found = model.predict(part["X_test"])
        alone.seconds.append(time.perf_counter() - start)
        alone.errors.append(np.abs(found - problem.y[fold.test]))
    return [*rows, alone], share


def auto_sklearn(space: str) -> Callable:
    """Return a function that fits and predicts a fold; None where time was too short."""

    def ask(part: dict[str, np.ndarray], budget: float, jobs: int, seed: int) -> tuple | None:
        model = AutoSklearnRegressor(
            budget, run_time_limit=budget, search_space=space, n_jobs=jobs, random_state=seed
        )
        try:
            model.fit(part["X_train"], part["y_train"], part["groups"])
        except FeatxError as error:
            if f"within {budget:g} s" not in str(error):
                raise
            return None
        told = {k: model.statistics_[k] for k in ("runs", "success", "predicts_the_mean")}
        seconds = model.statistics_["seconds"]
        click.echo(f"auto-sklearn, {space}: {told}, {seconds:.2f} s", err=True)
        return model.predict(part["X_test"]), seconds

    return ask


def peer(name: str, python: Path) -> Callable:
    """Return a function like that of `auto_sklearn`, which asks a peer."""

    def ask(part: dict[str, np.ndarray], budget: float, jobs: int, seed: int) -> tuple | None:
        with tempfile.TemporaryDirectory() as folder:
            source, target = Path(folder) / "in.npz", Path(folder) / "out.npz"
            np.savez(source, budget=budget, jobs=jobs, seed=seed, **part)
            kept = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
            variables = {**kept, "TMPDIR": folder, "OMP_NUM_THREADS": str(jobs)}
            command = [str(word) for word in (python, "-I", WORKER, name, source, target)]
            streams = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
            process = subprocess.Popen(
                command, env=variables, cwd=folder, start_new_session=True, **streams
            )
            try:
                words = process.communicate(timeout=1200 + 10 * budget)[1]
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)  # and all that it started
                process.wait()
            if process.returncode == REFUSED:
                return None
            if process.returncode:
                raise FeatxError(f"{name} failed at {budget:g} s: {words.strip()[-600:]}")
            with np.load(target) as out:
                told = json.loads(str(out["told"]))
                click.echo(f"{name}: {told}, {float(out['seconds']):.2f} s", err=True)
                return out["predictions"].astype(float), float(out["seconds"])

    return ask


def measure(
    ask: Callable, row: Row, problem: Problem, sample: Sequence[Fold], budget: float, **given: int
) -> Row:
    """Fill a row with a peer's folds; a budget too short for a fold is doubled from there on."""
    for fold in sample:
        part = problem.parts(fold)
        while (found := ask(part, budget, **given)) is None:
            click.echo(f"{row.method}: {budget:.2f} s are too few, doubled", err=True)
            budget *= 2
            if budget > LONGEST:
                raise FeatxError(f"no model within {budget / 2:.0f} s, in fold {fold.name}")
        predicted, seconds = found
        if predicted.shape != fold.test.shape or not np.isfinite(predicted).all():
            raise FeatxError(f"{row.method}, fold {fold.name}: no valid predictions")
        row.errors.append(np.abs(predicted - problem.y[fold.test]))
        row.seconds.append(seconds)
        row.budgets.append(budget)
    return row


@click.command(help=__doc__)
@with_data
@click.option("--folds", default=10, show_default=True, help="Folds that the peers do.")
@click.option(
    "--method",
    "methods",
    multiple=True,
    type=click.Choice(["exact-kernel", *SPACES, *PEERS]),
    help="Measure these only; exact-kernel always is.  [default: all]",
)
@click.option("--auto-sklearn-budget", default=60.0, show_default=True, help="Seconds a fold.")
@click.option("--budget", "budgets", multiple=True, type=float, help="Of FLAML and AutoGluon.")
@click.option("--jobs", default=available_cores(), help="Cores.  [default: all]")
@click.option("--seed", default=0, show_default=True, help="Of data, sample and peers.")
def main(
    folds: int,
    methods: tuple[str, ...],
    auto_sklearn_budget: float,
    budgets: tuple[float, ...],
    jobs: int,
    seed: int,
    **data: Any,
) -> None:
    problem, label = given(seed=seed, **data)
    everyone = len(problem.folds)
    chosen = np.random.default_rng(seed).choice(everyone, min(folds, everyone), replace=False)
    sample = [problem.folds[i] for i in np.sort(chosen)]
    wanted = [name for name in (*SPACES, *PEERS) if name in methods or not methods]
    pythons = {name: environments.ensure(PEERS[name]) for name in wanted if name in PEERS}

    rows, columns = problem.X.shape
    used = [f"scikit-learn {version('scikit-learn')}, numpy {version('numpy')}"]
    used += [f"auto-sklearn {VERSION}"] if set(wanted) & set(SPACES) else []
    used += sorted({environments.pinned(PEERS[name]) for name in pythons})
    click.echo(
        f"{label}: {rows:,} x {columns:,}, {everyone} people; {machine()}, {jobs} of them used; "
        f"{', '.join(used)}; seed {seed}\n\n{HEADER}"
    )
    with threadpool_limits(jobs):
        exact, share = exact_kernel(problem, sample)
    for row in exact:
        click.echo(row.cells(share))
    asked = [name for name in wanted if name in SPACES]
    tasks = [(name, auto_sklearn(SPACES[name]), auto_sklearn_budget) for name in asked]
    for name, python in pythons.items():
        tasks += [(name, peer(name, python), b) for b in budgets or (share, 100 * share)]
    failed = False
    for name, ask, budget in tasks:
        try:
            row = measure(ask, Row(name), problem, sample, budget, jobs=jobs, seed=seed)
            click.echo(row.cells(share))
        except (FeatxError, subprocess.TimeoutExpired) as error:  # the others' hours count
            click.echo(f"{name} at {budget:g} s: {error}", err=True)
            failed = True
    raise SystemExit(failed)


if __name__ == "__main__":
    main()

"""What an evaluation will take: fits, memory and time, from budgets or folds that are tried."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from featx.cluster import resolve_jobs
from featx.cluster.fresh import call_fresh
from featx.memory import free_memory, peak_memory
from featx.shortage import Shortage
from regress.methods import Method, plan_methods
from regress.regressors.auto_sklearn.allocation import MEMORY_LIMIT
from regress.regressors.exact_kernel.memory import SHARE, nystrom_bytes, required_bytes

#: Folds that are tried, while they take less than so many seconds together.
_FOLDS, _ENOUGH = 3, 10.0

#: Seconds after which a trial ends.
LIMIT = 600.0

#: What is known of the time then.
_ENDLESS = (np.inf, LIMIT, np.inf)

#: Of an evaluation of all folds at once so many images are tried.
_IMAGES = 600

#: With which power of the number of images its time grows: likely, at least, at most.
_POWERS = (2.5, 2.0, 3.0)

#: Landmarks of the remedy.
_LANDMARKS = 2048


@dataclass(frozen=True)
class Cost:
    """What a method will take.

    Attributes
    ----------
    method : Method
        The method.
    fits : int
        How often a model is chosen and fitted: once a fold, or once for all.
    memory : int
        Peak bytes, of all processes.
    seconds : tuple of float
        Likely, least, most; infinite where a trial did not end.
    by : str
        What was tried, in words.
    shortage : Shortage or None
        What does not suffice.
    """

    method: Method
    fits: int
    memory: int
    seconds: tuple[float, float, float]
    by: str
    shortage: Shortage | None

    def describe(self) -> dict[str, Any]:
        """Return it as values that JSON can hold: bytes and seconds."""
        data = self.method.data
        likely, least, most = (each if np.isfinite(each) else None for each in self.seconds)
        return {
            "method": self.method.name,
            "folder": str(self.method.folder),
            "protocol": self.method.protocol,
            "folds": len(self.method.folds),
            "fits": self.fits,
            "images": len(data.images),
            "units": int(data.X.shape[1]),
            "matrix_bytes": int(data.X.nbytes),
            "memory_bytes": self.memory,
            "seconds": {"likely": likely, "least": least, "most": most},
            "by": self.by,
        }


def cost(method: Method, features: str | Path, *, jobs: int = 1) -> Cost:
    """Return what a method will take on this machine as it is now.

    Parameters
    ----------
    method : Method
        From `plan_methods`.
    features : str or Path
        The features file.
    jobs : int
        Folds at a time; below 1 means one a core.

    Raises
    ------
    FeatxError
        If a fold that is tried fails.
    """
    if method.at_once:
        return _all_at_once(method, features)
    at_a_time = min(resolve_jobs(jobs), len(method.folds))
    if method.spec.partition(":")[0] == "auto-sklearn":
        return _by_budget(method, at_a_time)
    seconds, memory, by = _of_folds(method, features)
    share = len(method.folds) / at_a_time
    likely, least, most = (share * each for each in seconds)
    needed, free = at_a_time * memory, free_memory()
    fewer = [(f"--jobs {k}", k * memory) for k in range(at_a_time - 1, 0, -1)]
    short = Shortage.of("memory", needed, free, fewer) if needed > free else None
    return Cost(method, len(method.folds), needed, (likely, least, most), by, short)


def _by_budget(method: Method, at_a_time: int) -> Cost:
    """auto-sklearn searches as long as it may, and then fits what it found once more.

    Its memory is a limit that few models reach, and so no reason to refuse.
    """
    given: Mapping[str, Any] = method.regressor().get_params()
    budget, folds = float(given["time_budget"]), len(method.folds) / at_a_time
    at_once = at_a_time * (given["n_jobs"] or 1)
    limit = at_once * int(given["memory_limit"] or MEMORY_LIMIT) * 10**6
    seconds = folds * budget, folds * budget, folds * (budget + max(budget, 120.0))
    by = f"the budget of {budget:.0f} s a fold; refitting may take as long again"
    if (models := given["evaluations"]) is not None:
        seconds = seconds[0], 0.0, seconds[2]
        by = f"{by}, and {models} models a fold may be done earlier"
    return Cost(method, len(method.folds), limit + method.data.X.nbytes, seconds, by, None)


def _of_folds(method: Method, features: str | Path) -> tuple[tuple[float, float, float], int, str]:
    try:
        taken, _, peak = _in_a_fresh_process(method, features, 0)
    except TimeoutError:
        return _ENDLESS, 0, f"a fold, which had not ended after {LIMIT:.0f} s"
    mean = float(np.mean(taken))
    folds = "a fold" if len(taken) == 1 else f"{len(taken)} folds"
    return (mean, min(taken), max(taken)), peak, f"{folds} of {len(method.folds)}"


def _all_at_once(method: Method, features: str | Path) -> Cost:
    n, units = method.data.X.shape
    regressor = method.regressor()
    linear_only = tuple(regressor.kernels) == ("linear",)
    working = required_bytes(n, units, linear_only=linear_only)
    given = regressor.max_memory
    free = int(SHARE * free_memory()) if given is None else int(given)
    if working > free:
        short = Shortage.of("memory", working, free, _less_memory(method, linear_only))
        needed = working + method.data.X.nbytes
        return Cost(method, 1, needed, (np.inf,) * 3, "nothing, for it does not fit", short)
    tried = len(_some_people(method, _IMAGES))
    try:
        (taken,), held, _ = _in_a_fresh_process(method, features, _IMAGES)
        likely, least, most = (taken * (n / tried) ** power for power in _POWERS)
    except TimeoutError:
        (likely, least, most), held = _ENDLESS, method.data.X.nbytes
    by = f"{tried} of {n} images, all folds at once"
    return Cost(method, 1, held + working, (likely, least, most), by, None)


def _less_memory(method: Method, linear_only: bool) -> Iterator[tuple[str, int]]:
    n, units = method.data.X.shape
    _, sizes = np.unique(method.data.groups, return_counts=True)
    name = method.spec.partition(":")[0]
    if not linear_only and units < n:
        yield (
            f"--regressor \"{name}:kernels=('linear',)\"",
            required_bytes(n, units, linear_only=True),
        )
    yield (
        f"--regressor {name}:landmarks={_LANDMARKS}, which approximates and fits each fold",
        nystrom_bytes(n, units, min(n, _LANDMARKS), int(sizes.max())),
    )


def _some_people(method: Method, images: int) -> np.ndarray:
    """Return the rows of as many people, spread over all, as have about so many images."""
    groups = method.data.groups
    people = np.unique(groups)
    count = max(3, round(len(people) * min(1.0, images / len(groups))))
    chosen = people[np.linspace(0, len(people) - 1, min(count, len(people))).astype(int)]
    return np.flatnonzero(np.isin(groups, chosen))


def _in_a_fresh_process(
    method: Method, features: str | Path, images: int
) -> tuple[list[float], int, int]:
    """Return the seconds of what was tried, and the peak memory before it and with it."""
    found: tuple[list[float], int, int] = call_fresh(
        _try,
        *(features, method.data.layer, method.spec, method.protocol, method.seed),
        *(dict(method.options), images),
        killed=f"{method.name}: a trial was killed, most likely for want of memory, and the "
        "evaluation would be too; choose a machine with more memory, or a layer of fewer units",
        limit=LIMIT,
    )
    return found


def _try(
    features: str | Path,
    layer: str,
    spec: str,
    protocol: str,
    seed: int,
    options: dict[str, Any],
    images: int,
) -> tuple[list[float], int, int]:
    (method,) = plan_methods(
        features,
        "",
        layers=[layer],
        regressors=[spec],
        protocol=protocol,
        seed=seed,
        options=options,
    )
    data = method.data
    held, taken = peak_memory(), []
    if method.at_once:
        rows = _some_people(method, images)
        start = time.perf_counter()
        method.regressor().cross_val_predict_groups(data.X[rows], data.y[rows], data.groups[rows])
        return [time.perf_counter() - start], held, peak_memory()
    places = np.linspace(0, len(method.folds) - 1, min(_FOLDS, len(method.folds))).astype(int)
    for fold in (method.folds[place] for place in places):
        start = time.perf_counter()
        regressor = method.regressor()
        regressor.fit(data.X[fold.train], data.y[fold.train], groups=data.groups[fold.train])
        regressor.predict(data.X[fold.test])
        taken.append(time.perf_counter() - start)
        if sum(taken) > _ENOUGH:
            break
    return taken, held, peak_memory()

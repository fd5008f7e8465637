"""Several regressors on several layers of a features file, evaluated one after the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from featx.errors import FeatxError
from regress.evaluate import evaluate
from regress.methods import plan_methods
from regress.predictions import Run, read_run


def evaluate_features(
    features: str | Path,
    out: str | Path,
    *,
    regressors: Sequence[str],
    layers: Sequence[str] = (),
    protocol: str = "lopo",
    seed: int = 0,
    options: Mapping[str, Any] | None = None,
    jobs: int = 1,
    resume: bool = False,
) -> list[Run]:
    """Evaluate every regressor on every layer under a protocol, as `featx regress` does.

    Parameters
    ----------
    features, out, regressors, layers, protocol, seed, options
        See `regress.methods.plan_methods`.
    jobs, resume
        See `regress.evaluate.evaluate`.

    Returns
    -------
    list of Run
        One a layer and regressor; `regress.compare_runs` takes them.

    Raises
    ------
    FeatxError
        As `plan_methods` and `evaluate`, and if a fold fails; the other folds are kept.
    """
    methods = plan_methods(
        features,
        out,
        layers=layers,
        regressors=regressors,
        protocol=protocol,
        seed=seed,
        options=options,
    )
    for method in methods:
        failed = evaluate(method, jobs=jobs, resume=resume)["folds"]["failed"]
        if failed:
            fold, reason = next(iter(failed.items()))
            raise FeatxError(
                f"{method.name}: {len(failed)} of {len(method.folds)} folds failed, the first of "
                f"them {fold} ({reason}); the others are kept: mend the cause and give resume=True"
            )
    return [read_run(method.folder) for method in methods]

"""`featx regress`: features file -> predictions under a protocol."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from cli.options import Duration, long_work


@click.command()
@click.argument("features", type=click.Path(path_type=Path))
@click.option("-o", "--out", required=True, type=click.Path(path_type=Path), help="Output folder.")
@click.option("--layer", "layers", multiple=True, help="Layer of the file; repeatable. [all]")
@click.option(
    "--regressor",
    "regressors",
    multiple=True,
    required=True,
    help="exact-kernel, softmax, auto-sklearn, expected-value, ridge, svr, pls or mean; "
    "repeatable; with parameters as softmax:label_sd=2",
)
@click.option(
    "--protocol",
    default="lopo",
    show_default=True,
    help="lopo, kfold:K, folds (official) or holdout:F; all subject-exclusive.",
)
@click.option(
    "--jobs", type=int, default=1, show_default=True, help="Folds at once; 0: one a core."
)
@click.option(
    "--time-budget",
    type=Duration(),
    default="12h",
    show_default=True,
    help="auto-sklearn: search time a fold.",
)
@click.option(
    "--run-time-limit",
    type=Duration(),
    default="60m",
    show_default=True,
    help="auto-sklearn: time a model.",
)
@click.option(
    "--search-space",
    type=click.Choice(["default", "fast"]),
    default="default",
    show_default=True,
    help="auto-sklearn: fast leaves out what is slow on wide features.",
)
@click.option(
    "--memory-limit",
    type=click.IntRange(min=500),
    default=3072,
    show_default=True,
    help="auto-sklearn: MB of memory a model.",
)
@long_work
def regress(
    features: Path,
    out: Path,
    layers: tuple[str, ...],
    regressors: tuple[str, ...],
    protocol: str,
    jobs: int,
    resume: bool,
    dry_run: bool,
    seed: int,
    verbose: bool,
    **options: Any,
) -> None:
    """Evaluate regressors on the layers of a features file, fold by fold.

    \b
    featx regress fgnet.h5 --layer gap --regressor exact-kernel --regressor softmax -o out
    featx regress fgnet.h5 --layer gap --regressor auto-sklearn --time-budget 10m --jobs 2 -o out
    """
    from featx.errors import FeatxError
    from featx.store import FeaturesFile
    from regress.evaluate import evaluate, plan_methods
    from regress.metrics import mae
    from regress.predictions import read_run

    if not layers:
        with FeaturesFile(features) as file:
            layers = tuple(file.layers)
    methods = plan_methods(
        features,
        out,
        layers=layers,
        regressors=regressors,
        protocol=protocol,
        seed=seed,
        options=options,
    )
    if dry_run:
        for method in methods:
            click.echo(
                f"{method.name}: {len(method.folds)} folds over {len(method.data.images)} images, "
                f"{method.data.X.shape[1]} units -> {method.folder}"
            )
        return
    if any(spec.partition(":")[0] == "auto-sklearn" for spec in regressors):
        from regress.regressors.auto_sklearn import environment

        environment.ensure()
    failed = 0
    for method in methods:
        info = evaluate(method, jobs=jobs, resume=resume)
        table = read_run(method.folder).predictions
        folds = info["folds"]
        score = f"MAE {mae(table['age'], table['predicted_age']):.3f} years" if len(table) else "-"
        click.echo(
            f"{method.name}: {score} over {len(table)} of {info['counts']['total']} images, "
            f"{folds['done']} of {folds['planned']} folds -> {method.folder}"
        )
        for name, reason in folds["failed"].items():
            click.echo(f"  fold {name} failed: {reason}", err=True)
        failed += len(folds["failed"])
    if failed:
        raise FeatxError(
            f"{failed} folds failed (reasons above); the others are kept: "
            "mend the cause and run again with --resume"
        )

"""The whole flow on drawn faces: prepare, extract, regress, compare. Offline."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from featx.errors import FeatxError
from regress.evaluate import evaluate
from regress.methods import plan_methods

#: MTCNN's last network is the one trained face network that comes with a package.
BACKBONE, WEIGHTS = "onet", "mtcnn"
LAYERS = ("gap", "first_conv", "flattened")


def run_demo(
    out: str | Path,
    *,
    subjects: int = 12,
    images_per_subject: int = 8,
    time_budget: float = 30.0,
    jobs: int = 0,
    seed: int = 0,
    say: Callable[[str], None] = print,
) -> Path:
    """Draw faces in FG-NET's layout and take them through all four verbs.

    What an earlier call with the same arguments finished is kept.

    Parameters
    ----------
    out : str or Path
        The folder for everything: ``faces/``, ``prepared/``, ``features.h5``, ``runs/``,
        ``report/``.
    subjects, images_per_subject : int
        How many people are drawn, and how often each.
    time_budget : float
        auto-sklearn's search time a fold, seconds; 0 leaves auto-sklearn out.
    jobs : int
        Folds at a time; 0 means one a core.
    seed : int
        Of the drawing and of the regressors.
    say : callable
        Told each step in a line.

    Returns
    -------
    Path
        The report page.

    Raises
    ------
    FeatxError
        If a step fails, or auto-sklearn's environment cannot be built.
    """
    from featx.datasets import read_dataset
    from featx.datasets.generate import generate_fgnet
    from featx.extraction import extract
    from featx.preparation import prepare
    from regress.compare import compare
    from regress.predictions import find_runs
    from regress.report.page import write_report

    out = Path(out)
    say(f"1/5  draw      {subjects} people, {images_per_subject} pictures each")
    generate_fgnet(
        out / "faces", subjects=subjects, images_per_subject=images_per_subject, seed=seed
    )
    say("2/5  prepare   detect and align the faces (MTCNN)")
    table = prepare(
        read_dataset("fgnet", out / "faces"),
        out / "prepared",
        resume=True,
        provenance={"dataset": "drawn faces", "seed": seed},
    )
    say(f"               {(table['status'] == 'ok').sum()} of {len(table)} faces found")
    say(f"3/5  extract   {', '.join(LAYERS)} of {BACKBONE}")
    features = out / "features.h5"
    extract(
        out / "prepared", features, backbone=BACKBONE, weights=WEIGHTS, layers=LAYERS, resume=True
    )
    say(f"4/5  regress   leave one person out, {subjects} folds")
    for layers, regressor, options in _methods(time_budget):
        for method in plan_methods(
            features,
            out / "runs",
            layers=layers,
            regressors=[regressor],
            seed=seed,
            options=options,
        ):
            info = evaluate(method, jobs=jobs, resume=True)
            if info["folds"]["missing"]:
                reason = next(iter(info["folds"]["failed"].values()))
                raise FeatxError(f"{method.name}: a fold failed: {reason}")
    say("5/5  compare   intervals, paired tests, report")
    comparison = compare(find_runs([out / "runs"]), seed=seed)
    title = f"featx demo: {subjects} drawn people"
    return write_report(comparison, out / "report", title)


def _methods(time_budget: float) -> list[tuple[tuple[str, ...], str, dict[str, object]]]:
    methods: list[tuple[tuple[str, ...], str, dict[str, object]]] = [
        (LAYERS, "exact-kernel", {}),
        (LAYERS, "softmax", {}),
        (("gap",), "mean", {}),
    ]
    if time_budget:
        from regress.regressors.auto_sklearn import environment

        environment.ensure()
        budget = {
            "time_budget": time_budget,
            "run_time_limit": time_budget / 3,
            "search_space": "fast",
        }
        methods.append((("gap",), "auto-sklearn", budget))
    return methods

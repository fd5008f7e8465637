"""What a reader must know before trusting a comparison's numbers."""

from __future__ import annotations

from collections.abc import Sequence

from regress.errors_by_cluster import ErrorTable
from regress.predictions import Run


def caveats(runs: Sequence[Run], names: Sequence[str], errors: ErrorTable) -> list[str]:
    """Return sentences on networks that know the images, missing folds, splits, few subjects."""
    notes = []
    for run, name in zip(runs, names, strict=True):
        folds = run.info.get("folds", {})
        missing = list(map(str, folds.get("missing", [])))
        if missing:
            shown = ", ".join(missing[:5]) + (", …" if len(missing) > 5 else "")
            notes.append(
                f"{name} is incomplete: {folds.get('done')} of {folds.get('planned')} folds are "
                f"done (missing: {shown}). Its errors cover only the {len(run.predictions):,} "
                "images of the finished folds, so it is ranked after the complete methods; paired "
                "tests use the images both methods predicted."
            )
    splits = {str(run.info.get("split_hash")) for run in runs}
    if len(splits) > 1:
        notes.append(
            f"The methods were evaluated on {len(splits)} different splits. Each method's own "
            "errors are over its own images; paired tests use only the images both predicted, "
            "whose models were trained on different subjects. Read the ranking with that in mind."
        )
    elif len({len(run.predictions) for run in runs}) > 1 and not notes:
        notes.append(
            "The methods predicted different numbers of images; paired tests use the images both "
            "predicted, and state how many."
        )
    clusters = len(errors.clusters)
    if errors.unit == "image":
        notes.append(
            "Subjects are unknown (fewer than two are named), so intervals and tests treat images "
            "as independent. If a person has several images, the intervals are too narrow."
        )
    if clusters < 2:
        notes.append("There is only one independent unit: no interval and no test is possible.")
    elif clusters < 10:
        notes.append(
            f"There are only {clusters} {errors.unit}s: bootstrap intervals are rough and too "
            f"narrow as a rule, and no paired test can give p below {2 / 2**clusters:.2g}."
        )
    return [*_seen(runs, names), *notes]


def _seen(runs: Sequence[Run], names: Sequence[str]) -> list[str]:
    """Tell of features by networks that were trained on the images, or people, of the data set."""
    told: dict[str, list[str]] = {}
    for run, name in zip(runs, names, strict=True):
        source = run.info.get("features", {}).get("provenance", {})
        if isinstance(source, dict) and (seen := source.get("weights_have_seen")):
            told.setdefault(str(seen), []).append(name)
    return [
        f"The network behind {', '.join(those)} was trained on {seen}, whatever the folds: errors "
        "on people whom it has not seen will be larger."
        for seen, those in told.items()
    ]

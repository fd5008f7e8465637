"""A paper's table from whatever data a user has: what can be run is run, the rest says why not."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from experiments.end_to_end import run_end_to_end
from experiments.experiment_file import Experiment, Row
from experiments.fold_plan import EndToEnd, FoldMethod, plan_end_to_end
from experiments.measures import measures
from experiments.smoke import first_fold, quick, shortened
from featx.devices import resolve_device
from featx.errors import FeatxError
from featx.extraction import extract
from featx.training.cascade import start_network
from featx.training.cascade_file import Cascade, read_cascade
from featx.training.planning import StagePlan, plan_stages, stage_key
from featx.training.processes import Processes
from featx.training.stage import NETWORK, run_stage
from regress.ensemble import plan_ensemble, write_ensemble
from regress.evaluate import evaluate, plan_methods
from regress.predictions import read_run


@dataclass(frozen=True)
class Settings:
    """How an experiment is run here.

    Attributes
    ----------
    data : Path
        The folder below which the rows' relative paths lie.
    out : Path
        Where everything goes; several experiments share trained stages there.
    changes : tuple of str
        Departures from the cascade files, as for ``featx finetune --set``; ``backbone`` and
        ``weights`` hold for networks without a cascade too.
    options : dict
        Departures from the rows' options of regressors.
    folds : tuple of str
        Only these folds.
    smoke : bool
        One short epoch a stage, and one fold; see `experiments.smoke`.
    """

    data: Path
    out: Path
    changes: tuple[str, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)
    folds: tuple[str, ...] = ()
    device: str = "auto"
    jobs: int = 1
    say: Callable[[str], None] = print
    smoke: bool = False


@dataclass(frozen=True)
class Outcome:
    """What became of a row: its measures and the run's folder, or the reason why it has none."""

    row: Row
    measures: dict[str, float]
    run: Path | None
    reason: str


def run_experiment(
    experiment: Experiment, settings: Settings, rows: Sequence[str] = ()
) -> list[Outcome]:
    """Make every row that can be made; finished parts of an earlier run are kept.

    Parameters
    ----------
    experiment : Experiment
        From `read_experiment`.
    settings : Settings
        How.
    rows : sequence of str
        Names of the rows wanted; all by default.

    Returns
    -------
    list of Outcome
        A row each, in order; rows that were not wanted say so.

    Raises
    ------
    FeatxError
        If a wanted row is not there.
    """
    names = [row.name for row in experiment.rows]
    strange = sorted(set(rows) - set(names))
    if strange:
        raise FeatxError(f"--row {strange[0]}: the rows are {', '.join(names)}")
    outcomes: list[Outcome] = []
    for row in quick(experiment.rows) if settings.smoke else experiment.rows:
        if rows and row.name not in rows:
            outcomes.append(Outcome(row, {}, None, "not asked for"))
            continue
        settings.say(f"{row.name}:")
        try:
            missing = missing_needs(experiment, row, settings)
            if missing:
                raise FeatxError(missing)
            members = {outcome.row.name: outcome.run for outcome in outcomes}
            folder = _make(row, experiment, settings, members)
            run, left = read_run(folder), _left(folder)
            if not len(run.predictions):
                raise FeatxError(left)
            outcomes.append(Outcome(row, measures(run), folder, left))
        except FeatxError as error:
            outcomes.append(Outcome(row, {}, None, str(error)))
        settings.say(f"  {outcomes[-1].reason or 'done'}")
    return outcomes


def missing_needs(experiment: Experiment, row: Row, settings: Settings) -> str:
    """Say which of the things that a row names are not there, and how to come by them.

    Where its cascade cannot be read, or does not take the changes, that is what is said.
    """
    try:
        named = _named(experiment, row, settings)
    except FeatxError as error:
        return str(error)
    missing = []
    for path in named:
        if path in experiment.needs and not (settings.data / path).exists():
            missing.append(f"{settings.data / path} is not there ({experiment.needs[path]})")
    return "; ".join(missing)


def _named(experiment: Experiment, row: Row, settings: Settings) -> list[str]:
    if row.ensemble:
        return []
    named = [row.regression.table] if row.regression else []
    if row.cascade is None:
        return [*named, _network(row, settings)[1]]
    cascade = _cascade(row, experiment, settings)
    tables = [table for stage in cascade.stages for table in stage.data.tables]
    return [*named, cascade.weights, *tables]


def _cascade(row: Row, experiment: Experiment, settings: Settings) -> Cascade:
    assert row.cascade is not None
    changes = (*row.changes, *settings.changes)
    cascade = read_cascade(experiment.file.parent / row.cascade, changes)
    names = [stage.name for stage in cascade.stages]
    if row.after is not None and row.after not in names:
        raise FeatxError(f"{experiment.file}: {row.name}: {row.cascade} has no stage {row.after}")
    count = len(names) if row.after is None else 1 + names.index(row.after)
    changed = {"file": settings.data / Path(row.cascade).name, "stages": cascade.stages[:count]}
    cascade = cascade.model_copy(update=changed)
    return shortened(cascade) if settings.smoke else cascade


def _network(row: Row, settings: Settings) -> tuple[str, str]:
    """Return backbone and weights of a network without a cascade."""
    assert row.backbone is not None
    assert row.weights is not None
    given = dict(change.split("=", 1) for change in settings.changes if "=" in change)
    return given.get("backbone", row.backbone), given.get("weights", row.weights)


def _make(
    row: Row, experiment: Experiment, settings: Settings, members: Mapping[str, Path | None]
) -> Path:
    if row.ensemble:
        return _average(row, settings, members)
    if row.regression is not None:
        return _regress(row, experiment, settings)
    cascade = _cascade(row, experiment, settings)
    only = settings.folds or row.folds or ()
    whole = plan_end_to_end(cascade, row.protocol, only=only)  # proves all stages apart
    plan = _from_shared_stages(first_fold(whole) if settings.smoke else whole, settings)
    # rows of one cascade look at other tasks or views of the same networks
    parts = (Path(str(row.cascade)).stem, *row.changes, row.after or "", row.protocol)
    out = settings.out / "networks" / _slug(" ".join(parts))
    run_end_to_end(
        plan,
        out,
        device=settings.device,
        jobs=settings.jobs,
        resume=True,
        stages=settings.out / "stages",
        progress=True,
        say=lambda line: settings.say(f"  {line}"),
    )
    wanted = FoldMethod(task=row.task, view=row.view)
    if wanted not in plan.methods:
        stage = plan.target.stage
        raise FeatxError(
            f"{experiment.file}: {row.name}: stage {stage.name} of {row.cascade} has the tasks "
            f"{', '.join(stage.tasks)} and the views {', '.join(stage.views)}"
        )
    return out / "runs" / wanted.stem


def _average(row: Row, settings: Settings, members: Mapping[str, Path | None]) -> Path:
    assert row.ensemble is not None
    folders = [members[name] for name in row.ensemble]
    runs = [read_run(folder) for folder in folders if folder is not None]
    if len(runs) < len(folders):
        lacking = [name for name in row.ensemble if members[name] is None]
        raise FeatxError(f"the ensemble lacks its rows {', '.join(lacking)}")
    out = settings.out / "ensembles" / _slug(row.name)
    write_ensemble(plan_ensemble(runs, row.name), out, resume=True)
    return out


def _from_shared_stages(plan: EndToEnd, settings: Settings) -> EndToEnd:
    """Train the early stages where other rows find them too, and plan on from there."""
    if not plan.early:
        return plan
    weights = _train(plan.cascade, plan.early, settings)
    reduced = plan.cascade.model_copy(
        update={
            "backbone": plan.early[-1].backbone,
            "weights": str(weights.absolute()),
            "stages": plan.cascade.stages[len(plan.early) :],
        }
    )
    only = [fold.name for fold in plan.folds]
    return plan_end_to_end(reduced, plan.protocol, only=only)


def _train(cascade: Cascade, plans: Sequence[StagePlan], settings: Settings) -> Path:
    """Train some stages, each in a folder named by all that determines it; return the network."""
    network = start_network(cascade)
    where = Processes(0, 1, resolve_device(settings.device))
    folder = settings.out
    for plan in plans:
        key = stage_key(plan, network)
        folder = settings.out / "stages" / f"{plan.stage.name}-{key[:12]}"
        settings.say(f"  stage {plan.stage.name} -> {folder}")
        network = run_stage(plan, network, folder, where, resume=True, progress=True)
    return folder / NETWORK


def _regress(row: Row, experiment: Experiment, settings: Settings) -> Path:
    wanted = row.regression
    assert wanted is not None
    if row.cascade is not None:
        cascade = _cascade(row, experiment, settings)
        plans = plan_stages(cascade)
        backbone = plans[-1].backbone
        weights = str(_train(cascade, plans, settings))
    else:
        backbone, weights = _network(row, settings)
        beside = settings.data / weights
        weights = str(beside) if beside.exists() else weights
    out = settings.out / "regressions" / _slug(row.name)
    features = out / "features.h5"
    extract(
        settings.data / wanted.table,
        features,
        backbone=backbone,
        weights=weights,
        layers=[wanted.layer],
        device=settings.device,
        resume=True,
        progress=True,
    )
    (method,) = plan_methods(
        features,
        out / "runs",
        layers=[wanted.layer],
        regressors=[wanted.regressor],
        protocol=row.protocol,
        options={**wanted.options, **settings.options},
    )
    evaluate(method, jobs=settings.jobs, resume=True)
    return method.folder


def _left(folder: Path) -> str:
    """Say which folds a run lacks; empty where it has them all."""
    folds = read_run(folder).info["folds"]
    if not folds["missing"]:
        return ""
    reasons = sorted(set(folds["failed"].values()))
    failed = f", {len(folds['failed'])} failed: {reasons[0]}" if reasons else ""
    return f"{folds['done']} of {folds['planned']} folds{failed}"


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")

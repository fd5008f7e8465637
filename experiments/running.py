"""A paper's table from whatever data a user has: what can be run is run, the rest says why not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from experiments.cross_dataset import plan_cross_dataset, run_cross_dataset
from experiments.end_to_end import run_end_to_end
from experiments.experiment_file import Experiment, Row
from experiments.fold_plan import FoldMethod, plan_end_to_end
from experiments.measures import measures
from experiments.needs import missing_needs, row_cascade, row_network
from experiments.settings import Settings, slug
from experiments.shared_stages import from_shared_stages, train_shared
from experiments.smoke import first_fold, quick
from featx.errors import FeatxError
from featx.extraction import extract
from featx.training.planning import plan_stages
from regress.ensemble import plan_ensemble, write_ensemble
from regress.evaluate import evaluate
from regress.methods import plan_methods
from regress.predictions import Run, read_run
from regress.subset import write_subset


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


def _make(
    row: Row, experiment: Experiment, settings: Settings, members: Mapping[str, Path | None]
) -> Path:
    if row.ensemble:
        return _average(row, settings, members)
    if row.part_of is not None:
        return _part(row, experiment, settings, members)
    if row.tested_on is not None:
        return _test_elsewhere(row, experiment, settings)
    if row.regression is not None:
        return _regress(row, experiment, settings)
    cascade = row_cascade(row, experiment, settings)
    only = settings.folds or row.folds or ()
    whole = plan_end_to_end(cascade, row.protocol, only=only)  # proves all stages apart
    plan = from_shared_stages(first_fold(whole) if settings.smoke else whole, settings)
    # rows of one cascade look at other tasks or views of the same networks
    parts = (Path(str(row.cascade)).stem, *row.changes, row.after or "", row.protocol)
    out = settings.out / "networks" / slug(" ".join(parts))
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
    out = settings.out / "ensembles" / slug(row.name)
    write_ensemble(plan_ensemble(_runs(row, members), row.name), out, resume=True)
    return out


def _runs(row: Row, members: Mapping[str, Path | None]) -> list[Run]:
    """Return the runs of the rows that a row is made of."""
    lacking = [name for name in row.of_rows if members[name] is None]
    if lacking:
        raise FeatxError(f"{row.name} lacks its rows {', '.join(lacking)}")
    folders = [members[name] for name in row.of_rows]
    return [read_run(folder) for folder in folders if folder is not None]


def _part(
    row: Row, experiment: Experiment, settings: Settings, members: Mapping[str, Path | None]
) -> Path:
    (run,) = _runs(row, members)
    (whole,) = row.of_rows
    cascade = row_cascade(experiment.row(whole), experiment, settings)
    images = plan_stages(cascade, split=0)[-1].data.train.table
    chosen = images["dataset"] == row.dataset
    if not chosen.any():
        there = ", ".join(sorted(images["dataset"].unique()))
        raise FeatxError(f"{whole} has no image of the data set {row.dataset}, but of {there}")
    out = settings.out / "parts" / slug(row.name)
    told = {"command": settings.command(experiment.name, [whole, row.name])}
    write_subset(run, images.loc[chosen, "image"].tolist(), str(row.dataset), out, told=told)
    return out


def _test_elsewhere(row: Row, experiment: Experiment, settings: Settings) -> Path:
    assert row.tested_on is not None
    plan = plan_cross_dataset(
        row_cascade(row, experiment, settings),
        settings.data / row.tested_on.table,
        groups=row.tested_on.groups,
        task=row.task,
        view=row.view,
    )
    network = train_shared(plan.cascade, plan.stages, settings)
    out = settings.out / "cross_dataset" / slug(row.name)
    told = {"command": settings.command(experiment.name, [row.name])}
    run_cross_dataset(plan, network, out, device=settings.device, told=told)
    return out


def _regress(row: Row, experiment: Experiment, settings: Settings) -> Path:
    wanted = row.regression
    assert wanted is not None
    if row.cascade is not None:
        cascade = row_cascade(row, experiment, settings)
        plans = plan_stages(cascade)
        backbone = plans[-1].backbone
        weights = str(train_shared(cascade, plans, settings))
    else:
        backbone, weights = row_network(row, settings)
        beside = settings.data / weights
        weights = str(beside) if beside.exists() else weights
    out = settings.out / "regressions" / slug(row.name)
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

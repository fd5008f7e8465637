"""A row of a paper's table: how it is made, whole or in parts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from experiments.cross_dataset import CrossDataset, plan_cross_dataset, run_cross_dataset
from experiments.end_to_end import run_end_to_end, train_part
from experiments.experiment_file import Experiment, Row
from experiments.fold_plan import EndToEnd, FoldMethod, plan_end_to_end
from experiments.needs import row_cascade, row_network
from experiments.settings import Settings, slug
from experiments.shared_stages import from_shared_stages, train_shared
from experiments.smoke import first_fold
from featx.cluster import Part
from featx.errors import FeatxError
from featx.extraction import extract
from featx.manifest import read_table
from featx.training.planning import plan_stages
from regress.data import usable_rows
from regress.ensemble import plan_ensemble, write_ensemble
from regress.evaluate import evaluate, evaluate_part
from regress.methods import Method, computes_at_once, plan_methods
from regress.predictions import Run, read_run
from regress.protocols import plan_folds, with_subjects
from regress.regressors import make_regressor
from regress.subset import write_subset


def make_row(
    row: Row, experiment: Experiment, settings: Settings, members: Mapping[str, Path | None]
) -> Path:
    """Compute a row, keeping what is finished, and return its run's folder.

    Parameters
    ----------
    row : Row
        What is wanted.
    experiment : Experiment
        The table that it is of.
    settings : Settings
        How.
    members : mapping of str to Path or None
        The runs' folders of the rows before it.

    Raises
    ------
    FeatxError
        If it cannot be made.
    """
    if row.ensemble:
        return _average(row, settings, members)
    if row.part_of is not None:
        return _part(row, experiment, settings, members)
    if row.tested_on is not None:
        return _test_elsewhere(row, experiment, settings)
    if row.regression is not None:
        return _regress(row, experiment, settings)
    plan, out = _plan_networks(row, experiment, settings)
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


def prepare_row(row: Row, experiment: Experiment, settings: Settings) -> None:
    """Make what all folds of a row are computed from: the shared networks, and features.

    Raises
    ------
    FeatxError
        If it cannot be made.
    """
    if row.regression is not None:
        _extract(row, experiment, settings)
    elif row.tested_on is not None:
        _train_for_test(row, experiment, settings)
    elif row.network_a_fold:
        _plan_networks(row, experiment, settings)


def compute_part(
    row: Row, experiment: Experiment, settings: Settings, part: Part
) -> dict[str, str]:
    """Compute a part of a row's folds, beside other parts elsewhere; return why some failed.

    Raises
    ------
    FeatxError
        If what all folds are computed from is not there (see `prepare_row`), or the row has none.
    """
    ready = replace(settings, finished=True)
    if row.regression is not None:
        return evaluate_part([_method(row, settings)], part, jobs=settings.jobs)
    if not row.network_a_fold:
        raise FeatxError(f"{row.name} has no folds of its own to take a part of")
    plan, out = _plan_networks(row, experiment, ready)
    _, failed = train_part(
        plan, part, out, device=settings.device, jobs=settings.jobs, progress=True
    )
    return failed


def count_tasks(row: Row, experiment: Experiment, settings: Settings) -> int:
    """Return into how many parts a row's folds can be cut, by its image table; 0 without folds."""
    if row.regression is not None:
        options = {**row.regression.options, **settings.options}
        if computes_at_once(row.protocol, make_regressor(row.regression.regressor, options, 0)):
            return 1
        images = read_table(settings.data / row.regression.table)
        return len(plan_folds(row.protocol, with_subjects(images[usable_rows(images)])))
    if not row.network_a_fold:
        return 0
    cascade = row_cascade(row, experiment, settings)
    plan = plan_end_to_end(cascade, row.protocol, only=settings.folds or row.folds or ())
    return 1 if settings.smoke else len(plan.folds)


def networks_folder(row: Row, settings: Settings) -> Path:
    """Return the folder of a row's folds; rows that look at the same networks have the same."""
    parts = (Path(str(row.cascade)).stem, *row.changes, row.after or "", row.protocol)
    return settings.out / "networks" / slug(" ".join(parts))


def _plan_networks(row: Row, experiment: Experiment, settings: Settings) -> tuple[EndToEnd, Path]:
    """Plan a network a fold, from the shared early stages, which are trained where they are not."""
    cascade = row_cascade(row, experiment, settings)
    only = settings.folds or row.folds or ()
    whole = plan_end_to_end(cascade, row.protocol, only=only)  # proves all stages apart
    plan = from_shared_stages(first_fold(whole) if settings.smoke else whole, settings)
    return plan, networks_folder(row, settings)


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
    plan, network = _train_for_test(row, experiment, settings)
    out = settings.out / "cross_dataset" / slug(row.name)
    told = {"command": settings.command(experiment.name, [row.name])}
    run_cross_dataset(plan, network, out, device=settings.device, told=told)
    return out


def _train_for_test(
    row: Row, experiment: Experiment, settings: Settings
) -> tuple[CrossDataset, Path]:
    assert row.tested_on is not None
    plan = plan_cross_dataset(
        row_cascade(row, experiment, settings),
        settings.data / row.tested_on.table,
        groups=row.tested_on.groups,
        task=row.task,
        view=row.view,
    )
    return plan, train_shared(plan.cascade, plan.stages, settings)


def _regress(row: Row, experiment: Experiment, settings: Settings) -> Path:
    _extract(row, experiment, settings)
    method = _method(row, settings)
    evaluate(method, jobs=settings.jobs, resume=True)
    return method.folder


def _extract(row: Row, experiment: Experiment, settings: Settings) -> None:
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
    extract(
        settings.data / wanted.table,
        _features(row, settings),
        backbone=backbone,
        weights=weights,
        layers=[wanted.layer],
        device=settings.device,
        resume=True,
        progress=True,
    )


def _features(row: Row, settings: Settings) -> Path:
    return settings.out / "regressions" / slug(row.name) / "features.h5"


def _method(row: Row, settings: Settings) -> Method:
    wanted = row.regression
    assert wanted is not None
    features = _features(row, settings)
    if not features.exists():
        raise FeatxError(f"{features} is not there; make it with the same command and --early-only")
    (method,) = plan_methods(
        features,
        features.parent / "runs",
        layers=[wanted.layer],
        regressors=[wanted.regressor],
        protocol=row.protocol,
        options={**wanted.options, **settings.options},
    )
    return method

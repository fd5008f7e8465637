"""A peer's side: a fold in, its predictions out. Runs in the peer's environment, without featx.

    python -I worker.py flaml|autogluon|autogluon-best IN.npz OUT.npz

In: X_train, y_train, groups, X_test, and the numbers budget (seconds), jobs and seed. Out:
predictions, seconds (fit and predict, without imports), and told: as JSON, what the tool was given
and chose. Where no model was trained within the budget it ends with status 3 and writes nothing.
"""

import importlib
import json
import os
import sys
import time
import warnings

import numpy as np
import pandas as pd

REFUSED = 3
NOTHING_TRAINED = ("No models were trained successfully", "Not enough time left to train models")


def flaml(data, budget, jobs, seed):
    """FLAML as it comes, but that it holds out, or cross-validates on, whole groups."""
    from flaml import AutoML

    given = {"time_budget": budget, "metric": "mae", "split_type": "group", "seed": seed}
    automl = AutoML()
    started = time.perf_counter()
    automl.fit(
        data["X_train"],
        data["y_train"],
        task="regression",
        groups=data["groups"],
        n_jobs=jobs,
        verbose=0,
        **given,
    )
    if automl.model is None:
        raise SystemExit(REFUSED)
    predictions = automl.predict(data["X_test"])
    seconds = time.perf_counter() - started
    return predictions, seconds, {**given, "chose": automl.best_estimator}


def autogluon(data, budget, jobs, preset="medium_quality"):
    """AutoGluon as it comes, but that its holdout, or its bags, hold whole groups."""
    from autogluon.tabular import TabularPredictor

    for name in ("lightgbm", "catboost", "xgboost", "sklearn.ensemble"):
        importlib.import_module(name)  # else the fit would, within its budget
    units = [f"unit{i}" for i in range(data["X_train"].shape[1])]
    train, test = (pd.DataFrame(data[name], columns=units) for name in ("X_train", "X_test"))
    train = train.assign(age=data["y_train"], subject=data["groups"])
    test = test.assign(subject="nobody")
    given = {"time_limit": budget, "presets": preset}
    given["dynamic_stacking"] = False  # what decides whether to stack wants ray
    given["validation_structure"] = {"group_on": "subject"}
    predictor = TabularPredictor(
        "age",
        problem_type="regression",
        eval_metric="mean_absolute_error",
        path=os.environ["TMPDIR"] + "/models",
        verbosity=0,
        learner_kwargs={"ignored_columns": ["subject"]},  # it splits by them, and learns not
    )
    started = time.perf_counter()
    try:
        predictor.fit(train, num_cpus=jobs, **given)
    except (AssertionError, RuntimeError, ValueError) as error:
        if any(words in str(error) for words in NOTHING_TRAINED):
            raise SystemExit(REFUSED) from error
        raise
    predictions = predictor.predict(test, as_pandas=False)
    seconds = time.perf_counter() - started
    return predictions, seconds, {**given, "chose": predictor.model_best}


def main(peer, source, target):
    """Do one fold."""
    warnings.simplefilter("ignore")
    with np.load(source) as stored:
        data = {name: stored[name] for name in stored.files}
    budget, jobs, seed = float(data["budget"]), int(data["jobs"]), int(data["seed"])
    if peer == "flaml":
        found = flaml(data, budget, jobs, seed)
    else:  # it takes no seed: its models have fixed ones
        preset = "best_quality" if peer == "autogluon-best" else "medium_quality"
        found = autogluon(data, budget, jobs, preset)
    predictions, seconds, told = found
    np.savez(target, predictions=predictions, seconds=seconds, told=json.dumps(told))


if __name__ == "__main__":
    main(*sys.argv[1:])

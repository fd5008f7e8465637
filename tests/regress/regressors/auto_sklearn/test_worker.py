"""The worker's own parts, which need no auto-sklearn; the whole of it is in test_estimator."""

from __future__ import annotations

import json
import time
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.dummy import DummyRegressor
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GroupKFold, KFold, cross_val_predict

from regress.regressors.auto_sklearn import worker


def test_checked_splits_are_those_of_group_k_fold_and_are_recorded(tmp_path):
    X, groups = np.zeros((20, 2)), np.repeat(np.arange(5), 4)
    checked = worker.CheckedGroupKFold(3, str(tmp_path / "record"))
    pairs = list(
        zip(checked.split(X, None, groups), GroupKFold(3).split(X, None, groups), strict=True)
    )
    assert len(pairs) == 3
    for ours, theirs in pairs:
        np.testing.assert_array_equal(ours[0], theirs[0])
        np.testing.assert_array_equal(ours[1], theirs[1])
    record = np.loadtxt(tmp_path / "record", dtype=int)
    assert (record[:, 0] + record[:, 1] == 20).all()
    assert (record[:, 2] == 0).all()


def test_a_subject_on_both_sides_is_refused_and_recorded(tmp_path, monkeypatch):
    monkeypatch.setattr(GroupKFold, "split", lambda *_: iter([(np.arange(3), np.arange(2, 4))]))
    checked = worker.CheckedGroupKFold(2, str(tmp_path / "record"))
    with pytest.raises(ValueError, match="1 groups on both sides"):
        next(checked.split(np.zeros((4, 1)), None, np.arange(4)))
    assert (tmp_path / "record").read_text() == "3 2 1\n"


@given(seed=st.integers(0, 1000), folds=st.integers(2, 6))
@settings(max_examples=20, deadline=None)
def test_the_baseline_is_scikit_learns_mean_regressor(seed, folds):
    y = np.random.default_rng(seed).uniform(0, 69, size=23)
    splitter = KFold(folds, shuffle=True, random_state=seed)
    predicted = cross_val_predict(DummyRegressor(), np.zeros((23, 1)), y, cv=splitter)
    ours = worker.mean_baseline(y, splitter.split(y))
    assert ours == pytest.approx(np.abs(predicted - y).mean())


class Failing(RegressorMixin, BaseEstimator):
    def fit(self, X, y):
        raise MemoryError("far too large")


class Slow(RegressorMixin, BaseEstimator):
    def fit(self, X, y):
        time.sleep(600)


class OrderMinding(RegressorMixin, BaseEstimator):
    """Refuses the rows in their order, as a few of scikit-learn's solvers do."""

    def fit(self, X, y):
        if X[0, 0] == 0:
            raise ValueError("not in this order")
        self.rows_ = sorted(zip(X[:, 0].tolist(), y.tolist(), strict=True))
        return self


def automl(members):
    """Return as much of an AutoML object as `worker.refit` uses."""
    keys = [(0, number, 0.0) for number in range(2, 2 + len(members))]
    weights = np.array([weight for weight, _ in members])
    return SimpleNamespace(
        InputValidator=SimpleNamespace(transform=lambda X, y: (X, y)),
        _multiprocessing_context="fork",
        models_={key: model for key, (_, model) in zip(keys, members, strict=True)},
        ensemble_=SimpleNamespace(
            identifiers_=keys,
            weights_=weights,
            get_identifiers_with_weights=lambda: list(zip(keys, weights, strict=True)),
        ),
    )


@pytest.mark.parametrize("n_jobs", [1, 3])
def test_members_that_fail_or_take_too_long_leave_the_ensemble(tmp_path, n_jobs):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(30, 2)), rng.normal(size=30)
    X[:, 0] = np.arange(30)
    members = [(0.5, LinearRegression()), (0.1, Failing()), (0.2, Slow()), (0.2, OrderMinding())]
    fake = automl(members)
    notes = worker.refit(fake, X, y, str(tmp_path), 3.0, 60.0, n_jobs, seed=0)
    linear, order_minding = fake.models_[0, 2, 0.0], fake.models_[0, 5, 0.0]
    assert len(fake.models_) == 2
    np.testing.assert_allclose(linear.coef_, LinearRegression().fit(X, y).coef_)
    assert order_minding.rows_ == sorted(zip(X[:, 0].tolist(), y.tolist(), strict=True))
    np.testing.assert_allclose(fake.ensemble_.weights_, [5 / 7, 0, 0, 2 / 7])
    assert sorted(note[:7] for note in notes) == ["model 3", "model 4"]
    assert any("far too large" in note for note in notes)
    assert any("took too long" in note for note in notes)


def test_the_refit_keeps_to_its_total_and_takes_the_heaviest_first(tmp_path):
    X, y = np.ones((4, 1)), np.arange(4.0)
    members = [(0.1, LinearRegression()), (0.3, Slow()), (0.6, LinearRegression())]
    started = time.monotonic()
    fake = automl(members)
    notes = worker.refit(fake, X, y, str(tmp_path), 60.0, 3.0, 1, seed=0)
    assert time.monotonic() - started < 20
    assert list(fake.models_) == [(0, 4, 0.0)]
    assert len(notes) == 2


def test_an_ensemble_of_which_nothing_can_be_refitted_is_an_error(tmp_path):
    fake = automl([(1.0, Failing())])
    with pytest.raises(RuntimeError, match="far too large"):
        worker.refit(fake, np.ones((4, 1)), np.ones(4), str(tmp_path), 9, 9, 1, 0)


def test_runs_are_told_by_status_without_those_that_never_started():
    def run(status, **info):
        return SimpleNamespace(
            status=SimpleNamespace(name=status), cost=1.5, time=2.0, additional_info=info
        )

    class Key(NamedTuple):
        number: int
        config_id: int = 0

    class Config:
        def get_dictionary(self):
            return {"regressor:__choice__": "sgd"}

    values = [
        run("SUCCESS", num_run=2),
        run("TIMEOUT", error="Timeout"),
        run("MEMOUT", error="Memout"),
        run("CRASHED", error="IndexError"),
        run("STOP"),
        run("RUNNING"),
    ]
    history = SimpleNamespace(
        data={Key(number): value for number, value in enumerate(values)},
        ids_config={0: Config()},
    )
    runs = worker.list_runs(SimpleNamespace(runhistory_=history))
    assert [run["status"] for run in runs] == ["success", "timeout", "memory_out", "crashed"]
    assert [run["validation_mae"] for run in runs] == [1.5, None, None, None]
    board = worker.plain_leaderboard(runs)
    assert [(row["rank"], row["type"], row["cost"]) for row in board] == [(1, "sgd", 1.5)]
    assert [run["error"] for run in runs] == ["", "Timeout", "Memout", "IndexError"]


def test_logged_warnings_come_once_with_their_number(tmp_path):
    (tmp_path / "AutoML(0).log").write_text(
        "[INFO] [2026-01-01 10:00:00,000:Client] all is well\n"
        "[WARNING] [2026-01-01 10:00:01,000:Client-EnsembleBuilder] No models better than random\n"
        "[WARNING] [2026-01-01 10:00:02,000:Client-EnsembleBuilder] No models better than random\n"
        "  a continued line\n"
        "[ERROR] [2026-01-01 10:00:03,000:Client] odd\n"
    )
    told = worker.logged_warnings(str(tmp_path))
    assert told == ["No models better than random (2 times)", "odd"]


def test_everything_becomes_json():
    value = {
        1: np.float32(0.5),
        "a": [np.nan, np.inf, np.int64(3), None, True],
        "b": (np.bool_(1),),
    }
    told = {"1": 0.5, "a": [None, None, 3, None, True], "b": [True]}
    assert json.loads(json.dumps(worker.plain(value), allow_nan=False)) == told

"""Folds as tasks of an array, where a task may end while somebody looks for what is missing."""

from featx.cluster import submissions
from featx.cluster.job import Job
from featx.cluster.profile import Resources
from regress.evaluate import evaluate
from regress.methods import plan_methods
from regress.on_slurm import plan_work
from tests.regress.conftest import write_features


def test_folds_that_come_as_their_tasks_end_are_not_computed_again(tmp_path, monkeypatch):
    features = write_features(tmp_path / "f.h5")
    methods = plan_methods(features, tmp_path / "runs", layers=["gap"], regressors=["ridge"])
    array = Job("regress", "true", Resources(), tmp_path)
    monkeypatch.setattr(submissions, "live", lambda folder: {})
    assert plan_work(methods, array).labels

    def none_is_live_any_more(folder):
        for method in methods:
            evaluate(method)
        return {}

    monkeypatch.setattr(submissions, "live", none_is_live_any_more)
    assert plan_work(methods, array).labels == {}

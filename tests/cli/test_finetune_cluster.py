"""A cascade's folds as tasks of an array, where the last may end while somebody looks."""

from pathlib import Path
from types import SimpleNamespace

import click
import pytest

from cli.cluster import Asked
from cli.finetune_cluster import folds_on_cluster
from experiments import fold_results
from featx.cluster import submissions


def test_folds_that_come_as_their_tasks_end_are_not_trained_again(tmp_path, monkeypatch):
    done = []

    def none_is_live_any_more(folder):
        done.append(folder)
        return {}

    def never(*given):
        pytest.fail("submitted again")

    fold = SimpleNamespace(name="one")
    monkeypatch.setattr(submissions, "live", none_is_live_any_more)
    monkeypatch.setattr(submissions, "submit", never)
    monkeypatch.setattr(fold_results, "finished_early", lambda plan, out: None)
    monkeypatch.setattr(fold_results, "unfinished", lambda plan, early, out: [] if done else [fold])
    monkeypatch.setattr(fold_results, "gather_folds", lambda plan, out: ["gathered"])
    profile = tmp_path / "profile.yaml"
    profile.write_text("", encoding="utf-8")
    asked = Asked(click.Context(click.Command("finetune")), "slurm", Path(profile), (), True)
    plan = SimpleNamespace(folds=[fold])
    told = folds_on_cluster(plan, tmp_path, asked, resume=True, dry_run=False)
    assert told == ["gathered"]

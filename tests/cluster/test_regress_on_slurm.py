"""Folds as the tasks of arrays on a real Slurm, and what it does to them."""

import json
import sys
from pathlib import Path

import pytest

from ..regress.conftest import write_features
from .commands import FEATX, assert_accepted, featx, scripts

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def methods(slurm, tmp_path_factory):
    """What is asked for, and the folder of the same computed here."""
    folder = tmp_path_factory.mktemp("local")
    features = write_features(folder / "features.h5", n_subjects=10, per_subject=4)
    asked = ["regress", features, "--regressor", "ridge", "--regressor", "pls"]
    featx(*asked, "-o", folder / "runs")
    return asked, folder / "runs"


def same(here, there):
    names = ["gap.ridge", "gap.pls"]
    return all(
        (here / name / "predictions.csv").read_bytes()
        == (there / name / "predictions.csv").read_bytes()
        for name in names
    )


def test_dry_run_prints_scripts_that_sbatch_accepts(slurm, methods, tmp_path):
    asked, _ = methods
    out = tmp_path / "with blank" / "100%"
    profile = tmp_path / "cluster.toml"
    profile.write_text(
        '[slurm]\nsetup = ["echo begun"]\noptions = ["--comment=\\"two words\\""]\n'
        '[slurm.regress]\npartition = "cpu"\nmemory = "700M"\ntime = "1:00:00"\nthrottle = 20\n'
    )
    told = featx(*asked, "-o", out, "--cluster", "slurm", "--profile", profile, "--dry-run").stdout
    found = scripts(told)
    assert len(found) == 3  # of arrays two, for this cluster's indices end at 12
    for script in found:
        assert_accepted(script, tmp_path)
    assert not out.parent.exists()


def test_through_all_that_goes_wrong_to_the_predictions_of_a_local_run(slurm, methods, tmp_path):
    asked, local = methods
    out, profile = tmp_path / "runs", tmp_path / "cluster.toml"
    spoil = tmp_path / "spoil.sh"
    spoil.write_text(
        f"if [ ! -e {tmp_path}/mended ]; then case $SLURM_ARRAY_TASK_ID in\n"
        # the second array has no such numbers
        f"  9) exec {sys.executable} -c \"import time; x = b'x' * 2 * 10**9; time.sleep(60)\";;\n"
        "  10) sleep 300;;\n"
        f"  11) mkdir {tmp_path}/lost && sleep 300;;\n"  # once: not when it is begun again
        "esac; fi\n"
    )
    profile.write_text(
        f'[slurm]\npartition = "cpu"\n'
        f'[slurm.regress]\nmemory = "1G"\ntime = "1"\nsetup = ["source {spoil}"]\n'
    )
    words = [*map(str, asked), "-o", str(out), "--cluster", "slurm", "--profile", str(profile)]
    submitting = tmp_path / "submit.sh"
    submitting.write_text(f"#!/bin/bash\nexec {' '.join(FEATX)} {' '.join(words)}\n")
    job = slurm.ask(
        "sbatch", "--parsable", f"-D{ROOT}", f"-o{tmp_path}/submitting.log", submitting
    ).strip()
    slurm.until(lambda: len(list(out.glob("slurm/*.json"))) == 3)  # two arrays, and the gathering
    slurm.ask("scancel", job)
    slurm.until(lambda: (tmp_path / "lost").exists())
    node = slurm.ask("squeue", "-h", "-r", "-tR", "-o%K %N").split()
    node = node[node.index("11") + 1]
    slurm.lose_node(node)
    slurm.start_node(node)
    slurm.until(lambda: not slurm.ask("squeue", "-h").strip(), seconds=900)

    # what the gathering job left: all but two, and why
    infos = [
        json.loads((out / f"gap.{name}" / "run.json").read_text()) for name in ("ridge", "pls")
    ]
    failed = [reason for info in infos for reason in info["folds"]["failed"].values()]
    assert sum(info["folds"]["done"] for info in infos) == 18, failed
    assert len(failed) == 2
    assert any("memory limit" in reason for reason in failed), failed
    assert any("TIME LIMIT" in reason for reason in failed), failed

    (tmp_path / "mended").touch()
    before = {each.name for each in out.glob("slurm/*.json")}
    done = featx(*words, "--resume")
    assert "10 of 10 folds" in done.stdout
    new = [
        json.loads(each.read_text()) for each in out.glob("slurm/*.json") if each.name not in before
    ]
    assert sum(len(each["tasks"]) for each in new if isinstance(each["tasks"], dict)) == 2
    assert same(out, local)
    assert not list(out.rglob("*.partial"))


def test_what_a_live_task_computes_is_waited_for_and_not_computed_again(slurm, methods, tmp_path):
    asked, _ = methods
    out, profile = tmp_path / "runs", tmp_path / "cluster.toml"
    gate = tmp_path / "gate"
    profile.write_text(
        f'[slurm]\nsetup = ["while [ ! -e {gate} ]; do sleep 0.2; done"]\n'
        '[slurm.regress]\nmemory = "700M"\nthrottle = 8\n[slurm.gather]\nsetup = []\n'
    )
    words = [*asked, "-o", out, "--protocol", "kfold:4", "--cluster", "slurm", "--profile", profile]
    featx(*words, "--no-wait")
    again = featx(*words, "--resume", "--no-wait")
    assert again.stderr.startswith("9 tasks")  # eight folds, and their gathering
    arrays = [json.loads(each.read_text()) for each in out.glob("slurm/*.json")]
    assert len([each for each in arrays if isinstance(each["tasks"], dict)]) == 1
    gate.touch()
    assert "4 of 4 folds" in featx(*words, "--resume").stdout

"""A paper's table as a chain of jobs on a real Slurm."""

import csv
import json
import re

import pytest
from click.testing import CliRunner

from cli.experiment import experiment as command

from ..experiments.test_end_to_end import TWO_STAGES
from ..featx.training.made_faces import make_folder, write_cascade
from .commands import assert_accepted, featx, scripts

TABLE = """
title: A table
source: Nobody (2026)
needs:
  made: make it
  large: make it larger
  nowhere: find it
columns: [mae]
rows:
  - name: Whole network
    cascade: cascade.yaml
    protocol: kfold:3
  - name: Ridge on it
    cascade: cascade.yaml
    after: early
    regression: {table: made, layer: gap, regressor: ridge}
    protocol: kfold:3
  - name: Frozen
    backbone: onet
    weights: mtcnn
    regression: {table: made, layer: gap, regressor: mean}
    protocol: kfold:3
  - name: Elsewhere
    backbone: onet
    weights: mtcnn
    regression: {table: nowhere, layer: gap, regressor: mean}
"""


@pytest.fixture
def table(tmp_path):
    make_folder(tmp_path / "made")
    make_folder(tmp_path / "large", subjects=4, each=4, seed=1, dataset="large")
    write_cascade(tmp_path, TWO_STAGES)
    (tmp_path / "table.yaml").write_text(TABLE)
    (tmp_path / "cluster.toml").write_text(
        '[slurm]\nmemory = "3G"\n[slurm.finetune]\npartition = "gpu"\ngpus = 1\n'
    )
    return tmp_path


def run(table, out, *more):
    call = ["run", table / "table.yaml", "--data", table, "-o", out, "--device", "cpu", *more]
    return featx("experiment", *call)


def numbers(out):
    with (out / "table.csv").open() as stream:
        return {row[0]: row[1] for row in csv.reader(stream)}


@pytest.mark.long
def test_the_chain_makes_the_table_of_a_local_run(slurm, table):
    here = ("--cluster", "slurm", "--profile", table / "cluster.toml")
    dry = run(table, table / "out", *here, "--dry-run")
    found = scripts(dry.stdout)
    assert [re.search("--array=(.*)", script) is not None for script in found] == [
        *(False, True, True, True, False)
    ]
    for script in found:
        assert_accepted(script, table)
    assert not (table / "out").exists()

    done = run(table, table / "out", *here)
    assert "nowhere is not there" in done.stdout
    assert "| Whole network |" in done.stdout
    records = [json.loads(path.read_text()) for path in (table / "out" / "slurm").glob("*.json")]
    assert sorted(len(each["tasks"]) for each in records if isinstance(each["tasks"], dict)) == [
        *(3, 3, 3)
    ]
    run(table, table / "local")
    assert numbers(table / "out") == numbers(table / "local")
    # the cascade's folds are drawn by its own seed, so there are two splits
    reports = sorted((table / "out" / "report").glob("*/report.html"))
    assert [path.parent.name.rpartition("-")[0] for path in reports] == ["kfold-3", "kfold-3"]


def test_a_part_before_what_it_needs_is_refused(table):
    def part(*words):
        call = ["run", table / "table.yaml", "--data", table, "-o", table / "out", *words]
        return CliRunner().invoke(command, [*map(str, call), "--device", "cpu"])

    for row in ("Whole network", "Frozen"):
        refused = part("--row", row, "--part", "1/3")
        assert "--early-only" in str(refused.exception)
    assert "give one --row" in str(part("--part", "1/3").exception)
    assert "give one of" in part("--part", "1/3", "--early-only").output

"""Tables of papers: every file can be read, and what can be run is run."""

import csv
import json

import pytest
from click.testing import CliRunner

from cli.experiment import experiment as command
from experiments import fold_networks
from experiments.experiment_file import FOLDER, experiment_names, read_experiment
from experiments.measures import measures
from experiments.running import run_experiment
from experiments.settings import Settings
from featx.backbones import get_backbone
from featx.errors import FeatxError
from featx.training.config.cascade_file import read_cascade
from regress.predictions import read_run
from tests.experiments.test_end_to_end import TWO_STAGES
from tests.featx.training.made_faces import make_folder, write_cascade

TABLE = """
title: A table
source: Nobody (2026)
needs:
  made: make it
  large: make it larger
  nowhere: find it
columns: [mae, r2_mean_of_folds]
rows:
  - name: Whole network
    cascade: cascade.yaml
    protocol: kfold:3
    paper: {mae: 1.5}
  - name: Ridge on it
    cascade: cascade.yaml
    after: early
    regression: {table: made, layer: gap, regressor: ridge}
    protocol: kfold:3
    note: after the first stage only
  - name: Frozen
    backbone: onet
    weights: mtcnn
    regression: {table: made, layer: gap, regressor: mean}
  - name: Elsewhere
    backbone: onet
    weights: mtcnn
    regression: {table: nowhere, layer: gap, regressor: mean}
    paper: {r2_mean_of_folds: -1.52}
"""


@pytest.fixture
def table(made):
    make_folder(made / "large", subjects=4, each=4, seed=1, dataset="large")
    write_cascade(made, TWO_STAGES)
    (made / "table.yaml").write_text(TABLE)
    return made


def run(table, *arguments):
    call = ["run", str(table / "table.yaml"), "--data", str(table), "-o", str(table / "out")]
    return CliRunner().invoke(command, [*call, "--device", "cpu", *arguments])


@pytest.mark.parametrize("name", experiment_names())
def test_every_experiment_can_be_read_and_so_can_its_cascades(name):
    experiment = read_experiment(name)
    for row in experiment.rows:
        assert set(row.paper) <= set(experiment.columns)
        named = [row.regression.table] if row.regression else []
        if row.of_rows:
            continue
        if row.tested_on:
            named.append(row.tested_on.table)
        if row.cascade:
            cascade = read_cascade(experiment.file.parent / row.cascade, row.changes)
            get_backbone(cascade.backbone)
            named += [cascade.weights]
            named += [table for stage in cascade.stages for table in stage.data.tables]
            assert row.after is None or row.after in [stage.name for stage in cascade.stages]
        else:
            named.append(row.weights)
        if row.after is None:
            assert set(named) - {"random"} <= set(experiment.needs)


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*/cascades/*.yaml")), ids=lambda p: p.stem)
def test_every_cascade_can_be_read(path):
    assert read_cascade(path).stages


def test_what_can_be_run_is_run_and_the_rest_says_why(table):
    result = run(table)
    assert result.exit_code == 0, result.output
    with (table / "out" / "table.csv").open() as stream:
        rows = list(csv.reader(stream))
    assert rows[0] == [
        "row",
        "MAE (years)",
        "MAE (years) (the paper's)",
        "R², mean of folds",
        "R², mean of folds (the paper's)",
        "not run, or not wholly",
    ]
    told = {row[0]: row[1:] for row in rows[1:]}
    assert told["Whole network"][1] == "1.50"
    assert told["Whole network"][-1] == told["Ridge on it"][-1] == told["Frozen"][-1] == ""
    assert told["Elsewhere"][:4] == ["-", "-", "-", "-1.52"]
    assert told["Elsewhere"][-1] == f"{table / 'nowhere'} is not there (find it)"
    written = json.loads((table / "out" / "table.json").read_text())
    for row in written["rows"][:3]:  # the numbers are the runs' own
        assert row["measures"] == pytest.approx(measures(read_run(row["run"])), nan_ok=True)
        assert told[row["name"]][0] == f"{row['measures']['mae']:.2f}"
    text = (table / "out" / "table.md").read_text()
    assert "Ridge on it: after the first stage only" in text
    assert "Departures" not in text


def test_stages_are_shared_and_kept(table):
    run(table, "--row", "Whole network")
    (stage,) = (table / "out" / "stages").iterdir()
    before = (stage / "network.safetensors").stat().st_mtime_ns
    result = run(table, "--row", "Ridge on it")
    assert "Whole network" in result.output
    assert "not asked for" in result.output
    assert [path.name for path in (table / "out" / "stages").iterdir()] == [stage.name]
    assert (stage / "network.safetensors").stat().st_mtime_ns == before


def test_departures_are_named(table):
    result = run(table, "--row", "Whole network", "--set", "stages.1.epochs=1", "--fold", "1")
    text = (table / "out" / "table.md").read_text()
    assert result.exit_code == 0
    assert "Departures from the experiment's files: stages.1.epochs=1, only the folds 1." in text
    assert "1 of 3 folds" in text


def test_a_change_that_does_not_fit_one_row_does_not_lose_the_others(table):
    told = run(table, "--set", "stages.nowhere.epochs=1", "--dry-run").output.splitlines()
    assert "nowhere" in told[0]
    assert told[2] == "Frozen: can be run"
    result = run(table, "--set", "stages.nowhere.epochs=1")
    assert result.exit_code == 0, result.output
    rows = json.loads((table / "out" / "table.json").read_text())["rows"]
    assert "nowhere" in rows[0]["reason"]
    assert rows[2]["reason"] == ""
    assert rows[2]["measures"]


def test_the_reason_why_all_folds_failed_is_told(table, monkeypatch):
    def fail(*given):
        raise FeatxError("no room")

    monkeypatch.setattr(fold_networks, "split_stage", fail)
    run(table, "--row", "Whole network")
    rows = json.loads((table / "out" / "table.json").read_text())["rows"]
    assert rows[0]["reason"] == "0 of 3 folds, 3 failed: no room"


def test_a_dry_run_writes_nothing(table):
    result = run(table, "--dry-run")
    assert result.output.splitlines() == [
        "Whole network: can be run",
        "Ridge on it: can be run",
        "Frozen: can be run",
        f"Elsewhere: {table / 'nowhere'} is not there (find it)",
    ]
    assert not (table / "out").exists()


def test_the_papers_table_where_nothing_is_there(tmp_path):
    experiment = read_experiment("cascaded_finetuning/table5")
    outcomes = run_experiment(
        experiment, Settings(tmp_path, tmp_path / "out", say=lambda line: None)
    )
    assert all(outcome.run is None for outcome in outcomes)
    assert "featx prepare imdb-wiki" in outcomes[1].reason
    assert "VGG-16 trained on VGGFace2" in outcomes[1].reason
    assert "imdb" not in outcomes[0].reason


def test_the_list_names_what_is_needed():
    told = CliRunner().invoke(command, ["list"]).output
    for name in experiment_names():
        assert f"{name}: " in told
    assert "data/adience: featx prepare adience" in told


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("columns: [mae,", "columns: [mea,"), r"line 8: columns\[0\]"),
        (("    after: early\n", ""), "after: says which stage's network"),
        (("    note: ", "    remark: "), "unknown key"),
        (("  - name: Frozen", "  - name: Elsewhere"), "two rows are named 'Elsewhere'"),
        (
            ("    backbone: onet\n    weights: mtcnn\n", ""),
            "give a cascade, or both backbone and weights",
        ),
    ],
)
def test_malformed_files(tmp_path, change, message):
    path = tmp_path / "t.yaml"
    path.write_text(TABLE.replace(*change, 1))
    with pytest.raises(FeatxError, match=message):
        read_experiment(str(path))


def test_unknown_names(table):
    with pytest.raises(FeatxError, match="did you mean cascaded_finetuning/table"):
        read_experiment("cascaded_finetuning/table")
    with pytest.raises(FeatxError, match="--row X: the rows are Whole network, "):
        run_experiment(
            read_experiment(str(table / "table.yaml")), Settings(table, table / "out"), ["X"]
        )


QUICK = {
    "agenet/table4",
    "agenet/table5",
    "attentional/recipe",
    "attentional/table1",
    "cross_modal/small",
    "multi_task/utkface",
    "utkface/systems",
}


def _smoke_run(name):
    """Return a table's name as a parameter; all but the quick ones take minutes."""
    return pytest.param(name, marks=() if name in QUICK else pytest.mark.long)


@pytest.mark.parametrize("name", [_smoke_run(name) for name in experiment_names()])
def test_a_smoke_run_takes_every_row_to_its_end(tmp_path, name):
    out = tmp_path / "out"
    result = CliRunner().invoke(command, ["run", name, "--smoke", "-o", str(out)])
    assert result.exit_code == 0, result.output
    told = json.loads((out / f"{name.split('/')[1]}.json").read_text())
    for row in told["rows"]:
        found = row["measures"]
        # the file's first column is what the table is of
        assert read_experiment(name).columns[0] in found, row
        assert all(
            0 <= v <= 1 for m, v in found.items() if m.startswith(("accuracy", "one_off"))
        ), row

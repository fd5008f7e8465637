"""The numerical contract holds here, its check finds what breaks it, and `auto` keeps to it."""

import json
import logging

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from cli.doctor import doctor
from cli.extract import extract
from featx import extraction
from featx.extraction import engine, numerics, precision_choice
from featx.precision import PRECISIONS, TOLERANCES, relative_difference
from featx.store import FeaturesFile
from tests.featx.made_crops import make_table

NETWORK = {"backbone": "mobilefacenet", "weights": "random", "layers": ["gap", "first_conv"]}


def test_the_contract_holds_on_this_machine(tmp_path):
    found = list(numerics.check(tmp_path, "cpu", **NETWORK))
    assert all(each.ok for each in found), found
    by = {each.what: each for each in found}
    exact = {what for what, each in by.items() if each.allowed == 0}
    assert exact == {
        *("the same again", "2 decoding processes", "2 shards, merged", "stopped and resumed"),
    }
    assert {"batches of 1", "1 thread", "bf16", "fp16"} <= set(by)
    # what is compared did differ: half the width of numbers is seen in the features
    assert min(by["bf16"].found.values()) > 1e-4


def test_what_breaks_the_contract_is_named(monkeypatch):
    whole = engine.Engine.__call__

    def sloppy(self, pixels, names):
        features = whole(self, pixels, names)
        return {
            name: values * (1.001 if len(names) == 1 else 1) for name, values in features.items()
        }

    monkeypatch.setattr(engine.Engine, "__call__", sloppy)
    words = ["--numerics", "-b", "onet", "--device", "cpu"]
    done = CliRunner().invoke(doctor, words)
    assert done.exit_code == 1
    assert "FAIL  batches of 1: 1.0e-03, at most 1e-05" in done.output
    assert "features differ by more than they may: batches of 1;" in str(done.exception)
    told = CliRunner().invoke(doctor, [*words, "--json"])
    found = json.loads(told.stdout)
    assert [each["what"] for each in found if not each["ok"]] == ["batches of 1"]


@given(
    arrays(np.float32, (3, 4), elements=st.floats(-1e3, 1e3, width=32)),
    st.floats(0.0, 1.0, width=32),
)
def test_a_relative_difference_is_that_of_lengths(values, part):
    assert relative_difference(values, values) == 0
    expected = part if np.abs(values).max() > 1e-3 else None
    if expected is not None:
        grown = values.astype(np.float64) * (1 + part)
        assert relative_difference(grown, values) == pytest.approx(part, abs=1e-9)


def test_not_a_number_keeps_to_no_tolerance():
    odd = relative_difference(np.array([[np.nan, 1.0]]), np.ones((1, 2)))
    assert not numerics.Difference("odd", {"gap": odd}, 1.0).ok
    assert relative_difference(np.ones((1, 2)), np.zeros((1, 2))) == np.inf


def test_every_precision_has_its_tolerance():
    assert set(TOLERANCES) == set(PRECISIONS)


@pytest.mark.parametrize(
    ("seconds", "tolerance", "chosen"),
    [((1.0, 0.5), 1.0, "bf16"), ((1.0, 0.95), 1.0, "fp32"), ((1.0, 0.5), 1e-6, "fp32")],
)
def test_auto_takes_bf16_where_it_gains_and_keeps_to_the_contract(
    monkeypatch, tmp_path, caplog, seconds, tolerance, chosen
):
    taken = iter(seconds)
    timed = precision_choice._timed
    monkeypatch.setattr(precision_choice, "_timed", lambda *given: (timed(*given)[0], next(taken)))
    monkeypatch.setitem(precision_choice.TOLERANCES, "bf16", tolerance)
    caplog.set_level(logging.INFO, "featx")
    table = make_table(tmp_path)
    plan = extraction.plan(table, precision="auto", device="cpu", **NETWORK)
    assert plan.precision == plan.provenance["precision"] == chosen
    assert f"precision auto: {chosen}" in caplog.text


def test_auto_goes_on_as_it_began(monkeypatch, tmp_path):
    table, out = make_table(tmp_path), tmp_path / "o.h5"
    asked = {"workers": 0, "precision": "auto", **NETWORK}
    answers = iter(["bf16", "fp32", "fp32"])
    monkeypatch.setattr("featx.extraction.planning.choose_precision", lambda *given: next(answers))
    stopped = extraction.plan(table, **asked | {"precision": "bf16"})
    with extraction.open_writer(stopped, out, dtype="float32") as writer:
        assert writer.rows_done == 0
    extraction.extract(table, out, resume=True, **asked)
    extraction.extract(table, out, resume=True, **asked)  # the finished file is asked, too
    with FeaturesFile(out) as file:
        assert file.provenance["precision"] == "bf16"
    assert next(answers) == "bf16"  # nobody chose


def test_auto_without_an_image_that_can_be_read():
    class Nothing:
        def __len__(self):
            return 2

        def __getitem__(self, row):
            return row, None, "empty"

    assert precision_choice.choose_precision(None, [], torch.device("cpu"), Nothing(), 4) == "fp32"


@pytest.mark.parametrize("words", [["--shard", "1/2"], ["--jobs", "2"], ["--cluster", "slurm"]])
def test_shards_agree_on_a_precision(tmp_path, words):
    table = make_table(tmp_path)
    asked = [str(table), "-b", "onet", "-w", "random", "-o", str(tmp_path / "o.h5")]
    done = CliRunner().invoke(extract, [*asked, "--precision", "auto", *words])
    assert done.exit_code == 2
    assert "shards must agree; give fp32 or bf16" in done.output

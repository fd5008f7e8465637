import shlex
from pathlib import Path

from regress.compare import compare
from regress.report.passport import UNKNOWN, commands, find, passport, plain


def test_shared_conditions_are_told_once_and_differing_ones_a_method(runs):
    made = runs(["a", "b"], changes={"b": {"seed": 4}})
    found = passport(made)
    shared = dict(found.shared)
    assert shared["Data set"] == "fgnet"
    assert shared["Rows by status"] == "80 ok, 2 no_face, 1 corrupt"
    assert shared["Images"] == "80 / 83 evaluated"
    assert (shared["Face detector"], shared["Crop"], shared["Margin"]) == ("mtcnn", "margin", "0.4")
    assert shared["Backbone"] == "mobilefacenet"
    assert shared["Weights sha256"] == "feedfacefeed"
    assert shared["Precision"] == "fp32"
    assert shared["Split hash"] == "0123456789ab"
    assert shared["Folds"] == "12 of 12 planned"
    assert "numpy 2.4.6" in shared["Regressed with"]
    assert found.differing == ["Layer sha256", "Regressor", "Seed"]
    assert found.rows == [["0" * 12, "auto-sklearn", "3"], ["1" * 12, "exact-kernel", "4"]]


def test_what_nobody_recorded_is_said_to_be_so(runs):
    made = runs(["a"], changes={"a": {"features": {"file": "f.h5", "provenance": {}}}})
    shared = dict(passport(made).shared)
    assert shared["Face detector"] == UNKNOWN
    assert shared["Weights sha256"] == UNKNOWN
    assert "Extracted with" not in shared


def test_find_reads_nested_and_json_text():
    record = {"a": {"b": {"crop": ""}}, "prepare": '{"settings": {"crop": "aligned"}}'}
    assert find(record, "crop") == "aligned"
    assert find(record, "margin") is None
    assert plain([112, 96]) == "112 \N{MULTIPLICATION SIGN} 96"
    assert plain({"x": True, "y": 0.5}) == "x yes, y 0.5"


def test_commands_can_be_parsed_again(runs):
    made = runs(["a", "b"])
    *regress, last = (
        shlex.split(line) for line in commands(compare(made, bootstrap=200), Path("r; x"))
    )
    assert regress[0][:5] == ["featx", "regress", "faces.h5", "--layer", "gap"]
    assert regress[0][regress[0].index("--time-budget") + 1] == "600"
    assert "--time-budget" not in regress[1]
    assert last[:4] == ["featx", "compare", "out/m0", "out/m1"]
    assert last[last.index("-o") + 1] == "r; x"
    assert last[last.index("--bootstrap") + 1] == "200"

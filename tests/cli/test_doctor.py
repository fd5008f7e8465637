"""`featx doctor` as it is typed; what each check finds is tried in tests/featx/doctor."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

import featx.doctor
from cli.doctor import doctor
from featx.doctor import Finding
from regress.regressors.auto_sklearn import environment


@pytest.fixture
def found(monkeypatch):
    """Let the checks find something else than they do here."""
    monkeypatch.setattr(
        featx.doctor,
        "CHECKS",
        (
            lambda: [Finding("numpy", True, "2.4")],
            lambda: [
                Finding("dlib-bin", False, "not installed", "pip install it", "optional"),
                Finding("torch device", False, "operator nms does not exist", "make them a pair"),
            ],
            lambda: [Finding("file locks", True, "work on nfs4", "if not: set it off")],
        ),
    )


@pytest.fixture(autouse=True)
def no_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("FEATX_AUTOSKLEARN_ENV", str(tmp_path / "none"))
    return tmp_path / "none"


def test_what_is_broken_is_louder_than_what_is_only_not_there(found):
    done = CliRunner().invoke(doctor, [])
    assert done.exit_code == 0
    *lines, last = done.output.splitlines()
    assert lines[:8] == [
        "ok    numpy: 2.4",
        "opt   dlib-bin: not installed",
        "      -> pip install it",
        "FAIL  torch device: operator nms does not exist",
        "      -> make them a pair",
        "ok    file locks: work on nfs4",
        "      -> if not: set it off",
        lines[7],
    ]
    assert lines[7].startswith("opt   auto-sklearn: not built yet")
    assert "featx doctor --install auto-sklearn" in lines[8]
    assert last == (
        "2 ok, 2 not there that are optional (opt), 1 to be mended (FAIL): torch device"
    )


@pytest.mark.parametrize(
    ("python", "told"), [("/py/3.9", "Python 3.9: /py/3.9"), (None, "Python 3.9: none found: uv")]
)
def test_what_auto_sklearn_would_be_built_with(found, monkeypatch, python, told):
    monkeypatch.setattr(environment, "python39", lambda: python)
    last = json.loads(CliRunner().invoke(doctor, ["--json"]).output)[-1]
    assert told in last["detail"]


def test_json_is_complete(found):
    told = json.loads(CliRunner().invoke(doctor, ["--json"]).output)
    assert all(set(one) == {"name", "ok", "detail", "remedy", "severity"} for one in told)
    assert [one["severity"] for one in told] == [
        *("required", "optional", "required", "required", "optional")
    ]
    assert [one["ok"] for one in told] == [True, False, False, True, False]


def test_an_environment_of_the_users_own_that_does_not_work(found, no_environment):
    (no_environment / "bin").mkdir(parents=True)
    (no_environment / "bin" / "python").write_text(
        "#!/bin/sh\necho 'no module autosklearn' >&2\nexit 1\n"
    )
    (no_environment / "bin" / "python").chmod(0o755)
    told = json.loads(CliRunner().invoke(doctor, ["--json"]).output)
    assert told[-1]["name"] == "auto-sklearn"
    assert told[-1]["severity"] == "required"
    assert "no module autosklearn" in told[-1]["detail"]


def test_here(monkeypatch, tmp_path):
    """Everything is looked at on this machine, and the core is well."""
    found = {one["name"]: one for one in json.loads(CliRunner().invoke(doctor, ["--json"]).output)}
    for name in ("python", "featx", "numpy", "memory", "disk, working folder", "hdf5", "slurm"):
        assert name in found
    assert found["python"]["ok"]
    assert found["hdf5"]["ok"]
    if found["torch"]["ok"]:
        assert "torch device" in found
        assert found["torchvision operators"]["ok"]
        assert found["weights onet mtcnn"]["ok"]
        assert "resnet50-0676ba61.pth" in str(found["weights resnet50 imagenet"])

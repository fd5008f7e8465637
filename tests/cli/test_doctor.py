import importlib.util
import json
import re
import tomllib
from pathlib import Path

from click.testing import CliRunner

from cli.doctor import doctor
from featx import doctor as checks


def test_findings_name_what_is_missing_and_its_remedy(monkeypatch, tmp_path):
    monkeypatch.setenv("FEATX_AUTOSKLEARN_ENV", str(tmp_path / "none"))
    found = json.loads(CliRunner().invoke(doctor, ["--json"]).output)
    by_name = {finding["name"]: finding for finding in found}
    assert by_name["python"]["ok"]
    assert by_name["numpy"]["ok"]
    assert not by_name["auto-sklearn"]["ok"]
    assert "not built yet" in by_name["auto-sklearn"]["detail"]
    told = CliRunner().invoke(doctor, []).output
    assert "MISS  auto-sklearn" in told
    assert "-> featx doctor --install auto-sklearn" in told


def test_every_extra_of_the_package_is_looked_at():
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    declared = project["project"]["optional-dependencies"]
    for extra, parts in checks.EXTRAS.items():
        named = {re.match(r"[\w-]+", line)[0].lower() for line in declared[extra]} - {"featx"}
        assert named == {name.lower() for name in parts}, extra
        assert all(importlib.util.find_spec(module) for module in parts.values())
    assert checks.extra_of("torch.nn") == "extract"
    assert checks.extra_of("numpy") is None


def test_a_package_that_is_not_there():
    finding = checks._package("no-such-package", "pip install it")
    assert (finding.ok, finding.remedy) == (False, "pip install it")


def test_a_broken_torch_is_a_finding_not_a_crash(monkeypatch):
    monkeypatch.setattr(checks, "_PROBE", "raise RuntimeError('operator nms does not exist')")
    finding = checks._torch_works()
    assert not finding.ok
    assert "operator nms does not exist" in finding.detail

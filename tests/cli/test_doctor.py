import importlib.metadata
import importlib.util
import json
import re
import tomllib
from pathlib import Path

import pytest
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
        for name, module in parts.items():
            if checks._package(name, "").ok:  # an extra may be absent
                assert importlib.util.find_spec(module), name
    assert checks.extra_of("torch.nn") == "extract"
    assert checks.extra_of("cv2") == "haar"
    assert checks.extra_of("dlib") == "dlib"
    assert checks.extra_of("numpy") is None


def test_no_package_is_told_twice_and_each_has_its_extra(monkeypatch):
    monkeypatch.setattr(checks, "_torch_works", lambda: checks.Finding("torch device", True, ""))
    monkeypatch.setattr(checks, "_package", lambda name, how: checks.Finding(name, False, "", how))
    found = {finding.name: finding.remedy for finding in checks.findings()}
    assert len(found) == len(checks.findings())
    assert found["opencv-python-headless"] == "pip install 'featx[haar]'"
    assert found["dlib-bin"] == found["face_recognition_models"] == "pip install 'featx[dlib]'"
    assert found["pillow"] == "pip install 'featx[extract]'"


@pytest.mark.parametrize(("version", "ok"), [("4.14.0.94", True), ("5.0.0.93", False)])
def test_opencv_5_has_no_cascades(monkeypatch, version, ok):
    monkeypatch.setattr(importlib.metadata, "version", lambda name: version)
    finding = checks._package("opencv-python-headless", "pip install 'featx[haar]'")
    assert finding.ok == ok
    assert finding.detail.startswith(version)
    assert finding.remedy == ("" if ok else "pip install 'featx[haar]'")


def test_a_package_that_is_not_there():
    finding = checks._package("no-such-package", "pip install it")
    assert (finding.ok, finding.remedy) == (False, "pip install it")


def test_a_broken_torch_is_a_finding_not_a_crash(monkeypatch):
    monkeypatch.setattr(checks, "_PROBE", "raise RuntimeError('operator nms does not exist')")
    finding = checks._torch_works()
    assert not finding.ok
    assert "operator nms does not exist" in finding.detail


def test_slurm_is_told_of_and_a_broken_profile_is_not_passed_over(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert checks._slurm().ok
    assert "not on this machine" in checks._slurm().detail
    program = tmp_path / "sbatch"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    program = tmp_path / "scontrol"
    program.write_text("#!/bin/sh\necho 'ClusterName  = faces'\necho 'SLURM_VERSION  = 23.1'\n")
    program.chmod(0o755)
    assert checks._slurm().detail.startswith("Slurm 23.1, cluster faces")
    program.write_text("#!/bin/sh\necho 'Unable to contact slurm controller' >&2\nexit 1\n")
    assert not checks._slurm().ok
    (tmp_path / "featx").mkdir()
    (tmp_path / "featx" / "cluster.toml").write_text("[slurm]\nmem = 3\n")
    assert "did you mean memory" in checks._slurm().detail

"""Completion in the shells that have it."""

from __future__ import annotations

from pathlib import Path

import pytest

from featx.doctor import shell

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("name", ["bash", "zsh", "fish"])
def test_completion(name, tmp_path, monkeypatch, program):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SHELL", f"/usr/bin/{name}")
    (finding,) = shell.check_shell()
    assert (finding.ok, finding.severity) == (False, "optional")
    file, line = shell.SHELLS[name]
    assert finding.remedy == f"echo '{line}' >> ~/{file}"
    assert line in (ROOT / "README.md").read_text(encoding="utf-8")
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).write_text(f"alias x=y\n{line}\n")
    assert shell.check_shell()[0].ok


def test_shells_without_completion(tmp_path, monkeypatch, program):
    monkeypatch.setenv("SHELL", "/bin/tcsh")
    assert "not for tcsh" in shell.check_shell()[0].detail
    monkeypatch.setenv("SHELL", "/bin/bash")
    monkeypatch.setenv("HOME", str(tmp_path))
    program("bash", "GNU bash, version 3.2.57(1)-release")
    assert "4.4 is needed" in shell.check_shell()[0].detail

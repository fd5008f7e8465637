"""Programs as the doctor finds them on PATH."""

from __future__ import annotations

import pytest


@pytest.fixture
def program(tmp_path, monkeypatch):
    """Put a program on an otherwise empty PATH: what it prints, and its exit status."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))

    def put(name, prints="", status=0):
        path = folder / name
        text = prints.replace("'", "'\\''")
        to = " >&2" if status else ""
        path.write_text(f"#!/bin/sh\nprintf '%s\\n' '{text}'{to}\nexit {status}\n")
        path.chmod(0o755)

    return put

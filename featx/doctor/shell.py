"""Completion of commands, options and names by the user's shell."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

from featx.doctor.finding import Finding

_VARIABLE = "_FEATX_COMPLETE"

#: Where each shell reads it from, and the line.
SHELLS: dict[str, tuple[str, str]] = {
    "bash": (".bashrc", f'eval "$({_VARIABLE}=bash_source featx)"'),
    "zsh": (".zshrc", f'eval "$({_VARIABLE}=zsh_source featx)"'),
    "fish": (".config/fish/completions/featx.fish", f"{_VARIABLE}=fish_source featx | source"),
}


def check_shell() -> list[Finding]:
    """Look whether the user's shell completes featx's commands."""
    name = "shell completion"
    shell = Path(os.environ.get("SHELL", "")).name
    if shell not in SHELLS:
        detail = f"not for {shell}" if shell else "the variable SHELL names no shell"
        return [Finding(name, True, f"{detail}; bash, zsh and fish have it", "", "optional")]
    file, line = SHELLS[shell]
    place = Path.home() / file
    if shell == "bash" and (old := _old_bash()):
        return [Finding(name, False, f"bash {old}; 4.4 is needed", "use a newer bash", "optional")]
    try:
        there = _VARIABLE in place.read_text(encoding="utf-8", errors="replace")
    except OSError:
        there = False
    if there:
        return [Finding(name, True, f"{place} has it", "", "optional")]
    remedy = f"echo '{line}' >> ~/{file}"
    return [Finding(name, False, f"{shell} does not complete featx", remedy, "optional")]


def _old_bash() -> str | None:
    """Return the release of a bash that is too old, as macOS has it."""
    bash = shutil.which("bash")
    if bash is None:
        return None
    done = subprocess.run(
        [bash, "--version"], capture_output=True, text=True, timeout=10, check=False
    )
    found = re.search(r"version (\d+)\.(\d+)", done.stdout)
    if found is None or (int(found[1]), int(found[2])) >= (4, 4):
        return None
    return f"{found[1]}.{found[2]}"

"""What is tried in a Python of its own: a broken library can end the process that imports it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

#: Seconds after which a try is given up. The first import of torch from a slow disk takes a minute.
PATIENCE = 180


def probe(name: str, *arguments: str) -> dict[str, Any] | str:
    """Run a module of this package, and return what it prints, or in a line why it did not.

    Parameters
    ----------
    name : str
        The module, which prints JSON on its last line.
    *arguments : str
        Of its command line.
    """
    # last, for packages that the user's own PYTHONPATH names go first
    places = [os.environ.get("PYTHONPATH", ""), str(Path(__file__).parents[3])]
    try:
        done = subprocess.run(
            # -P: a file torch.py in the working folder is not torch
            [sys.executable, "-P", "-W", "ignore", "-m", f"{__name__}.{name}", *arguments],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=PATIENCE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, places))},
        )
    except subprocess.TimeoutExpired:
        return f"no answer in {PATIENCE} s"
    if done.returncode < 0:
        return f"the process was killed by {signal.Signals(-done.returncode).name}"
    try:
        told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        return (done.stderr.strip().splitlines() or ["it said nothing"])[-1][:300]
    return told


def problem_of(error: BaseException) -> str:
    """Return an error in a line."""
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0]}"[:300]

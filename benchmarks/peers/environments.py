"""The environments that the peers run in: built once, with pinned versions, in the user's cache."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import click

from featx.errors import FeatxError
from regress.regressors.auto_sklearn import uv_settings

HERE = Path(__file__).parent


def ensure(peer: str) -> Path:
    """Return the interpreter of a peer's environment; build it where it is not whole.

    It has the Python that runs this, and what `peer`.txt lists and nothing else.
    """
    pins = HERE / f"{peer}.txt"
    digest = hashlib.sha256(pins.read_bytes() + sys.version.encode()).hexdigest()[:8]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    place = cache / "featx" / "peers" / f"{peer}-{digest}"
    python, whole = place / "bin" / "python", place / "featx-complete"
    if not whole.exists():
        click.echo(f"building {peer}'s environment in {place} (once, some minutes)", err=True)
        shutil.rmtree(place, ignore_errors=True)
        place.parent.mkdir(parents=True, exist_ok=True)
        _uv("venv", "--python", sys.executable, place)
        # The pins are all that is needed; xgboost's own would add half a gigabyte for GPUs.
        _uv("pip", "install", "--python", python, "--no-deps", "-r", pins)
        whole.touch()
    return python


def pinned(peer: str) -> str:
    """Return the name and pinned version of a peer's own package."""
    pins = dict(line.split("==") for line in (HERE / f"{peer}.txt").read_text().split())
    name = next(name for name in pins if name in (peer, f"{peer}-tabular"))
    return f"{name} {pins[name]}"


def _uv(*words: object) -> None:
    command = [uv_settings.binary(), *map(str, words)]
    done = subprocess.run(
        command, env=uv_settings.environment(), cwd=sys.prefix, capture_output=True, text=True
    )
    if done.returncode:
        raise FeatxError(f"`{' '.join(command[1:3])}` failed: {done.stderr.strip()[-600:]}")

"""The environments that the peers run in: built once, with pinned versions, in the user's cache."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import click

from regress.regressors.auto_sklearn import uv_settings

HERE = Path(__file__).parent


def ensure(peer: str, *, share_torch: bool = False) -> Path:
    """Return the interpreter of a peer's environment; build it where it is not whole.

    It has the Python that runs this and what `peer`.txt lists, nothing else.

    Parameters
    ----------
    peer : str
        Its name.
    share_torch : bool
        What is not pinned comes from the environment of this process, so that both sides run the
        very same torch, and it is not installed twice.
    """
    pins, shared = HERE / f"{peer}.txt", _torchs_folder() if share_torch else ""
    digest = hashlib.sha256(pins.read_bytes() + sys.version.encode() + shared.encode())
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    place = cache / "featx" / "peers" / f"{peer}-{digest.hexdigest()[:8]}"
    python, whole = place / "bin" / "python", place / "featx-complete"
    if not whole.exists():
        click.echo(f"building {peer}'s environment in {place} (once, some minutes)", err=True)
        shutil.rmtree(place, ignore_errors=True)
        place.parent.mkdir(parents=True, exist_ok=True)
        _uv("venv", "--python", sys.executable, place)
        # The pins are all that is needed; xgboost's own would add half a gigabyte for GPUs.
        _uv("pip", "install", "--python", python, "--no-deps", "-r", pins)
        if shared:
            (packages,) = place.glob("lib/python*/site-packages")
            # a .pth adds the folder behind the environment's own: its pins come first
            (packages / "shared.pth").write_text(f"{shared}\n", encoding="utf-8")
        whole.touch()
    return python


def _torchs_folder() -> str:
    torch = importlib.util.find_spec("torch")
    if torch is None or torch.origin is None:
        raise click.ClickException("there is no torch here to share")
    return str(Path(torch.origin).parents[1])


def pinned(peer: str) -> str:
    """Return the name and pinned version of a peer's own package."""
    pins = dict(line.split("==") for line in (HERE / f"{peer}.txt").read_text().split())
    name = next(name for name in pins if name in (peer, f"{peer}-tabular"))
    return f"{name} {pins[name]}"


def _uv(*words: object) -> None:
    command = [uv_settings.binary(), *map(str, words)]
    # not in a project's folder: its own settings for uv would count
    done = subprocess.run(
        command, env=uv_settings.environment(), cwd=sys.prefix, capture_output=True, text=True
    )
    if done.returncode:
        raise click.ClickException(
            f"`{' '.join(command[1:3])}` failed: {done.stderr.strip()[-600:]}"
        )

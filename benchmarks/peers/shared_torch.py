"""Environments of peers, which take what they do not pin from the environment of this process.

So both sides run the very same torch, and it is not installed twice.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click

from regress.regressors.auto_sklearn import uv_settings

_COMPLETE = "featx-complete"  # written last


def peer_python(pins: Path, tell: Callable[[str], object]) -> Path:
    """Return an interpreter with the pinned packages, nothing more; build it if need be.

    It lies in the user's cache, under a name that changes with the pins, this process' Python and
    the place of its torch.

    Parameters
    ----------
    pins : Path
        A requirements file, complete but for what this process' environment has.
    tell : callable
        Called with a line of text before something that takes long.
    """
    torch = importlib.util.find_spec("torch")
    if torch is None or torch.origin is None:
        raise click.ClickException("there is no torch here to share")
    shared = Path(torch.origin).parents[1]
    text = f"{pins.read_text(encoding='utf-8')}\n{sys.version}\n{shared}"
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    name = f"{pins.stem}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
    place = cache / "featx" / "peers" / name
    python = place / "bin" / "python"
    if not (place / _COMPLETE).exists():
        tell(f"building {place} (once)")
        shutil.rmtree(place, ignore_errors=True)
        _uv("venv", "--python", sys.executable, str(place))
        _uv("pip", "install", "--python", str(python), "--no-deps", "-r", str(pins.resolve()))
        (packages,) = place.glob("lib/python*/site-packages")
        # a .pth adds the folder behind the environment's own: its pins come first
        (packages / "shared.pth").write_text(f"{shared}\n", encoding="utf-8")
        (place / _COMPLETE).touch()
    return python


def _uv(*arguments: str) -> None:
    done = subprocess.run(
        [uv_settings.binary(), *arguments],
        env=uv_settings.environment(),
        cwd=sys.prefix,  # not in a project, whose own uv settings would count
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise click.ClickException(f"uv {arguments[0]}: {done.stderr.strip()[-600:]}")

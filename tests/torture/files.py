"""Damaged features files: a clear line or the right result, never another, a hang or a crash."""

from __future__ import annotations

import io
import logging
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.torture.contents import digests
from tests.torture.kills import Outcome

#: What a status of a child means that no command ends with.
HUNG = "hung"
_PATIENCE = 60.0

#: Commands on a features file, of the file and an output folder.
COMMANDS: dict[str, Callable[[Path, Path], list[str]]] = {
    "inspect": lambda file, out: ["inspect", str(file)],
    "verify": lambda file, out: ["verify", str(file)],
    "export": lambda file, out: ["export", str(file), "-o", str(out / "features.npz")],
    "regress": lambda file, out: [
        *("regress", str(file), "--regressor", "ridge", "--protocol", "kfold:3"),
        *("--jobs", "1", "-o", str(out / "runs")),
    ],
    "repair": lambda file, out: ["repair", str(file), "-o", str(out / "repaired.h5")],
}


def damage(content: bytes, draw: random.Random) -> tuple[bytes, str]:
    """Return a file's bytes with one thing wrong, and what."""
    kind = draw.choice(("bit", "bit", "bit", "bits", "zeros", "cut", "swap"))
    at = draw.randrange(len(content))
    if draw.random() < 0.3:  # headers lie in front, and few bytes of a file are headers
        at = draw.randrange(min(4096, len(content)))
    changed = bytearray(content)
    if kind == "cut":
        return bytes(changed[: max(at, 1)]), f"cut at {at}"
    if kind == "zeros":
        length = draw.choice((1, 16, 512))
        changed[at : at + length] = bytes(len(changed[at : at + length]))
        return bytes(changed), f"{length} zeros at {at}"
    if kind == "swap":
        other, length = draw.randrange(len(content) - 64), min(64, len(content) - at)
        changed[at : at + length], changed[other : other + length] = (
            changed[other : other + length],
            changed[at : at + length],
        )
        return bytes(changed[: len(content)]), f"64 bytes swapped, {at} and {other}"
    for _ in range(1 if kind == "bit" else 8):
        place = min(at + draw.randrange(1 if kind == "bit" else 64), len(content) - 1)
        changed[place] ^= 1 << draw.randrange(8)
    return bytes(changed), f"{kind} at {at}"


def _results(out: Path) -> dict[str, str]:
    """Return digests of what a user would take for results."""
    found = digests(out)
    return {name: found[name] for name in found if name.endswith(("predictions.csv", ".npz"))}


def in_child(words: list[str], said: Path) -> int | str:
    """Run a command in a forked process, for imports take longest; its status, or how it died."""
    child = os.fork()
    if child == 0:
        _command(words, said)
    end = time.monotonic() + _PATIENCE
    while True:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
        if time.monotonic() > end:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return HUNG
        time.sleep(0.005)


def _command(words: list[str], said: Path) -> None:
    status = 70
    try:
        stream = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(stream, 1)
        os.dup2(stream, 2)
        sys.stdout = sys.stderr = io.TextIOWrapper(io.FileIO(1, "w"), write_through=True)
        logging.getLogger().handlers.clear()  # in a test, pytest's
        from cli.main import main

        main(words)
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
    finally:
        os._exit(status)


def damaged_files(
    content: bytes, rounds: int, folder: Path, seed: int, advance: Callable[[], object]
) -> list[Outcome]:
    """Damage a features file in many ways and give it to each command that reads one."""
    draw = random.Random(f"{seed} files")
    file, outcomes, wanted = folder / "features.h5", {}, {}
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    file.write_bytes(content)
    for name, words in COMMANDS.items():
        out = folder / "usual" / name
        out.mkdir(parents=True)
        assert in_child(words(file, out), folder / "said") == 0, (folder / "said").read_text()
        wanted[name] = _results(out)
        outcomes[name] = Outcome(f"damaged features file, {name}")
    for _ in range(rounds):
        changed, what = damage(content, draw)
        file.write_bytes(changed)
        for name, words in COMMANDS.items():
            out = folder / "out"
            shutil.rmtree(out, ignore_errors=True)
            out.mkdir()
            status = in_child(words(file, out), folder / "said")
            text = (folder / "said").read_text(errors="replace")
            problems = []
            if status not in (0, 1):
                problems.append(f"ended with {status}: {text[-300:]}")
            elif "Traceback" in text or "unexpected" in text:
                problems.append(f"not told in a line: {text[-300:]}")
            elif status == 1 and str(file) not in text:
                problems.append(f"does not name the file: {text[-300:]}")
            elif (
                status == 0
                and "`featx verify` says more" not in text
                and _results(out) != wanted[name]
            ):
                problems.append(f"another result, and no word: {text[-300:]}")
            outcomes[name].take(problems, what if problems else what.split()[0])
        advance()
    return list(outcomes.values())

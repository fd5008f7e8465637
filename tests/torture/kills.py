"""Kills at random moments: after --resume the result is the usual one, and nothing is left."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.torture.contents import differing, digests
from tests.torture.processes import Command, run
from tests.torture.verbs import Verb

#: OOM: the kernel kills a process of the command's, not always the first.
SIGNALS = ("KILL", "TERM", "INT", "OOM")

#: What older torch, as 2.5, writes as it is imported, and leaves where it is killed.
_TORCHS = ("_remote_module_non_scriptable.py",)


@dataclass
class Outcome:
    """What came of some rounds of one fault."""

    fault: str
    rounds: int = 0
    survived: int = 0
    problems: list[str] = field(default_factory=list)
    struck: Counter[str] = field(default_factory=Counter)

    def take(self, problems: list[str], how: str = "") -> None:
        """Count a round."""
        self.rounds += 1
        self.survived += not problems
        self.problems += [f"{self.fault}, {how}: {problem}" for problem in problems]
        self.struck[how] += 1


@dataclass
class Undisturbed:
    """A verb's own result: its files, and when (s) it began to write and ended."""

    verb: Verb
    inputs: Path
    files: dict[str, str]
    first_file: float
    ended: float


def undisturbed(verb: Verb, inputs: Path, folder: Path) -> Undisturbed:
    """Run a verb to its end, and tell what it wrote and when."""
    out = folder / "out"
    command = Command(verb(inputs, out), folder)
    first = None
    while command.process.poll() is None:
        if first is None and out.is_dir() and any(out.rglob("*")):
            first = time.monotonic() - command.started
        time.sleep(0.02)
    ended = time.monotonic() - command.started
    assert command.process.returncode == 0, command.text
    return Undisturbed(verb, inputs, digests(out), first or ended / 2, ended)


def kill_round(usual: Undisturbed, how: str, moment: float, folder: Path) -> list[str]:
    """Strike a verb `moment` seconds after its start, resume it, and return what is wrong."""
    out = folder / "out"
    shutil.rmtree(folder, ignore_errors=True)
    command = Command(usual.verb(usual.inputs, out), folder)
    time.sleep(max(0.0, command.started + moment - time.monotonic()))
    _strike(command, how)
    status, problems = command.wait(), []
    if left := command.left_after():
        problems.append(f"processes are left: {_told(left)}")
        command.kill_all()
    if how == "OOM" and status not in (0, -signal.SIGKILL) and "Traceback" in command.text:
        problems.append(f"a traceback:\n{command.text}")
    again = Command(usual.verb(usual.inputs, out, "--resume"), folder)
    if again.wait() != 0:
        return [*problems, f"--resume ended with {again.process.returncode}:\n{again.text}"]
    if left := again.left_after():
        problems.append(f"processes are left after --resume: {_told(left)}")
        again.kill_all()
    wanted, got = usual.files, digests(out)
    if how == "OOM" and usual.verb.did_without(out):  # and went on, so that only names are the same
        wanted, got = dict.fromkeys(wanted, ""), dict.fromkeys(got, "")
    problems += differing(wanted, got)
    problems += [f"{path.name} is left in TMPDIR" for path in _temporary(again)]
    return problems


def kills(
    usual: Undisturbed, rounds: int, folder: Path, seed: int, advance: Callable[[], object]
) -> Outcome:
    """Strike a verb at random moments, most of them after it began to write."""
    draw, outcome = random.Random(f"{seed} {usual.verb.name}"), Outcome(f"kill {usual.verb.name}")
    for number in range(rounds):
        how = SIGNALS[number % len(SIGNALS)]
        begin = 0.0 if draw.random() < 0.2 else usual.first_file
        moment = draw.uniform(begin, usual.ended)
        problems = kill_round(usual, how, moment, folder / "round")
        outcome.take(problems, f"{how} at {moment:.2f} of {usual.ended:.2f} s" if problems else how)
        advance()
    return outcome


def two_at_once(usual: Undisturbed, rounds: int, folder: Path) -> Outcome:
    """Start a verb twice on one output: one of them does it, the other refuses in one line."""
    outcome = Outcome(f"two of {usual.verb.name} at once")
    for _ in range(rounds):
        shutil.rmtree(folder, ignore_errors=True)
        out, problems = folder / "out", []
        first = Command(usual.verb(usual.inputs, out), folder)
        while first.process.poll() is None and not (out.is_dir() and any(out.rglob("*"))):
            time.sleep(0.01)
        second = Command(usual.verb(usual.inputs, out, "--resume"), folder)
        statuses = first.wait(), second.wait()
        if statuses[0] != 0:
            problems.append(f"the first ended with {statuses[0]}:\n{first.text}")
        if statuses[1] not in (0, 1):
            problems.append(f"the second ended with {statuses[1]}:\n{second.text}")
        if statuses[1] == 1 and len(second.text.strip().splitlines()) > 3:
            problems.append(f"the second refuses at length:\n{second.text}")
        problems += differing(usual.files, digests(out))
        outcome.take(problems, "refused" if statuses[1] else "waited or found it done")
    return outcome


def repeats(usual: Undisturbed, rounds: int, folder: Path) -> Outcome:
    """Run a verb again with the same seed: equal files."""
    outcome = Outcome(f"repeat {usual.verb.name}")
    for _ in range(rounds):
        shutil.rmtree(folder, ignore_errors=True)
        run(usual.verb(usual.inputs, folder / "out"), folder)
        outcome.take(differing(usual.files, digests(folder / "out")))
    return outcome


def _strike(command: Command, how: str) -> None:
    target = command.process.pid
    if how == "OOM":
        target = random.choice(command.alive() or [target])
    try:
        os.kill(target, getattr(signal, f"SIG{'KILL' if how == 'OOM' else how}"))
    except ProcessLookupError:
        return  # it had ended


def _temporary(command: Command) -> list[Path]:
    found = [path for path in command.temporary.rglob("*") if path.is_file()]
    return [path for path in found if path.name not in _TORCHS]


def _told(pids: list[int]) -> str:
    told = []
    for pid in pids:
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            words = "ended meanwhile"
        told.append(f"{pid} ({words.strip()[:120]})")
    return ", ".join(told)

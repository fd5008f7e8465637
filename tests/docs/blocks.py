"""The code blocks of a page of documentation, and a way to do what the page says.

Blocks of ``bash`` and ``python`` are run; a block whose line before is a file's name in backticks
is written to that file; blocks without a language show what is not to be run.
"""

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
_BLOCK = re.compile(
    r"(?:^`(?P<file>[\w./-]+)`\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.M | re.S
)


@dataclass(frozen=True)
class Block:
    """A code block: its language, the file that it is of or nothing, and the line it begins at."""

    language: str
    file: str
    text: str
    line: int


def blocks(page):
    """Return the code blocks of a page, named from the repository's root, in order."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return [
        Block(
            found["language"],
            found["file"] or "",
            found["text"],
            text.count("\n", 0, found.start("text")) + 1,
        )
        for found in _BLOCK.finditer(text)
    ]


def follow(page, folder, **environment):
    """Write a page's files into a folder and run its other blocks there, in order.

    Returns what the blocks that ran have printed, in order; one that fails is an `AssertionError`
    that names its line.
    """
    programs = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": programs, "PYTHONPATH": str(ROOT), **environment}
    printed = []
    for block in blocks(page):
        if block.file:
            path = folder / block.file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text, encoding="utf-8")
            continue
        if block.language not in RUN:
            continue
        done = subprocess.run(
            [*RUN[block.language], block.text],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert not done.returncode, f"{page}, line {block.line}:\n{done.stdout}{done.stderr}"
        printed.append(done.stdout)
    return printed


#: How a block of a language is run, with its text as the last argument.
RUN = {"bash": ["bash", "-euo", "pipefail", "-c"], "python": [sys.executable, "-c"]}

"""The code blocks of a page of documentation, and a way to do what the page says.

Blocks of ``bash`` and ``python`` are run; a block whose line before is a file's name in backticks
is written to that file; blocks without a language show what is not to be run.
"""

import contextlib
import io
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

    Returns what the blocks that ran have printed, in order. Python runs in this process, each block
    with names of its own; a shell's failure is an `AssertionError` that names the block's line.
    """
    printed = []
    for block in blocks(page):
        if block.file:
            path = folder / block.file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text, encoding="utf-8")
        elif block.language == "python":
            printed.append(_python(page, block, folder))
        elif block.language == "bash":
            printed.append(_bash(page, block, folder, environment))
    return printed


def _python(page, block, folder):
    lines = "\n" * (block.line - 1) + block.text  # so that a traceback has the page's lines
    said = io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stdout(said):
        exec(compile(lines, page, "exec"), {"__name__": "__main__"})
    return said.getvalue()


def _bash(page, block, folder, environment):
    programs = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block.text],
        cwd=folder,
        env={**os.environ, "PATH": programs, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert not done.returncode, f"{page}, line {block.line}:\n{done.stdout}{done.stderr}"
    return done.stdout

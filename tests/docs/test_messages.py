"""The messages that the documentation quotes are those of the program."""

import ast
import re

import pytest

from .blocks import ROOT

ROOMS = ("featx", "regress", "cli", "experiments")

#: Where messages stand in backticks: as the first cell of a row, or as the last.
QUOTED = {"docs/troubleshooting.md": 0, "docs/protocols.md": -1}


def texts(path):
    """Yield all texts of a module, with … for what is filled in."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
        elif isinstance(node, ast.JoinedStr):
            parts = [part.value if isinstance(part, ast.Constant) else "…" for part in node.values]
            yield "".join(map(str, parts))


@pytest.fixture(scope="module")
def program():
    modules = [path for room in ROOMS for path in (ROOT / room).rglob("*.py")]
    return "\n".join(text for path in modules for text in texts(path)).replace("`", "")


def quoted(page, cell):
    for line in (ROOT / page).read_text(encoding="utf-8").splitlines():
        if line.startswith("| ") and not line.startswith("| ---"):
            text = [part.strip() for part in line.strip("|").split(" | ")][cell]
            for message in re.findall(r"`([^`]+)`", text):
                if "…" in message:
                    yield message


@pytest.mark.parametrize("page", QUOTED)
def test_quoted_messages_are_in_the_program(program, page):
    messages = list(quoted(page, QUOTED[page]))
    assert len(messages) >= {"docs/troubleshooting.md": 40, "docs/protocols.md": 6}[page]
    assert not [message for message in messages if not re.search(pattern(message), program)]


def pattern(message):
    parts = [re.escape(part.strip()) for part in message.split("…") if part.strip()]
    return ".{0,120}?".join(parts)

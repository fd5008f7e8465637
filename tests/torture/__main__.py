"""All faults, many times, and a table of what came of them.

    python -m tests.torture --rounds 100 -o reliability.md

Each part runs the program as a user does, on small drawn data, strikes it, and compares what it
left with what it leaves undisturbed. `--only` takes parts; the hours of the loop are an option.
"""

from __future__ import annotations

import os
import shlex
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import click

from tests.torture import disks, endurance, files, kills, pictures
from tests.torture.kills import Outcome, Undisturbed
from tests.torture.verbs import VERBS, Verb, make_inputs


@dataclass
class Session:
    """Inputs, once made, and each verb's undisturbed result, once seen."""

    folder: Path
    rounds: int
    seed: int
    hours: float
    verbs: tuple[Verb, ...]

    def __post_init__(self) -> None:
        self._usual: dict[str, Undisturbed] = {}

    @cached_property
    def inputs(self) -> Path:
        return make_inputs(self.folder / "inputs")

    def usual(self, verb: Verb) -> Undisturbed:
        """Return a verb's result where nothing strikes."""
        if verb.name not in self._usual:
            folder = self.folder / "usual" / verb.name.replace(" ", "-")
            self._usual[verb.name] = kills.undisturbed(verb, self.inputs, folder)
        return self._usual[verb.name]

    def each(self) -> Iterator[Undisturbed]:
        """Yield every verb's result where nothing strikes."""
        return map(self.usual, self.verbs)

    @property
    def face(self) -> Path:
        """A good picture."""
        return next(path for path in sorted(self.inputs.glob("faces/**/*.[jJ][pP][gG]")))


def _kills(session: Session) -> Iterator[Outcome]:
    for usual in session.each():
        yield kills.kills(usual, session.rounds, session.folder / "kills", session.seed, _dot)


def _together(session: Session) -> Iterator[Outcome]:
    for usual in session.each():
        yield kills.two_at_once(usual, max(1, session.rounds // 10), session.folder / "together")


def _repeats(session: Session) -> Iterator[Outcome]:
    for usual in session.each():
        yield kills.repeats(usual, max(1, session.rounds // 20), session.folder / "again")


def _disks(session: Session) -> Iterator[Outcome]:
    if disks.compiler() is None:
        click.echo("no C compiler, so that no write can be made to fail", err=True)
        return
    library = disks.build(session.folder)
    for usual in session.each():
        yield disks.disks(
            usual, library, session.rounds, session.folder / "disks", session.seed, _dot
        )


def _files(session: Session) -> Iterator[Outcome]:
    content = (session.inputs / "features.h5").read_bytes()
    yield from files.damaged_files(
        content, 20 * session.rounds, session.folder / "files", session.seed, _dot
    )


def _pictures(session: Session) -> Iterator[Outcome]:
    few = session.rounds < 100
    yield pictures.pictures(
        session.folder / "pictures",
        session.face,
        step=997 if few else 10,
        mutants=max(1, session.rounds // 5),
        seed=session.seed,
    )
    yield pictures.many_files(session.folder, 2000 if few else 200_000)


def _endurance(session: Session) -> Iterator[Outcome]:
    folder, temporary = session.folder / "endurance", session.folder / "temporary"
    folder.mkdir()
    temporary.mkdir()
    os.environ["TMPDIR"] = tempfile.tempdir = str(temporary)  # others' files are not counted
    yield endurance.endure(session.inputs, folder, seconds=3600 * session.hours)[0]


PARTS: dict[str, Callable[[Session], Iterator[Outcome]]] = {
    "kills": _kills,
    "together": _together,
    "repeats": _repeats,
    "disks": _disks,
    "files": _files,
    "pictures": _pictures,
    "endurance": _endurance,
}


def _dot() -> None:
    click.echo(".", err=True, nl=False)


def row(outcome: Outcome) -> str:
    """Return an outcome as a row of the table."""
    how = ", ".join(f"{count} {name}" for name, count in outcome.struck.most_common(8) if name)
    lost = outcome.rounds - outcome.survived
    return f"| {outcome.fault} | {outcome.rounds:,} | {outcome.survived:,} | {lost:,} | {how} |"


@click.command(help=__doc__)
@click.option("--rounds", type=click.IntRange(1), default=100, show_default=True)
@click.option("--hours", type=float, default=6.0, show_default=True, help="Of the loop.")
@click.option("--only", multiple=True, type=click.Choice(list(PARTS)), help="Parts; repeatable.")
@click.option("--verb", "names", multiple=True, type=click.Choice([v.name for v in VERBS]))
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write the table here.")
def main(
    rounds: int,
    hours: float,
    only: tuple[str, ...],
    names: tuple[str, ...],
    seed: int,
    output: Path | None,
) -> None:
    verbs = tuple(verb for verb in VERBS if not names or verb.name in names)
    command = shlex.join(["python", "-m", "tests.torture", *sys.argv[1:]])
    table = [f"`{command}`", "", "| fault | tried | survived | lost | of which |"]
    table += ["| --- | ---: | ---: | ---: | --- |"]
    problems = []
    with tempfile.TemporaryDirectory(prefix="featx-torture-") as folder:
        session = Session(Path(folder), rounds, seed, hours, verbs)
        for name in PARTS:
            if only and name not in only:
                continue
            for outcome in PARTS[name](session):
                table.append(row(outcome))
                click.echo("\n" + table[-1], err=True)
                for problem in outcome.problems:
                    click.echo(problem, err=True)
                problems += outcome.problems
                if output:
                    output.write_text("\n".join(table) + "\n", encoding="utf-8")
    click.echo("\n".join(table))
    sys.exit(bool(problems))


if __name__ == "__main__":
    main()

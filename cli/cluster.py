"""Sending a command to a cluster: its options, its tasks' commands, its scripts."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource

if TYPE_CHECKING:
    from featx.cluster.job import Job
    from featx.cluster.submissions import Task

F = TypeVar("F", bound=Callable[..., Any])

#: Options that say where and how a command runs here, which its tasks elsewhere are not given.
_HERE = (
    *("cluster", "profile", "slurm", "wait", "resume", "dry_run", "verbose"),
    *("jobs", "shards"),
)


def program(name: str = "featx") -> str:
    """Return a program's path, quoted for a shell: the one beside the running Python, if any."""
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.exists() else shutil.which(name)
    return shlex.quote(found or name)


def again(context: click.Context, *more: str, without: Iterable[str] = ()) -> str:
    """Return the running command as a line of shell, with more options at its end.

    Parameters
    ----------
    context : click.Context
        Of the running command.
    *more : str
        Options to add, as they are: the shell may expand them.
    without : iterable of str
        Parameters to leave out, beside those that tell where this process runs.
    """
    words: list[str] = []
    step: click.Context | None = context
    while step is not None and step.parent is not None:
        words.insert(0, str(step.info_name))
        step = step.parent
    words = words or [str(context.info_name)]  # a command that was called by itself
    for parameter in context.command.params:
        name = str(parameter.name)
        given = context.get_parameter_source(name) not in (
            ParameterSource.DEFAULT,
            ParameterSource.DEFAULT_MAP,
        )
        if given and name not in _HERE and name not in set(without):
            words += _written(parameter, context.params[name])
    return " ".join([program(), *map(shlex.quote, words), *more])


def _written(parameter: click.Parameter, value: Any) -> Iterator[str]:
    several = parameter.multiple or parameter.nargs != 1
    for each in value if several else [value]:
        if each is None:
            continue
        if isinstance(parameter, click.Argument):
            yield str(each)
        elif isinstance(parameter, click.Option) and parameter.is_flag:
            yield (parameter.opts if each else parameter.secondary_opts)[-1]
        else:
            yield from (parameter.opts[-1], str(each))


@dataclass(frozen=True)
class Asked:
    """What a command was asked about the cluster.

    Attributes
    ----------
    context : click.Context
        Of the command.
    cluster : str or None
        The kind; None to work here.
    profile : Path or None
        The profile file; None for the user's own.
    changes : tuple of str
        Departures from it.
    wait : bool
        Whether to wait for the end.
    """

    context: click.Context
    cluster: str | None
    profile: Path | None
    changes: tuple[str, ...]
    wait: bool

    def job(
        self,
        work: str,
        out: Path,
        *more: str,
        name: str = "",
        without: Iterable[str] = (),
        then: str = "",
    ) -> Job:
        """Return a job that runs the command again.

        Parameters
        ----------
        work : str
            The kind, which decides what it asks for; departures from the profile are for all but
            gathering.
        out : Path
            The command's output, a folder.
        *more : str
            Options to add.
        name : str
            Of the job; by default the kind's.
        without : iterable of str
            The command's parameters to leave out.
        then : str
            A line of shell to run when the command has succeeded.
        """
        from featx.cluster.job import Job
        from featx.cluster.profile import read_profile
        from featx.cluster.submissions import FOLDER

        changes = () if work == "gather" else self.changes
        asked = read_profile(self.profile).resources(work, changes)
        command = again(self.context, *more, without=without)
        # the shell is replaced, so that signals reach the command
        command = f"{command} && {then}" if then else f"exec {command}"
        return Job(name or work, command, asked, out / FOLDER)

    def follow(self, tasks: Sequence[Task], out: Path) -> list[Task] | None:
        """Wait for tasks and return them with their last states; None where that isn't wanted."""
        from featx.cluster import submissions
        from featx.progress import tracking

        jobs = ", ".join(dict.fromkeys(task.submission for task in tasks))
        status = f"`featx status {shlex.quote(str(out))}` shows how far it is"
        click.echo(f"{len(tasks)} tasks in the jobs {jobs}; {status}", err=True)
        if not self.wait:
            return None
        try:
            with tracking("cluster", len(tasks), "task") as advance:
                ended = submissions.wait(tasks, advance)
        except KeyboardInterrupt:
            click.echo(f"the jobs go on; {status}, and --resume waits again", err=True)
            raise
        click.echo(f"ended: {submissions.tally(ended)}", err=True)
        return ended


@contextmanager
def as_a_task() -> Iterator[None]:
    """Build no environment meanwhile, here or in processes begun here: a whole array would."""
    name = "FEATX_AUTOSKLEARN_BUILD"
    before = os.environ.get(name)
    os.environ.setdefault(name, "never")
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]


def end_part(part: str, failed: Mapping[str, str]) -> None:
    """Say that a part is done, or which of its folds failed.

    Raises
    ------
    FeatxError
        If some failed.
    """
    from featx.errors import FeatxError

    for name, reason in failed.items():
        click.echo(f"{name} failed: {reason}", err=True)
    if failed:
        raise FeatxError(
            f"{len(failed)} folds of part {part} failed (reasons above); the others are kept: mend "
            "the cause, and run this part again"
        )
    click.echo(f"part {part} is done")


def tell_scripts(jobs: Sequence[Job]) -> None:
    """Print the scripts that would be submitted, one after the other."""
    from featx.cluster import slurm, submissions
    from featx.errors import FeatxError

    try:
        limit = slurm.max_array_size()
    except FeatxError:  # scripts can be looked at without a cluster
        limit = slurm.MAX_ARRAY_SIZE
    scripts = [part for job in jobs for part in submissions.chunks(job, limit)]
    for number, job in enumerate(scripts, start=1):
        click.echo(f"# script {number} of {len(scripts)}; needs the folder {job.folder}")
        click.echo(job.script)


def cluster_options(command: F) -> F:
    """Add what sends the work to a Slurm cluster."""
    for option in (
        click.option(
            "--wait/--no-wait",
            default=True,
            show_default=True,
            help="With --cluster: wait for the end, or only submit; `featx status` tells more.",
        ),
        click.option(
            "--slurm",
            multiple=True,
            metavar="KEY=VALUE",
            help="With --cluster: depart from the profile, as memory=16G; repeatable.",
        ),
        click.option(
            "--profile",
            type=click.Path(path_type=Path),
            help="With --cluster: what jobs ask for. [default: ~/.config/featx/cluster.toml]",
        ),
        click.option(
            "--cluster",
            type=click.Choice(["slurm"]),
            help="Run as jobs of a cluster; with --dry-run their scripts are printed.",
        ),
    ):
        command = option(command)
    return command

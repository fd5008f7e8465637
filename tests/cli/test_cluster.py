import os
import shlex

import click
import pytest
from click.testing import CliRunner

from cli.cluster import again, as_a_task, cluster_options
from cli.options import Duration, long_work
from regress.regressors.auto_sklearn import environment


@pytest.fixture
def told():
    """Run a command, and return how it writes itself again."""

    @click.group()
    def group():
        pass

    @group.command()
    @click.argument("files", nargs=-1)
    @click.option("-o", "--out")
    @click.option("--layer", "layers", multiple=True, default=("gap",))
    @click.option("--mirror/--no-mirror", default=True)
    @click.option("--keep", is_flag=True)
    @click.option("--time", type=Duration(), default="12h")
    @click.option("--jobs", type=int, default=1)
    @cluster_options
    @long_work
    @click.pass_context
    def work(context, **options):
        click.echo(again(context, "--part", "$TASK/9"))

    def run(*arguments):
        done = CliRunner().invoke(group, ["work", *arguments])
        assert done.exit_code == 0, done.output
        return shlex.split(done.output)[1:]

    return run


def test_what_was_given_is_written_again_and_nothing_else(told):
    given = ["a b.h5", "c.h5", "-o", "out $HOME", "--layer", "gap", "--layer", "x", "--no-mirror"]
    assert told(*given, "--keep", "--time", "10m", "--seed", "4") == [
        *("work", "a b.h5", "c.h5", "--out", "out $HOME", "--layer", "gap", "--layer", "x"),
        *("--no-mirror", "--keep", "--time", "600.0", "--seed", "4", "--part", "$TASK/9"),
    ]


def test_where_it_runs_is_left_out(told):
    here = ["--cluster", "slurm", "--profile", "p", "--slurm", "cpus=2", "--no-wait", "--resume"]
    assert told("a", *here, "--dry-run", "-v", "--jobs", "2") == ["work", "a", "--part", "$TASK/9"]


@pytest.mark.parametrize("before", [None, "never"])
def test_a_task_builds_nothing_and_leaves_the_environment_as_it_was(monkeypatch, before):
    """A command's part is run in a process that lives on, too: a notebook, these tests."""
    name = environment.BUILD_VARIABLE
    monkeypatch.delenv(name, raising=False)
    if before:
        monkeypatch.setenv(name, before)
    with as_a_task():
        assert os.environ[name] == "never"
    assert os.environ.get(name) == before

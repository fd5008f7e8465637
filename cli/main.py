"""The `featx` command: a group whose commands are imported when they run."""

from __future__ import annotations

import importlib
import logging
import os
import sys
import traceback
from typing import Any

import click

from cli.options import examples
from featx import __version__
from featx.errors import FeatxError, Interrupted

#: Command -> (module:object, one line of help); the line is here so that --help imports nothing.
COMMANDS = {
    "demo": ("cli.demo:demo", "The whole flow on made-up faces, offline, in minutes."),
    "prepare": ("cli.prepare:prepare", "Images and labels -> image table and face crops."),
    "clean": ("cli.clean:clean", "Labels that a tentative model does not believe -> left out."),
    "finetune": ("cli.finetune:finetune", "Network -> fine-tuned through the stages of a cascade."),
    "search": ("cli.search:search", "Learning rate, batch size, … of a stage by search."),
    "extract": ("cli.extract:extract", "Image table and CNN backbone -> features file (HDF5)."),
    "merge": ("cli.merge:merge", "Shards of an extraction -> one features file."),
    "regress": ("cli.regress:regress", "Features file -> predictions under a protocol."),
    "ensemble": ("cli.ensemble:ensemble", "Predictions of several runs -> their mean, a run too."),
    "compare": ("cli.compare:compare", "Predictions -> report with intervals and tests."),
    "experiment": ("cli.experiment:experiment", "A paper's table, from the data that are there."),
    "predict": ("cli.predict:predict", "Pictures, a video, a camera -> ages and genders."),
    "explain": ("cli.explain:explain", "Where on a face a fine-tuned network looks."),
    "inspect": ("cli.inspect:inspect", "What is inside a features file."),
    "verify": ("cli.verify:verify", "Whether features files are whole; what is wrong with them."),
    "repair": ("cli.repair:repair", "Damaged features file -> what it still holds, and what not."),
    "export": ("cli.export:export", "Features file -> Parquet, CSV, npz or mat."),
    "diff": ("cli.diff:diff", "In what two features files differ: provenance, images, numbers."),
    "status": ("cli.status:status", "How far the work in a folder has come, also on a cluster."),
    "plan": ("cli.plan:plan", "What a verb will take, and whether it fits, before it runs."),
    "doctor": ("cli.doctor:doctor", "What is installed, what is missing, what to do about it."),
}


class LazyGroup(click.Group):
    """A click group that imports a command's module only when it is needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands in the order of the flow."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a command."""
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Name near matches for an unknown command."""
        from featx.errors import unknown

        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            ctx.fail(str(unknown("command", args[0], COMMANDS)))
        return super().resolve_command(ctx, args)


@click.group(
    cls=LazyGroup,
    epilog=examples(
        "featx demo   # the whole flow on drawn faces",
        "featx prepare fgnet FGNET -o work",
        "featx extract work --backbone onet --weights mtcnn --layer gap -o fgnet.h5",
        "featx regress fgnet.h5 --layer gap --regressor exact-kernel -o runs",
        "featx compare runs -o report",
    ),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="featx")
def group() -> None:
    """Face images -> per-layer CNN features -> honestly compared age regression.

    \b
    images --prepare--> image table + crops --extract--> features.h5
           --regress--> predictions --compare--> report
    """


def _verbose(arguments: list[str]) -> bool:
    return bool({"-v", "-vv", "--verbose"} & set(arguments))


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; exits with 0, 1 (bad input), 2 (bad usage), 75 (stopped by a signal
    where --resume goes on) or 130 (Ctrl-C).
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    logging.basicConfig(level=logging.WARNING, format="featx: %(message)s")
    sys.exit(_run(arguments))


def _run(arguments: list[str]) -> int:
    verbose = _verbose(arguments)
    try:
        status: Any = group.main(arguments, prog_name="featx", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("featx: stopped; add --resume to go on from here", err=True)
        return 130
    except BrokenPipeError:  # `featx inspect … | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except Interrupted as stop:
        click.echo(f"featx: {stop}", err=True)
        return stop.exit_code
    except FeatxError as error:
        if verbose:
            traceback.print_exc()
        click.echo(f"featx: error: {error}", err=True)
        return 1
    except Exception as error:
        if verbose:
            traceback.print_exc()
        hint = "" if verbose else "; -v shows where"
        told = _missing_extra(error) or _of_a_file(error)
        told = told or f"unexpected {type(error).__name__}: {error}{hint}"
        click.echo(f"featx: {told}", err=True)
        return 1
    return int(status) if isinstance(status, int) else 0


def _of_a_file(error: Exception) -> str | None:
    """Name the file that the system would not read or write."""
    if not (isinstance(error, OSError) and isinstance(error.filename, str | bytes)):
        return None
    return f"error: {os.fsdecode(error.filename)}: {error.strerror}"


def _missing_extra(error: Exception) -> str | None:
    """Say which extra is not installed, where that is what the error is about."""
    from featx.doctor import extra_of, install

    if not isinstance(error, ModuleNotFoundError):
        return None
    extra = extra_of(error.name or "")
    return extra and f"error: this needs {error.name}, which is not installed: {install(extra)}"


if __name__ == "__main__":
    main()

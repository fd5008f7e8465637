"""`featx search`: which learning rate, which batch size, which anything of a stage."""

from __future__ import annotations

from pathlib import Path

import click
from click.core import ParameterSource

from cli.options import examples, long_work


@click.command(
    epilog=examples(
        "featx search search.yaml --dry-run -o searched   # the models and the space",
        "featx search search.yaml -o searched",
    )
)
@click.argument("search", type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path), help="Folder to write."
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@long_work
@click.pass_context
def search(
    context: click.Context,
    search: Path,
    output: Path,
    device: str,
    resume: bool,
    dry_run: bool,
    seed: int,
    verbose: bool,
) -> None:
    """Search a stage's settings as the YAML file SEARCH says, by the lowest validation loss.

    The options of its backbone are settings too, and a file may have phases, each around the best
    settings of the one before; --dry-run tells them, the models to be trained and the space.

    Writes trials.csv, TensorBoard's HParams, and best.yaml: the cascade with the best settings.
    --seed, where given, replaces the file's, which is the sampler's.
    """
    from featx.devices import resolve_device
    from featx.training.processes import Processes
    from featx.training.search.changes import searched
    from featx.training.search.file import outline, read_search
    from featx.training.search.running import run_search
    from featx.training.search.space import label

    settled = read_search(search)
    if context.get_parameter_source("seed") != ParameterSource.DEFAULT:
        if seed < 0:
            raise click.BadParameter("give 0 or more", param_hint="--seed")
        settled = settled.model_copy(update={"seed": seed})
    if dry_run:
        searched(settled)
        click.echo("\n".join(outline(settled)))
        click.echo(f"-> {output}")
        return
    alone = Processes(0, 1, resolve_device(device))
    best = run_search(settled, output, alone, resume=resume, say=click.echo)
    click.echo(f"best: {', '.join(f'{key} {label(value)}' for key, value in best.items())}")
    click.echo(f"written to {output / 'best.yaml'}")

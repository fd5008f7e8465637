"""`featx verify`: whether features files are whole."""

from __future__ import annotations

from pathlib import Path

import click

from cli.options import examples


@click.command(epilog=examples("featx verify fgnet.h5 vgg.h5"))
@click.argument(
    "files", nargs=-1, required=True, metavar="FILE...", type=click.Path(path_type=Path)
)
@click.option("-v", "--verbose", is_flag=True, help="Show tracebacks.")
@click.pass_context
def verify(context: click.Context, files: tuple[Path, ...], verbose: bool) -> None:
    """Read all of each features FILE and tell what is wrong with it, a line a finding.

    Checks version and form, that all rows can be read and give their SHA-256, that images are
    there once and in the order of the config hash, and that just the rows that are not ok hold NaN.
    Exits with 1 where anything is wrong. `featx repair` saves what a damaged file still holds.
    """
    from featx.store.tools.verification import verify_apart

    wrong = False
    for path in files:
        findings = verify_apart(path)
        wrong |= bool(findings)
        for finding in findings or [f"{path}: whole"]:
            click.echo(finding)
    if wrong:
        context.exit(1)

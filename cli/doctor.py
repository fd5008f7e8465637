"""`featx doctor`: what is installed, what is missing, what to do about it."""

from __future__ import annotations

import json
import logging
import tempfile
from pathlib import Path
from typing import Any

import click


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Machine-readable findings.")
@click.option(
    "--install",
    type=click.Choice(["auto-sklearn"]),
    help="Build what is missing: auto-sklearn's own environment.",
)
@click.option(
    "--numerics",
    is_flag=True,
    help="Instead, extract features of drawn faces in several ways, and tell how they differ.",
)
@click.option("--backbone", "-b", default="resnet50", show_default=True, help="Of --numerics.")
@click.option("--weights", "-w", default="random", show_default=True, help="Of --numerics.")
@click.option("--device", default="auto", show_default=True, help="Of --numerics.")
@click.option("-v", "--verbose", is_flag=True, help="Show tracebacks.")
def doctor(
    as_json: bool, install: str | None, numerics: bool, verbose: bool, **network: Any
) -> None:
    """Check Python, torch, auto-sklearn's environment and weights; each finding with its remedy.

    Exits with 0 whatever it finds, unless an installation that was asked for fails, or features
    differ by more than --numerics allows.
    """
    if numerics:
        _numerics(as_json, **network)
        return
    from featx.doctor import Finding, findings
    from regress.regressors.auto_sklearn import environment

    if install:
        click.echo(f"auto-sklearn's Python: {environment.ensure()}")
    automl = environment.status()
    detail = f"{automl['autosklearn']} on Python {automl['python']} in {automl['path']}"
    remedy = "featx doctor --install auto-sklearn (regress builds it on first use, too)"
    if not automl["complete"]:
        detail = f"{automl['problem']} ({automl['path']})"
    found = [*findings(), Finding("auto-sklearn", automl["complete"], detail, remedy)]
    if as_json:
        click.echo(json.dumps([vars(finding) for finding in found], indent=2))
        return
    for finding in found:
        click.echo(f"{'ok  ' if finding.ok else 'MISS'}  {finding.name}: {finding.detail}")
        if not finding.ok:
            click.echo(f"      -> {finding.remedy}")


def _numerics(as_json: bool, **options: str) -> None:
    from featx.errors import FeatxError
    from featx.extraction.numerics import check

    logging.getLogger("featx").setLevel(logging.ERROR)  # of random weights we know

    layers = ["gap", "first_conv", "flattened"]
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for each in check(Path(folder), layers=layers, **options):
            found.append(each)
            if as_json:
                continue
            most = f"{max(each.found.values()):.1e}, at most {each.allowed:g}"
            click.echo(f"{'ok  ' if each.ok else 'FAIL'}  {each.what}: {most}")
    if as_json:
        click.echo(json.dumps([vars(each) | {"ok": each.ok} for each in found], indent=2))
    odd = [each.what for each in found if not each.ok]
    if odd:
        raise FeatxError(
            f"features differ by more than they may: {', '.join(odd)}; do not mix features files "
            "made in these ways, and tell us with the output of featx doctor"
        )

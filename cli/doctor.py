"""`featx doctor`: what is installed, what is missing, what to do about it."""

from __future__ import annotations

import json

import click


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Machine-readable findings.")
@click.option(
    "--install",
    type=click.Choice(["auto-sklearn"]),
    help="Build what is missing: auto-sklearn's own environment.",
)
@click.option("-v", "--verbose", is_flag=True, help="Show tracebacks.")
def doctor(as_json: bool, install: str | None, verbose: bool) -> None:
    """Check Python, torch, auto-sklearn's environment and weights; each finding with its remedy.

    Exits with 0 whatever it finds, unless an installation that was asked for fails.
    """
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

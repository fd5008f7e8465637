"""`featx doctor`: what is installed, what is missing, what to do about it."""

from __future__ import annotations

import json
import logging
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli import completion
from cli.logs import tell_from
from cli.options import examples

if TYPE_CHECKING:
    from featx.doctor import Finding


@click.command(
    epilog=examples(
        "featx doctor",
        "featx doctor --json",
        "featx doctor --install auto-sklearn",
        "featx doctor --numerics -b onet -w mtcnn",
    )
)
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
@click.option(
    "--backbone",
    "-b",
    default="resnet50",
    show_default=True,
    shell_complete=completion.one_of(completion.BACKBONES, "backbone"),
    help="Of --numerics.",
)
@click.option(
    "--weights",
    "-w",
    default="random",
    show_default=True,
    shell_complete=completion.weights,
    help="Of --numerics.",
)
@click.option("--device", default="auto", show_default=True, help="Of --numerics.")
@click.option("-v", "--verbose", is_flag=True, help="Show tracebacks.")
def doctor(
    as_json: bool, install: str | None, numerics: bool, verbose: bool, **network: Any
) -> None:
    """Check what is installed and whether it works here; each finding with its remedy.

    Packages; torch, its CUDA and the driver's, GPUs, torchvision's operators; MTCNN, OpenCV, dlib,
    Parquet and HDF5; published weights and their checksums; auto-sklearn's environment; memory,
    disks and file locks; Slurm and its profile; the shell. FAIL is something broken, opt something
    that one can do without. --json has each finding's name, ok, detail, remedy and severity.

    Exits with 0 whatever it finds, unless an installation that was asked for fails, or features
    differ by more than --numerics allows.
    """
    if numerics:
        _numerics(as_json, **network)
        return
    from featx.doctor import findings
    from regress.regressors.auto_sklearn import environment

    if install:
        click.echo(f"auto-sklearn's Python: {environment.ensure()}")
    found = findings([_auto_sklearn])
    if as_json:
        click.echo(json.dumps([vars(finding) for finding in found], indent=2))
        return
    for finding in found:
        mark = "ok  " if finding.ok else {"required": "FAIL", "optional": "opt "}[finding.severity]
        click.echo(f"{mark}  {finding.name}: {finding.detail}")
        if finding.remedy:
            click.echo(f"      -> {finding.remedy}")
    wrong = [finding for finding in found if not finding.ok]
    broken = [finding.name for finding in wrong if finding.severity == "required"]
    absent = len(wrong) - len(broken)
    click.echo(
        f"{len(found) - len(wrong)} ok, {absent} not there that are optional (opt), "
        f"{len(broken)} to be mended (FAIL){': ' * bool(broken)}{', '.join(broken)}"
    )


def _auto_sklearn() -> list[Finding]:
    """Look at auto-sklearn's environment; one that is not built yet is no fault."""
    from featx.doctor import Finding
    from regress.regressors.auto_sklearn import environment

    status = environment.status()
    if status["complete"]:
        detail = f"{status['autosklearn']} on Python {status['python']} in {status['path']}"
        return [Finding("auto-sklearn", True, detail, "", "optional")]
    remedy = "featx doctor --install auto-sklearn (regress builds it on first use, too)"
    detail = f"{status['problem']} ({status['path']})"
    if "not built yet" in detail:
        python = environment.python39() or "none found: uv downloads it, or put a python3.9 on PATH"
        detail += f"; Python 3.9: {python}"
        return [Finding("auto-sklearn", False, detail, remedy, "optional")]
    return [Finding("auto-sklearn", False, detail, remedy)]


def _numerics(as_json: bool, **options: str) -> None:
    from featx.errors import FeatxError
    from featx.extraction.numerics import check

    tell_from(logging.ERROR)  # of random weights we know

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

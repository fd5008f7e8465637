"""`featx prepare`: labels read, faces found, aligned and cropped."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli import completion
from cli.options import examples, long_work, pixels

if TYPE_CHECKING:
    import pandas as pd


@click.command(
    epilog=examples(
        "featx prepare fgnet FGNET -o work",
        "featx prepare utkface UTKFACE.zip --crop margin --size 224 -o data/utkface",
        "featx prepare csv table.csv --detector none --crop margin -o work   # crops already",
        "featx prepare folder album --dry-run -o work   # counts only",
    )
)
@click.argument("dataset", shell_complete=completion.one_of(completion.DATASETS, "data set"))
@click.argument("path", type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path), help="Folder to write."
)
@click.option(
    "--crop",
    type=click.Choice(["aligned", "margin"]),
    default="aligned",
    show_default=True,
    help="aligned: five landmarks on the ArcFace reference; margin: square about the face's box.",
)
@click.option(
    "--margin", default=0.4, show_default=True, help="On every side, as a part of the box."
)
@click.option(
    "--size",
    callback=pixels,
    metavar="N|HxW",
    help="Pixels of the crop: 112x112 (the default) or 112x96, height x width, if aligned; one "
    "number, by default 224, with a margin.",
)
@click.option(
    "--detector",
    default="mtcnn",
    show_default=True,
    shell_complete=completion.one_of(completion.DETECTORS),
    help="mtcnn; dlib or dlib-cnn (featx[dlib]); haar (featx[haar]), which finds no landmarks, so "
    "with --crop margin only; or none for images that are crops already.",
)
@click.option(
    "--without-rule",
    "without",
    multiple=True,
    metavar="RULE",
    help="Do not apply this cleaning rule of the data set; repeatable. imdb-wiki has age, "
    "face-score, second-face and gender.",
)
@click.option(
    "--device",
    default="auto",
    show_default=True,
    help="auto, cpu, cuda or cuda:N; only mtcnn runs on a GPU.",
)
@click.option("--jobs", type=click.IntRange(1), help="Parallel processes. [default: by cores]")
@click.option(
    "--max-pixels",
    type=click.IntRange(1),
    default=89_478_485,
    show_default=True,
    help="Larger images are refused.",
)
@long_work
def prepare(
    dataset: str,
    path: Path,
    output: Path,
    crop: str,
    margin: float,
    size: tuple[int, int] | None,
    detector: str,
    without: tuple[str, ...],
    device: str,
    jobs: int | None,
    max_pixels: int,
    resume: bool,
    dry_run: bool,
    seed: int,
    verbose: bool,
) -> None:
    """Read a data set's labels, find the faces, and crop them.

    \b
    DATASET names the reader:
      adience        the five fold files and the pictures
      afad           15/111/292943-1.jpg
      agedb          1234_SomeName_35_f.jpg
      all-age-faces  00000A02.jpg
      appa-real      gt_avg_*.csv and the pictures; appa-real-apparent for guessed ages
      cacd           53_Robin_Williams_0001.jpg
      csv            a table with path and age (or age_group), and optionally image,
                     subject, gender, fold
      fgnet          001A02.JPG
      folder         any images, in folders named by age (25) or group (25-32)
      imdb-wiki      imdb.mat or wiki.mat and the pictures
      utkface        25_0_1_20170117….jpg
    PATH is a folder or an archive (.zip, .tar), which is left packed; csv's is the table. Packages
    may bring more readers; featx doctor names them.

    Writes images.csv, a row for every image whatever became of it; prepare.json, how it was made;
    and the crops, as PNG. Nothing is random, the seed is only recorded. -v names each image that
    gives no crop. --dry-run counts the labels too, by group, gender and fold.
    """
    from featx import preparation
    from featx.datasets import read_dataset

    settings = preparation.CropSettings(crop, size, margin, detector, max_pixels)
    table = read_dataset(dataset, path, without)
    to_do = int((table["status"] == "ok").sum())
    if dry_run or not to_do:  # labels without pictures can be counted, and no more
        _print_summary(table)
        _print_labels(table)
    if dry_run:
        click.echo(f"would look at {to_do} images and write to {output}: {settings.describe()}")
        return
    with _Progress() as progress:
        table = preparation.prepare(
            table,
            output,
            settings,
            device=device,
            jobs=jobs,
            resume=resume,
            provenance={
                "dataset": dataset,
                "source": str(path.absolute()),
                **({"without_rules": sorted(without)} if without else {}),
                "seed": seed,
            },
            progress=progress,
        )
    if verbose:
        for row in table[table["status"] != "ok"].itertuples():
            click.echo(f"{row.image}: {row.status}, {row.reason}")
    _print_summary(table)
    if resume and progress.nothing_missing:
        click.echo(f"{output} was finished already; nothing was missing")
    else:
        click.echo(f"written to {output}")


def _print_summary(table: pd.DataFrame) -> None:
    from featx import preparation
    from featx.duplicates import conflicting

    counts = preparation.count(table)
    click.echo(f"{counts['n_total']} images, {counts['n_ok']} ok")
    for status, reasons in counts["reasons"].items():
        told = ", ".join(f"{number} {reason}" for reason, number in reasons.items())
        click.echo(f"  {status}: {counts['status'][status]} ({told})")
    conflicts = conflicting(table)
    if conflicts:
        click.echo(f"  {conflicts} groups of byte-identical images have conflicting labels")


def _print_labels(table: pd.DataFrame) -> None:
    from featx.label_counts import label_counts

    click.echo("labels, whatever became of the images:")
    for label, counts in label_counts(table).items():
        told = ", ".join(f"{value}: {number}" for value, number in counts.items())
        click.echo(f"  {label}: {told}")


class _Progress(contextlib.ExitStack):
    """What `prepare` reports, shown once it is known how much there is to do."""

    nothing_missing = False
    _advance: Callable[[int], None] | None = None

    def __call__(self, done: int, total: int) -> None:
        """Take the counts; the first ones are of an earlier run."""
        from featx.progress import tracking

        if self._advance is not None:
            self._advance(1)
            return
        self.nothing_missing = done == total
        self._advance = self.enter_context(tracking("prepare", total, "image", done))

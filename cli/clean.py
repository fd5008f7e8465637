"""`featx clean`: labels that a tentative model does not believe, excluded and listed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.options import examples, long_work

if TYPE_CHECKING:
    from experiments.cleaning import Cleaned


@click.command(
    epilog=examples(
        "# each image judged by a network that has not seen its person",
        "featx finetune cascade.yaml --protocol kfold:3 -o judge",
        "featx clean data/noisy --by judge/runs/end-to-end -o data/clean",
        "# by a network of trusted sets",
        "featx clean data/noisy --by trusted/1-faces -o data/clean",
        "# decisions that you have changed",
        "featx clean data/noisy --review data/clean/review.csv -o data/reviewed",
    )
)
@click.argument("table", type=click.Path(path_type=Path))
@click.option(
    "--by",
    "source",
    metavar="RUN|NETWORK",
    type=click.Path(path_type=Path),
    help="Who judges: a run's folder, whose out-of-fold predictions do, or a fine-tuned network.",
)
@click.option(
    "--review",
    type=click.Path(path_type=Path),
    help="In place of --by: a review.csv, whose decisions you may have changed, is applied.",
)
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="Folder.")
@click.option(
    "--bins",
    metavar="A-B,C-D,…",
    help="First and last ages, as 0-2,3-6,7-12. [default: the model's own groups; where it tells "
    "single years, AgeNet's ten bins]",
)
@click.option(
    "--least",
    type=float,
    default=0.4,
    show_default=True,
    help="Labels whose bin and neighbours together have less than this probability are dropped.",
)
@click.option(
    "--neighbours",
    type=int,
    default=1,
    show_default=True,
    help="Bins that count on either side of the label's.",
)
@click.option(
    "--leave-seen",
    is_flag=True,
    help="Of a network: images that it was trained on, and other images of people whom it was "
    "trained on, are left as they are; by default they are an error.",
)
@click.option(
    "--precision",
    type=click.Choice(["fp32", "bf16", "fp16"]),
    default="fp32",
    show_default=True,
    help="Of a network: its arithmetic.",
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@click.option("--batch-size", default="auto", show_default=True, help="Rows at a time, or auto.")
@click.option(
    "--workers", type=click.IntRange(min=0), help="Processes that decode images. [default: cores-1]"
)
@long_work
def clean(
    table: Path,
    source: Path | None,
    review: Path | None,
    output: Path,
    bins: str | None,
    least: float,
    neighbours: int,
    leave_seen: bool,
    resume: bool,
    dry_run: bool,
    seed: int,
    verbose: bool,
    **options: Any,
) -> None:
    """Exclude labels of a noisy set that a tentative model does not believe.

    TABLE is an image table (CSV), or the folder into which `featx prepare` wrote it. It stays as it
    is. Writes images.csv, the table with these rows' status excluded and the reason, whose paths
    lead to the crops where they are; review.csv, every judged label, the least believed first;
    and clean.json, how it was done. Change decisions in a review.csv (keep, drop) and apply it with
    --review. Nothing is random.
    """
    if (source is None) == (review is None):
        raise click.UsageError("give --by, or else --review")
    from experiments import cleaning
    from regress.grouping import parse_groups

    if review is not None:
        plan = cleaning.plan_review(table, review, output)
    else:
        assert source is not None
        plan = cleaning.plan_judging(
            table,
            source,
            output,
            bins=parse_groups(bins, "--bins") if bins else None,
            least=least,
            neighbours=neighbours,
            leave_seen=leave_seen,
            **options,
        )
    if cleaning.finished(plan, resume=resume):
        click.echo(f"{output} was finished already; nothing was missing")
        return
    for caveat in plan.caveats:
        click.echo(f"note: {caveat}")
    if dry_run:
        settled = plan.judge is None or plan.judge.quick
        _tell(cleaning.preview(plan), verbose=verbose, settled=settled)
        click.echo(f"would write to {output}; nothing was written")
        return
    cleaned = cleaning.carry_out(plan, resume=resume)
    cleaning.write_cleaned(plan, cleaned)
    _tell(cleaned, verbose=verbose)
    click.echo(f"written to {output}; look through {output / 'review.csv'}")


def _tell(cleaned: Cleaned, *, verbose: bool, settled: bool = True) -> None:
    counts = cleaned.counts
    judged, dropped = counts["judged"], counts["dropped"]
    share = f" ({100 * dropped / judged:.1f} %)" if judged else ""
    fate = f", {dropped:,} dropped{share}" if settled else " to be judged"
    click.echo(
        f"{counts['n_total']:,} images: {judged:,}{' judged' if settled else ''}{fate}; "
        f"{counts['not_judged']:,} not judged, which stay as they are"
    )
    for reason, number in counts["why_not"].items():
        click.echo(f"  not judged: {number:,}, {reason}")
    for name, number in counts["bins"].items():
        dropped = f"{number['dropped']:,} of " if settled else ""
        click.echo(f"  {name}: {dropped}{number['judged']:,}{' dropped' if settled else ''}")
    if verbose and settled:
        for row in cleaned.review[cleaned.review["decision"] == "drop"].itertuples():
            click.echo(f"{row.image}: {row.reason}")

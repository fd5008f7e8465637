"""`featx explain`: where a fine-tuned network looks, in a picture, on average, and before."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.options import crop_options, long_work

if TYPE_CHECKING:
    from featx.explanation.choice import Explaining
    from featx.explanation.sides import Side
    from featx.prediction.model import Model


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("images", nargs=-1, required=True, metavar="IMAGE...")
@click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path), help="Folder to write."
)
@click.option(
    "--method",
    "methods",
    multiple=True,
    help="filters, attention, features or grad-cam; repeatable. [default: all that there are]",
)
@click.option(
    "--target",
    "targets",
    multiple=True,
    help="Of grad-cam: age (the expected age), a class (34, 25-32), female or male, or likeliest "
    "(each face's likeliest class); repeatable. [default: age]",
)
@click.option(
    "--score",
    default="probability",
    show_default=True,
    help="Of grad-cam's classes: the probability (behind the softmax) or the logit (before it).",
)
@click.option(
    "--channels",
    type=click.IntRange(min=1),
    default=6,
    show_default=True,
    help="Of features: maps a stage, those that vary most.",
)
@click.option(
    "--before",
    metavar="WEIGHTS",
    help="Weights of the same backbone to show beside: a file, a stage's folder, a name, or "
    "random[:SEED].",
)
@click.option(
    "--average-by",
    metavar="BY",
    help="subject, age_group or all: mean maps over the faces of a folder of `featx prepare`, "
    "given as IMAGE.",
)
@click.option(
    "--groups",
    metavar="AGES",
    help="With --average-by age_group: 0-12,13-19,20-100. [default: the table's, else decades]",
)
@click.option(
    "--sanity-check",
    is_flag=True,
    help="See whether drawn weights destroy the maps, as they must.",
)
@crop_options
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@long_work
def explain(
    model: Path,
    images: tuple[str, ...],
    output: Path,
    methods: tuple[str, ...],
    targets: tuple[str, ...],
    score: str,
    channels: int,
    before: str | None,
    average_by: str | None,
    groups: str | None,
    sanity_check: bool,
    device: str,
    resume: bool,
    dry_run: bool,
    seed: int,
    verbose: bool,
    **crop: Any,
) -> None:
    """Show where on a face a network looks, for the largest face in each IMAGE.

    \b
    filters    the filters of the first convolution
    attention  the masks of residual_attention, over the face
    features   maps of every stage of convolution
    grad-cam   what in the last convolution speaks for an age, a class, a gender

    \b
    featx explain tuned/1-faces face.jpg -o why
    featx explain tuned/1-faces face.jpg --before random --sanity-check -o why-not
    featx explain tuned/1-faces work --average-by age_group -o where

    MODEL is the network.safetensors of a stage of `featx finetune`, or its folder; IMAGE may be a
    folder, too. Faces are cropped as the network's training images were, as far as that is known.

    Writes index.html, which shows all figures and says what each file is, explanations.json, and
    for each image (or group of the average) a folder with the figures as PNG and the raw maps as
    maps.npz. Only --before random and --sanity-check draw numbers, from --seed.
    """
    from featx.devices import resolve_device
    from featx.errors import FeatxError
    from featx.explanation import averages, choice
    from featx.explanation.sides import sides
    from featx.prediction.model import load_model

    if average_by and sanity_check:
        raise FeatxError("--sanity-check looks at images: leave out --average-by, or check apart")
    if groups and not average_by:
        raise FeatxError("--groups are for --average-by age_group")
    among = averages.METHODS if average_by else choice.METHODS
    loaded = load_model(model, resolve_device(device))
    explaining = choice.choose(loaded, methods, targets, channels, score, among)
    if sanity_check and not {"attention", "grad-cam"} & set(explaining.methods):
        raise FeatxError("--sanity-check is of attention and grad-cam; add one of them as --method")
    both = sides(loaded, explaining, before, seed=seed)
    for_ = f" for {', '.join(t.name for t in explaining.targets)}" if explaining.targets else ""
    click.echo(f"network  {loaded.network.backbone.name}; {', '.join(explaining.methods)}{for_}")
    if before:
        click.echo(f"before   {both[0].told()}")
    if average_by:
        asked = {option: value for option, value in crop.items() if option != "max_pixels"}
        _average(
            loaded, both, images, output, explaining, average_by, groups, asked,
            resume=resume, dry_run=dry_run,
        )  # fmt: skip
    else:
        _explain(
            loaded, both, images, output, explaining, crop,
            sanity_check=sanity_check, resume=resume, dry_run=dry_run, seed=seed,
        )  # fmt: skip


def _explain(
    model: Model,
    both: list[Side],
    images: tuple[str, ...],
    output: Path,
    explaining: Explaining,
    crop: dict[str, Any],
    *,
    sanity_check: bool,
    resume: bool,
    dry_run: bool,
    seed: int,
) -> None:
    from featx.explanation.run import explain_images
    from featx.explanation.sanity import count_steps
    from featx.explanation.sanity_run import check_faces
    from featx.prediction.crop_choice import choose_crops
    from featx.prediction.images import list_images
    from featx.progress import tracking

    crops = choose_crops(model.network, **crop)
    listed = list_images(images)
    click.echo(f"crops    {crops.told()}")
    if sanity_check:
        steps = count_steps(model.network)
        click.echo(f"sanity   maps under drawn weights, {steps} steps")
    if dry_run:
        click.echo(f"would look at {len(listed)} images and write to {output}; nothing was written")
        return
    with tracking("explain", len(listed), "image") as advance:
        counts, records = explain_images(
            model, both, listed, output, crops, explaining, resume=resume, advance=advance
        )
    click.echo(
        f"images   {counts['images']} ({counts['ok']} with a face, {counts['no_face']} without, "
        f"{counts['corrupt']} unreadable)"
    )
    if sanity_check:
        with tracking("sanity check", steps, "step") as advance:
            done = check_faces(both[-1], output, records, explaining, seed=seed, advance=advance)
        for name in done.maps:
            click.echo(f"sanity   {name} {done.verdict(name)}")
    click.echo(f"written  {output}; open {output / 'index.html'}")


def _average(
    model: Model,
    both: list[Side],
    images: tuple[str, ...],
    output: Path,
    explaining: Explaining,
    by: str,
    groups: str | None,
    crop: dict[str, Any],
    *,
    resume: bool,
    dry_run: bool,
) -> None:
    from featx.devices import BATCH_SIZES
    from featx.errors import FeatxError
    from featx.explanation.averages import average_maps
    from featx.explanation.grouping import read_grouping
    from featx.progress import tracking
    from regress.grouping import parse_groups

    if len(images) != 1:
        raise FeatxError("--average-by takes one folder of `featx prepare`, or its image table")
    if given := [f"--{option}" for option, value in crop.items() if value is not None]:
        raise FeatxError(f"{given[0]}: --average-by takes the crops as `featx prepare` made them")
    grouping = read_grouping(images[0], by, parse_groups(groups) if groups else ())
    click.echo(f"faces    {grouping.told()}")
    if grouping.warning:
        click.echo(
            f"warning  {grouping.warning}: faces may lie differently in each crop, and mean maps "
            "blur; use prepare --crop aligned"
        )
    if dry_run:
        click.echo(
            f"would average {len(grouping.samples)} faces and write to {output}; "
            "nothing was written"
        )
        return
    with tracking("average", len(grouping.samples), "image") as advance:
        counts = average_maps(
            model, both, grouping, output, explaining,
            batch_size=BATCH_SIZES[model.device.type], resume=resume, advance=advance,
        )  # fmt: skip
    click.echo(
        f"groups   {counts['groups']}, of {counts['images']} faces "
        f"({counts['unreadable']} unreadable)"
    )
    click.echo(f"written  {output}; open {output / 'index.html'}")

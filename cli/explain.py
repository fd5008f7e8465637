"""`featx explain`: attention, feature maps and Grad-CAM of a fine-tuned network, over faces."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from cli.options import crop_options, long_work


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
    help="attention, features or grad-cam; repeatable. [default: all that the network has]",
)
@click.option(
    "--target",
    "targets",
    multiple=True,
    help="Of grad-cam: age (the expected age), a class (34, 25-32), female or male; repeatable. "
    "[default: age]",
)
@click.option(
    "--channels",
    type=click.IntRange(min=1),
    default=6,
    show_default=True,
    help="Of features: maps a stage, those that vary most.",
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
    channels: int,
    device: str,
    resume: bool,
    dry_run: bool,
    seed: int,
    verbose: bool,
    **crop: Any,
) -> None:
    """Show where on a face a network looks, for the largest face in each IMAGE.

    \b
    attention  the masks of residual_attention, over the face
    features   maps of every stage of convolution
    grad-cam   what in the last convolution speaks for an age, a class, a gender

    MODEL is the network.safetensors of a stage of `featx finetune`, or its folder; IMAGE may be a
    folder, too. Faces are cropped as the network's training images were, as far as that is known.

    Writes explanations.json and, for each image with a face, a folder with the figures as PNG and
    the raw maps as maps.npz. Nothing is random.
    """
    from featx.devices import resolve_device
    from featx.explanation.run import choose, explain_images
    from featx.prediction.crop_choice import choose_crops
    from featx.prediction.images import list_images
    from featx.prediction.model import load_model
    from featx.progress import tracking

    loaded = load_model(model, resolve_device(device))
    crops = choose_crops(loaded.network, **crop)
    explaining = choose(loaded, methods, targets, channels)
    listed = list_images(images)
    for_ = f" for {', '.join(t.name for t in explaining.targets)}" if explaining.targets else ""
    click.echo(f"network  {loaded.network.backbone.name}; {', '.join(explaining.methods)}{for_}")
    click.echo(f"crops    {crops.told()}")
    if dry_run:
        click.echo(f"would look at {len(listed)} images and write to {output}; nothing was written")
        return
    with tracking("explain", len(listed), "image") as advance:
        counts = explain_images(
            loaded, listed, output, crops, explaining, resume=resume, advance=advance
        )
    click.echo(
        f"images   {counts['images']} ({counts['ok']} with a face, {counts['no_face']} without, "
        f"{counts['corrupt']} unreadable)"
    )
    click.echo(f"written  {output}")

"""`featx predict`: a fine-tuned network's ages and genders of the faces in pictures and video."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import click

from cli.options import crop_options, examples, long_work

#: Images of which each is told on the terminal, too, without -v.
_FEW = 10


@click.command(
    epilog=examples(
        "featx predict tuned/1-faces/network.safetensors album/ -o album-ages",
        "featx predict tuned/1-faces film.mp4 --every 5 -o film-ages",
        "featx predict tuned/1-faces --camera 0 -o seen",
    )
)
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("sources", nargs=-1, metavar="[IMAGE|FOLDER|VIDEO]...")
@click.option(
    "--camera",
    metavar="N|PATH",
    help="Look through camera number N (0 is the first), or a device or file in its stead, until "
    "Ctrl-C or --frames.",
)
@click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path), help="Folder to write."
)
@crop_options
@click.option(
    "--pictures/--no-pictures",
    default=True,
    show_default=True,
    help="Annotated pictures, or an annotated video.",
)
@click.option(
    "--every",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Of video: look at every so many frames.",
)
@click.option("--frames", type=click.IntRange(min=1), help="Of video: stop after so many frames.")
@click.option(
    "--mirror/--no-mirror",
    default=True,
    show_default=True,
    help="Average over each face and its mirror image; --no-mirror is faster.",
)
@click.option(
    "--batch-size",
    type=click.IntRange(min=1),
    default=64,
    show_default=True,
    help="Of images: faces that go through the network together.",
)
@click.option(
    "--precision",
    type=click.Choice(["fp32", "bf16", "fp16"]),
    default="fp32",
    show_default=True,
    help="Arithmetic of the network.",
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@long_work
def predict(
    model: Path,
    sources: tuple[str, ...],
    camera: str | None,
    output: Path,
    device: str,
    every: int,
    frames: int | None,
    batch_size: int,
    resume: bool,
    dry_run: bool,
    seed: int,
    verbose: bool,
    pictures: bool,
    mirror: bool,
    precision: str,
    **crop: Any,
) -> None:
    """Estimate age and gender of every face in images, a video, or what a camera sees.

    MODEL is the network.safetensors of a stage of `featx finetune`, or its folder. Faces are
    cropped as the network's training images were, as far as that is known; which way is said.

    Writes predictions.json (an object an image or frame, its faces inside), predictions.csv (a row
    a face) and annotated pictures, or annotated.mp4. Images without a face, and those that cannot
    be read, keep a row with the reason. Nothing is random.
    """
    if bool(sources) == (camera is not None):
        raise click.UsageError("give images, folders or a video, or else --camera")
    from featx.devices import resolve_device
    from featx.prediction.crop_choice import choose_crops
    from featx.prediction.frames import VIDEO_EXTENSIONS
    from featx.prediction.model import load_model

    videos = [source for source in sources if Path(source).suffix.lower() in VIDEO_EXTENSIONS]
    if videos and len(sources) > 1:
        raise click.UsageError(f"give the video {videos[0]} alone")
    loaded = load_model(model, resolve_device(device))
    crops = choose_crops(loaded.network, **crop)
    click.echo(f"network  {loaded.network.backbone.name}, {_tells(loaded)}")
    click.echo(f"crops    {crops.told()}")
    given = {
        "pictures": pictures, "mirror": mirror, "precision": precision, "resume": resume
    }  # fmt: skip
    if videos or camera is not None:
        source = videos[0] if videos else str(camera)
        if dry_run:
            _dry_run_video(source, camera is not None, output)
            return
        given |= {"camera": camera is not None, "every": every, "frames": frames}
        _video(loaded, source, output, crops, given, verbose)
        return
    given["batch_size"] = batch_size
    _images(loaded, sources, output, crops, dry_run, given, verbose)


def _tells(model: Any) -> str:
    told = []
    for task, spec in model.specs.items():
        what = "plain regression" if spec.kind == "regression" else f"{len(spec.classes)} classes"
        groups = f" of groups {', '.join(spec.groups)}" if spec.groups and task == "age" else ""
        told.append(task if task == "gender" else f"{task} ({what}{groups})")
    return " and ".join(told)


def _images(
    model: Any,
    sources: tuple[str, ...],
    output: Path,
    crops: Any,
    dry_run: bool,
    given: dict[str, Any],
    verbose: bool,
) -> None:
    from featx.prediction.estimates import told_of
    from featx.prediction.images import list_images, predict_images
    from featx.progress import tracking

    images = list_images(sources)
    if dry_run:
        click.echo(f"would look at {len(images)} images and write to {output}; nothing was written")
        return
    with tracking("predict", len(images), "image") as advance:
        done = predict_images(model, images, output, crops, advance=advance, **given)
    if verbose or len(images) <= _FEW:
        for record in done.records:
            click.echo(f"{record['image']}: {told_of(record)}")
    _tell(done, "images", output)


def _dry_run_video(source: str, camera: bool, output: Path) -> None:
    from featx.prediction.frames import Frames

    with Frames(source, camera=camera) as frames:
        width, height = frames.size
        many = f", {frames.total()} frames" if frames.total() else ""
        click.echo(f"video    {width} x {height}, {frames.rate:g} a second{many}")
    click.echo(f"would look at it and write to {output}; nothing was written")


def _video(
    model: Any, source: str, output: Path, crops: Any, given: dict[str, Any], verbose: bool
) -> None:
    from featx.prediction.frames import Frames
    from featx.prediction.video import predict_video
    from featx.progress import tracking

    if given["camera"]:
        click.echo("camera   Ctrl-C ends it")
        done = predict_video(model, source, output, crops, say=_once_a_second(), **given)
    else:
        with Frames(source) as frames:
            total = min(frames.total(), given["frames"] or frames.total())
        # some files do not tell how many frames they have
        showing = tracking("predict", total, "frame") if total else nullcontext(lambda n: None)
        with showing as advance:
            say = click.echo if verbose else lambda line: None
            done = predict_video(model, source, output, crops, advance=advance, say=say, **given)
    _tell(done, "frames", output)


def _once_a_second() -> Callable[[str], None]:
    last = -1.0

    def say(line: str) -> None:
        nonlocal last
        if time.monotonic() - last >= 1 or last < 0:
            last = time.monotonic()
            click.echo(line)

    return say


def _tell(done: Any, kind: str, output: Path) -> None:
    counts = done.counts
    click.echo(
        f"{kind:<8} {counts[kind]} ({counts['ok']} with a face, {counts['no_face']} without, "
        f"{counts['corrupt']} unreadable); {counts['faces']} faces"
    )
    if done.pictures:
        seconds = max(done.seconds, 1e-9)
        click.echo(
            f"speed    {done.faces / seconds:.1f} faces/s, {done.pictures / seconds:.1f} {kind}/s "
            f"({done.faces} faces, {done.pictures} {kind}, {done.seconds:.1f} s)"
        )
    else:
        click.echo("speed    nothing was left to do")
    click.echo(f"written  {output}")

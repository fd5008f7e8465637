"""The files that the examples in the commands' help name, made up and small.

`FILES` has a maker for each; a word of an example stands for the longest of these names that it
begins with. A new example may name any of them, or come with a maker of its own.
"""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from click.testing import CliRunner
from PIL import Image

from featx.datasets.generate import draw_face, generate_fgnet, random_identity
from tests.featx.store.broken import flip_in_chunk
from tests.featx.training.made_faces import CASCADE, make_folder, write_cascade
from tests.regress.conftest import write_features
from tests.regress.made_runs import write_run

#: After these a word is what the command writes, and must not be there yet.
OUTPUTS = ("-o", "--out", "--output")


class ExampleFiles:
    """Makes each of `FILES` once, and lays copies where they are wanted.

    Parameters
    ----------
    folder : Path
        For what is made.
    network : Path
        A fine-tuned network of ages and genders of made-up faces.
    """

    def __init__(self, folder: Path, network: Path) -> None:
        """Make nothing yet."""
        self.folder = folder
        self.network = network

    def lay(self, words: Iterable[str], place: Path) -> None:
        """Put what a command line names into a folder, but what it writes."""
        before = ""
        for word in words:
            name = named(word)
            if name and before not in OUTPUTS:
                shutil.copytree(self.made(name), place, dirs_exist_ok=True)
            before = word

    def made(self, name: str) -> Path:
        """Return the folder in which a file lies, made on the first call."""
        place = self.folder / name.replace("/", "-")
        if not place.exists():
            place.mkdir()
            FILES[name](self, place)
        return place


def named(word: str) -> str | None:
    """Return the file of `FILES` that a word names, or begins with."""
    fitting = [
        name
        for name in FILES
        if word == name or word.startswith(f"{name}/") or ("*" in word and word.startswith(name))
    ]
    return max(fitting, key=len, default=None)


def _faces(ages: Iterable[int]) -> dict[int, Image.Image]:
    return {
        age: draw_face(age, random_identity(np.random.default_rng(age)), size=(160, 160))
        for age in ages
    }


def _fgnet(_: ExampleFiles, place: Path) -> None:
    generate_fgnet(place / "FGNET", subjects=3, images_per_subject=2, size=(160, 160))


def _utkface(_: ExampleFiles, place: Path) -> None:
    with zipfile.ZipFile(place / "UTKFACE.zip", "w") as archive:
        for age, face in _faces((25, 40)).items():
            with archive.open(f"UTKFace/{age}_0_1_2017011715224{age:04d}.jpg", "w") as stream:
                face.save(stream, "JPEG")


def _table(_: ExampleFiles, place: Path) -> None:
    (place / "pictures").mkdir()
    lines = ["path,age"]
    for age, face in _faces((8, 25)).items():
        face.save(place / "pictures" / f"{age}.png")
        lines.append(f"pictures/{age}.png,{age}")
    (place / "table.csv").write_text("\n".join(lines))


def _album(_: ExampleFiles, place: Path) -> None:
    for age, face in _faces((25, 40)).items():
        (place / "album" / str(age)).mkdir(parents=True)
        face.save(place / "album" / str(age) / "face.png")


def _face(_: ExampleFiles, place: Path) -> None:
    _faces((25,))[25].save(place / "face.jpg")


def _film(_: ExampleFiles, place: Path) -> None:
    import cv2

    film = cv2.VideoWriter(
        str(place / "film.mp4"), cv2.VideoWriter_fourcc(*"mp4v"), 10.0, (160, 160)
    )
    (face,) = _faces((25,)).values()
    for _ in range(6):
        film.write(np.asarray(face)[:, :, ::-1].copy())
    film.release()


def _work(_: ExampleFiles, place: Path) -> None:
    make_folder(place / "work", subjects=4, each=2)


def _noisy(_: ExampleFiles, place: Path) -> None:
    make_folder(place / "data" / "noisy", dataset="noisy", seed=1)


def _cascade(_: ExampleFiles, place: Path) -> None:
    make_folder(place / "faces")
    text = CASCADE.replace("[made]", "[faces]").replace("epochs: 2", "epochs: 1")
    write_cascade(place, text.replace("batch_size: 4", "batch_size: 8"))


def _search(files: ExampleFiles, place: Path) -> None:
    _cascade(files, place)
    (place / "search.yaml").write_text(
        "cascade: cascade.yaml\nsampler: grid\nepochs: 1\n"
        "space:\n  optimiser.learning_rate: [0.01, 0.001]\n"
    )


def _network(name: str) -> Callable[[ExampleFiles, Path], None]:
    def make(files: ExampleFiles, place: Path) -> None:
        shutil.copytree(files.network.parent, place / name)

    return make


def _features(*names: str, seed: int = 0) -> Callable[[ExampleFiles, Path], None]:
    def make(_: ExampleFiles, place: Path) -> None:
        for name in names:
            write_features(place / name, seed=seed)

    return make


def _damaged(_: ExampleFiles, place: Path) -> None:
    flip_in_chunk(write_features(place / "damaged.h5"), "gap", 1)


def _shards(files: ExampleFiles, place: Path) -> None:
    from featx.extraction import extract

    for number in range(1, 9):
        extract(
            files.made("work") / "work",
            place / "fgnet.h5",
            backbone="onet",
            weights="mtcnn",
            layers=["gap"],
            workers=0,
            shard=f"{number}/8",
        )


def _runs(folder: str, *methods: str) -> Callable[[ExampleFiles, Path], None]:
    def make(_: ExampleFiles, place: Path) -> None:
        rng = np.random.default_rng(0)
        ages = np.linspace(5, 60, 24)
        for method in methods:
            write_run(
                place / folder / method,
                ages,
                ages + rng.normal(size=24),
                task="age",
                ages=ages,
                classes=[20.0, 40.0, 60.0],
                probabilities=rng.dirichlet([1, 1, 1], 24),
                method=method,
            )

    return make


def _judge(files: ExampleFiles, place: Path) -> None:
    import pandas as pd

    table = pd.read_csv(files.made("data/noisy") / "data" / "noisy" / "images.csv")
    write_run(
        place / "judge" / "runs" / "end-to-end",
        table["age"],
        table["age"],
        task="age",
        ages=table["age"],
        images=table["image"].tolist(),
        classes=np.arange(61.0),
        probabilities=np.random.default_rng(0).dirichlet(np.ones(61), len(table)),
    )


def _review(files: ExampleFiles, place: Path) -> None:
    from cli.clean import clean

    files.lay(["data/noisy", "judge"], place)
    folders = [place / "data" / "noisy", place / "judge" / "runs" / "end-to-end"]
    table, judge = map(str, folders)
    call = [table, "--by", judge, "-o", str(place / "data" / "clean")]
    assert CliRunner().invoke(clean, call, catch_exceptions=False).exit_code == 0


FILES: dict[str, Callable[[ExampleFiles, Path], None]] = {
    "FGNET": _fgnet,
    "UTKFACE.zip": _utkface,
    "table.csv": _table,
    "album": _album,
    "face.jpg": _face,
    "film.mp4": _film,
    "work": _work,
    "data/noisy": _noisy,
    "data/clean": _review,
    "judge": _judge,
    "cascade.yaml": _cascade,
    "search.yaml": _search,
    "tuned": _network("tuned/1-faces"),
    "trusted": _network("trusted/1-faces"),
    "fgnet.h5": _features("fgnet.h5"),
    "fgnet-again.h5": _features("fgnet-again.h5"),
    "vgg.h5": _features("vgg.h5", seed=1),
    "damaged.h5": _damaged,
    "fgnet.shard-": _shards,
    "runs": _runs("runs", "gap.softmax", "flattened.softmax", "gap.ridge"),
    "out": _runs("out", "gap.softmax", "gap.ridge"),
    "ensembles": _runs("ensembles", "softmax"),
}

"""The commands that are put to the torture, each on small drawn data."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.featx.training.made_faces import make_folder, write_cascade
from tests.regress.conftest import write_features
from tests.torture.processes import run

NETWORK = ["--backbone", "onet", "--weights", "mtcnn", "--workers", "1", "--batch-size", "4"]
LAYERS = ["--layer", "gap", "--layer", "flattened"]


@dataclass(frozen=True)
class Verb:
    """A command, its words (after `featx`, of a folder with inputs and an output folder)."""

    name: str
    words: Callable[[Path, Path], list[str]]
    #: Whether an output says that one of the command's processes was killed, and it did without.
    did_without: Callable[[Path], bool] = lambda out: False

    def __call__(self, inputs: Path, out: Path, *more: str) -> list[str]:
        return [*self.words(inputs, out), *more]


def make_inputs(folder: Path) -> Path:
    """Write what the commands below read; returns the folder."""
    from featx.datasets.generate import generate_fgnet

    generate_fgnet(folder / "faces", subjects=4, images_per_subject=3, size=(160, 160))
    make_folder(folder / "made", subjects=6, each=5)
    write_cascade(folder)
    table = str(folder / "made")
    for part in ("1/2", "2/2"):
        run(
            ["extract", table, *NETWORK, *LAYERS, "--shard", part, "-o", str(folder / "part.h5")],
            folder / "scratch",
        )
    write_features(folder / "features.h5")
    regress = ["regress", str(folder / "features.h5"), "-o", str(folder / "runs")]
    run([*regress, "--regressor", "ridge", "--regressor", "softmax"], folder / "scratch")
    return folder


def _regress(regressor: str) -> Verb:
    def words(inputs: Path, out: Path) -> list[str]:
        return ["regress", str(inputs / "features.h5"), "--regressor", regressor, "-o", str(out)]

    return Verb(f"regress {regressor}", words)


def _regress_automl(inputs: Path, out: Path) -> list[str]:
    # a few models, whatever their time: a machine beside itself with work still finds them
    budget = ["--evaluations", "3", "--time-budget", "90", "--run-time-limit", "30"]
    regressor = ["--regressor", "auto-sklearn:search_space=fast", "--protocol", "holdout:0.3"]
    return ["regress", str(inputs / "features.h5"), *regressor, *budget, "-o", str(out)]


def _counts_a_lost_model(out: Path) -> bool:
    told = [json.loads(path.read_text(encoding="utf-8")) for path in out.rglob("folds/*.json")]
    counts = [one["report"]["statistics"] for one in told if "report" in one]
    return any(some["crashed"] or some["ensemble_dropped"] for some in counts)


def _prepare(inputs: Path, out: Path) -> list[str]:
    return ["prepare", "fgnet", str(inputs / "faces"), "--crop", "aligned", "-o", str(out)]


def _extract(inputs: Path, out: Path) -> list[str]:
    return ["extract", str(inputs / "made"), *NETWORK, *LAYERS, "-o", str(out / "features.h5")]


def _finetune(inputs: Path, out: Path) -> list[str]:
    # state each second: the more moments at which one may be cut
    return ["finetune", str(inputs / "cascade.yaml"), "--save-every", "1", "-o", str(out)]


def _merge(inputs: Path, out: Path) -> list[str]:
    parts = map(str, sorted(inputs.glob("part.shard-*.h5")))
    return ["merge", *parts, "-o", str(out / "features.h5")]


def _compare(inputs: Path, out: Path) -> list[str]:
    return ["compare", str(inputs / "runs"), "-o", str(out)]


VERBS = (
    Verb("prepare", _prepare),
    Verb("extract", _extract),
    Verb("merge", _merge),
    Verb("finetune", _finetune),
    *map(_regress, ("exact-kernel", "softmax", "ridge", "svr", "pls", "mean")),
    Verb("regress auto-sklearn", _regress_automl, _counts_a_lost_model),
    Verb("compare", _compare),
)

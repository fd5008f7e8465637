"""Every paper's recipe in miniature: on drawn faces of people never seen it beats a constant."""

import hashlib

import numpy as np
import pandas as pd
import pytest

from experiments.end_to_end import run_end_to_end
from experiments.experiment_file import FOLDER
from experiments.fold_plan import plan_end_to_end
from experiments.measures import measures
from featx.datasets.generate import draw_face, random_identity
from featx.manifest import new_table, write_table
from featx.training.config.cascade_file import read_cascade
from regress.predictions import read_run

PEOPLE = 96
AGES = (2, 14, 65)


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    """Draw three pictures each of 96 people; their gender is the one that they are drawn with."""
    folder = tmp_path_factory.mktemp("faces")
    (folder / "crops").mkdir()
    rng = np.random.default_rng(5)
    rows = []
    for person in range(PEOPLE):
        identity = random_identity(rng)
        for age in AGES:
            age += int(rng.integers(0, 3))
            file = folder / "crops" / f"{person:02d}_{age}.png"
            draw_face(age, identity, rng=rng, size=(96, 96)).crop((8, 8, 88, 88)).save(file)
            rows.append(
                {
                    "image": file.stem,
                    "path": str(file),
                    "crop": f"crops/{file.name}",
                    "subject": f"{person:02d}",
                    "age": float(age),
                    "gender": "male" if identity.masculine else "female",
                    "dataset": "drawn",
                    "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
                }
            )
    write_table(new_table(pd.DataFrame(rows)), folder / "images.csv")
    return folder


def learned(file, faces, out, epochs, changes):
    """Train a recipe on three quarters of the people; return the runs of the others by task."""
    stages = read_cascade(FOLDER / file).stages
    given = list(changes)
    for stage in stages:
        part = {
            "data": f"{{tables: [{faces}], validation: null}}",
            "epochs": epochs,
            "batch_size": 20,
            "precision": "fp32",
            "schedule": "{name: one-cycle, warmup: 0.2}",
            "early_stopping": "null",
        }
        given += [f"stages.{stage.name}.{key}={value}" for key, value in part.items()]
    plan = plan_end_to_end(read_cascade(FOLDER / file, given), "holdout:0.25")
    run_end_to_end(plan, out)
    return {method.task: read_run(out / "runs" / method.stem) for method in plan.methods}


#: For gradient descent at the paper's rate takes hundreds of epochs of so few pictures.
SMALLER = "stages.{}.optimiser={{name: adamw, learning_rate: 0.001, weight_decay: 0.01}}"

RECIPES = {
    "cross-modal": (
        "utkface/cascades/cross_modal.yaml",
        10,
        [
            "backbone=levi_hassner:input=67",
            "stages.age.backbone=levi_hassner_e2e:input=67",
            *(f"stages.{stage}.optimiser.learning_rate=0.0005" for stage in ("gender", "age")),
        ],
    ),
    "attention": (
        "attentional/cascades/attention.yaml",
        6,
        ["backbone=residual_attention:input=64"],
    ),
    "residual": ("attentional/cascades/resnet18.yaml", 12, ["backbone=resnet18:input=64"]),
    "multi-task": ("multi_task/cascades/joint.yaml", 20, [SMALLER.format("utkface")]),
    "multi-task, as written": (
        "multi_task/cascades/joint.yaml",
        20,
        ["stages.utkface.weighting.name=linear", SMALLER.format("utkface")],
    ),
    "LeNet": ("multi_task/cascades/age.yaml", 6, [SMALLER.format("utkface")]),
    "shallow gender": ("multi_task/cascades/gender.yaml", 20, [SMALLER.format("utkface")]),
    "AgeNet": ("agenet/cascades/agenet.yaml", 16, ["backbone=agenet:filters=16,input=64"]),
}


#: These take minutes.
LONG = {"attention", "multi-task", "multi-task, as written", "shallow gender"}


def _recipe(name):
    return pytest.param(name, marks=pytest.mark.long if name in LONG else ())


@pytest.mark.parametrize("recipe", [_recipe(name) for name in RECIPES])
def test_a_recipe_learns_what_a_constant_does_not(tmp_path, faces, recipe):
    file, epochs, changes = RECIPES[recipe]
    runs = learned(file, faces, tmp_path / "out", epochs, changes)
    for run in runs.values():
        found = measures(run)
        constant = run.predictions[run.columns[0]].value_counts(normalize=True).max()
        # of 72 pictures
        assert found["accuracy"] > constant + 0.15

"""Tiny fine-tuned networks, and pictures of made-up faces."""

import numpy as np
import pytest
import torch
from PIL import Image

from featx.datasets.generate import draw_face, random_identity
from featx.prediction.model import load_model
from featx.training.cascade import run_cascade
from featx.training.config.cascade_file import read_cascade
from featx.training.planning import plan_stages
from featx.training.processes import Processes
from tests.featx.training.made_faces import CASCADE, make_folder, write_cascade

PEOPLE = {age: random_identity(np.random.default_rng(age)) for age in (8, 25, 40)}


def fine_tune(folder, text=CASCADE, *, prepared=None):
    """Fine-tune ONet for one epoch on made-up crops; returns the path of its file."""
    make_folder(folder / "made")
    if prepared:
        (folder / "made" / "prepare.json").write_text(prepared)
    write_cascade(folder, text.replace("epochs: 2", "epochs: 1"))
    cascade = read_cascade(folder / "cascade.yaml")
    run_cascade(cascade, plan_stages(cascade), folder / "out", Processes(0, 1, torch.device("cpu")))
    return folder / "out" / "1-target" / "network.safetensors"


@pytest.fixture(scope="session")
def network_file(tmp_path_factory):
    """Return a network of ages and genders."""
    text = CASCADE.replace("    batch_size: 4\n", "    tasks: [age, gender]\n    batch_size: 4\n")
    return fine_tune(tmp_path_factory.mktemp("both"), text)


@pytest.fixture(scope="session")
def groups_file(tmp_path_factory):
    """Return a network of age groups, whose head is of another loss."""
    head = 'head: {loss: corn, classes: ["0-12", "15-30", "31-60"]}'
    text = "\n".join(
        f"    {head}" if line.startswith("    head:") else line for line in CASCADE.splitlines()
    )
    text = text.replace("tables: [made]", "tables: [made]\n      filter: {age: [15, 60]}")
    return fine_tune(tmp_path_factory.mktemp("groups"), text)


@pytest.fixture
def model(network_file):
    return load_model(network_file)


@pytest.fixture(scope="session")
def album(tmp_path_factory):
    """Return a folder of two faces, one of two faces, one of none, and one that is damaged."""
    folder = tmp_path_factory.mktemp("album")
    faces = {age: draw_face(age, person, size=(240, 240)) for age, person in PEOPLE.items()}
    faces[25].save(folder / "a25.png")
    (folder / "more").mkdir()
    faces[40].save(folder / "more" / "b40.png")
    both = Image.new("RGB", (500, 260), "grey")
    both.paste(faces[8].resize((200, 200)), (20, 30))
    both.paste(faces[40], (250, 10))
    both.save(folder / "both.png")
    Image.new("RGB", (120, 90), "grey").save(folder / "none.png")
    (folder / "cut.png").write_bytes((folder / "a25.png").read_bytes()[:1500])
    (folder / "notes.txt").write_text("no picture")
    return folder

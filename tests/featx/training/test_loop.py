"""A stage's training against a loop written by hand, and its faster ways against its slow one."""

import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from featx.training.cascade import run_cascade, start_network
from featx.training.config.cascade_file import read_cascade
from featx.training.images.order import epoch_batches
from featx.training.planning import plan_stages
from featx.training.processes import Processes
from featx.training.stage import prepare_network

ALONE = Processes(0, 1, torch.device("cpu"))
PLAIN = [
    "stages.0.augmentation={}",
    "stages.0.head={loss: cross-entropy, classes: 0-60}",
    "stages.0.optimiser={name: sgd, learning_rate: 0.002, head_learning_rate: 0.01, "
    "momentum: 0.8, weight_decay: 0.01}",
]


def train(made, out, *changes):
    cascade = read_cascade(made / "cascade.yaml", changes)
    run_cascade(cascade, plan_stages(cascade), made / out, ALONE)
    folder = made / out / "1-target"
    return load_file(folder / "network.safetensors"), pd.read_csv(folder / "history.csv")


def by_hand(made, changes, *, accumulate=1, clip=None):
    """Train with torch alone: gradient descent with momentum, one cycle, cross-entropy."""
    cascade = read_cascade(made / "cascade.yaml", changes)
    (plan,) = plan_stages(cascade)
    parent = start_network(cascade)
    torch.manual_seed(plan.seed)
    network, heads = prepare_network(plan, parent)
    own = {id(parameter) for parameter in heads.parameters()}
    body = [parameter for parameter in network.parameters() if id(parameter) not in own]
    optimiser = torch.optim.SGD(
        [{"params": body, "lr": 0.002}, {"params": list(heads.parameters()), "lr": 0.01}],
        momentum=0.8,
        weight_decay=0.01,
    )
    samples = plan.data.train
    groups = [
        (epoch, batches[start : start + accumulate])
        for epoch in range(2)
        for batches in [epoch_batches(len(samples), 4, seed=plan.seed, epoch=epoch, processes=1)]
        for start in range(0, len(batches), accumulate)
    ]
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, [0.002, 0.01], total_steps=len(groups) + 1, cycle_momentum=False
    )
    given = parent.preprocessing
    height, width = given.input_size
    images = [Image.open(f).resize((width, height), Image.BILINEAR) for f in samples.files]
    pixels = torch.from_numpy(np.stack([np.asarray(image) for image in images])).float()
    inputs = ((pixels - torch.tensor(given.mean)) / torch.tensor(given.std)).permute(0, 3, 1, 2)
    ages = torch.tensor(samples.table["age"].to_numpy(dtype=int))
    network.train()
    losses = {0: [], 1: []}
    for epoch, batches in groups:
        for batch in batches:
            scores = network(inputs[batch])
            loss = torch.nn.functional.cross_entropy(scores, ages[batch], reduction="none")
            losses[epoch] += loss.tolist()
            (loss.mean() / len(batches)).backward()
        if clip:
            torch.nn.utils.clip_grad_norm_(network.parameters(), clip)
        optimiser.step()
        optimiser.zero_grad()
        schedule.step()
    return network.state_dict(), [np.mean(losses[epoch]) for epoch in (0, 1)]


@pytest.mark.parametrize(
    ("more", "options"),
    [
        ([], {}),
        (["stages.0.accumulate=2"], {"accumulate": 2}),
        (["stages.0.clip_norm=0.5"], {"clip": 0.5}),
    ],
    ids=["plain", "accumulated", "clipped"],
)
def test_a_stage_is_the_plain_loop(made, more, options):
    weights, history = train(made, "own", *PLAIN, *more)
    expected, losses = by_hand(made, [*PLAIN, *more], **options)
    assert history["train_loss"].tolist() == pytest.approx(losses, rel=1e-4)
    assert weights.keys() == expected.keys()
    for name, tensor in expected.items():
        torch.testing.assert_close(weights[name], tensor, rtol=1e-3, atol=1e-4)


def test_bf16_trains_near_fp32(made):
    exact, expected = train(made, "fp32", *PLAIN)
    near, history = train(made, "bf16", *PLAIN, "stages.0.precision=bf16")
    assert history["train_loss"].tolist() == pytest.approx(expected["train_loss"], rel=0.05)
    assert all(tensor.dtype == exact[name].dtype for name, tensor in near.items())
    assert any(not torch.equal(tensor, exact[name]) for name, tensor in near.items())


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
def test_a_compiled_network_trains_as_the_plain_one(made):
    changes = [*PLAIN, "stages.0.epochs=1", "stages.0.batch_size=8"]
    plain, expected = train(made, "plain", *changes)
    compiled, history = train(made, "compiled", *changes, "stages.0.compile=true")
    # torch 2.5's compiled code, once loaded, makes subnormal numbers 0 for all that comes after
    torch.set_flush_denormal(False)
    assert compiled.keys() == plain.keys()
    assert history["train_loss"].tolist() == pytest.approx(expected["train_loss"], rel=1e-4)
    for name, tensor in plain.items():
        torch.testing.assert_close(compiled[name], tensor, rtol=1e-3, atol=1e-4)

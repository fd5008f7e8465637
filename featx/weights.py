"""Weights for a backbone: verified, and loaded without running their code."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from featx.backbones import Backbone, Preprocessing, create, get_backbone, list_backbones
from featx.checkpoints import Checkpoint, State, read_checkpoint
from featx.errors import FeatxError
from featx.file_hash import file_sha256
from featx.heads import HeadSpec, attach_heads, with_heads
from featx.trained_on import TrainedOn
from featx.weights_location import locate

_RANDOM = re.compile(r"random(?::(\d+))?")


@dataclass(frozen=True)
class LoadedNetwork:
    """A backbone with its weights, in evaluation mode.

    Attributes
    ----------
    module : torch.nn.Module
        On the CPU, float32.
    backbone : Backbone
        Its entry in the registry.
    preprocessing : Preprocessing
        What these weights expect of their input.
    weights : str
        The set's name, the file's name, or ``random:SEED``.
    sha256 : str
        Of the weights file; for random weights, of all tensors' names and bytes.
    has_head : bool
        Whether the weights brought the classifier too.
    classes : tuple
        The classes' values where the weights tell them (the checkpoint's ``classes``).
    notes : tuple of str
        What was put right or left out while loading.
    heads : tuple of HeadSpec
        Of a fine-tuned network, one a task.
    provenance : dict
        How a fine-tuned network came about: its stage, images and parents; else empty.
    trained_on : TrainedOn or None
        Whom a fine-tuned network has seen; None where its file does not tell, nobody for other
        weights, which saw no labels of ours.
    """

    module: nn.Module
    backbone: Backbone
    preprocessing: Preprocessing
    weights: str
    sha256: str
    has_head: bool
    classes: tuple[Any, ...] = ()
    notes: tuple[str, ...] = ()
    heads: tuple[HeadSpec, ...] = ()
    provenance: dict[str, Any] = field(default_factory=dict)
    trained_on: TrainedOn | None = field(default_factory=TrainedOn.of)


def load_network(backbone: str, weights: str, *, seed: int = 0) -> LoadedNetwork:
    """Build a backbone and load weights into it.

    Parameters
    ----------
    backbone : str
        A registered name.
    weights : str
        A registered set's name (found in the torch hub's cache, else downloaded), a file, or
        ``random`` or ``random:SEED``.
    seed : int
        For ``random`` without a seed.

    Raises
    ------
    FeatxError
        If the backbone or the weights are unknown, cannot be had, are damaged, would run code,
        are another architecture's, or hold values that are not finite.
    """
    entry = get_backbone(backbone)
    drawn = _RANDOM.fullmatch(weights)
    if drawn:
        return _random(entry, int(drawn[1]) if drawn[1] else seed)
    published = entry.weights.get(weights)
    path = locate(entry, weights)
    digest = file_sha256(path)
    if published is None:
        same = [known for known in entry.weights.values() if known.sha256 == digest]
        published = same[0] if same else None
    elif not digest.startswith(published.sha256):
        raise FeatxError(
            f"{path} is not the {weights} weights of {backbone}: its SHA-256 is {digest}, not "
            f"{published.sha256}…; delete it and try again"
        )
    checkpoint = read_checkpoint(path)
    if checkpoint.description:
        return _fine_tuned(entry, checkpoint, path, digest)
    network, has_head = _fit(entry, checkpoint, path)
    name = weights if weights in entry.weights else path.name
    return LoadedNetwork(
        module=network,
        backbone=entry,
        preprocessing=published.preprocessing if published else entry.preprocessing,
        weights=name,
        sha256=digest,
        has_head=has_head,
        classes=checkpoint.classes if has_head else (),
        notes=tuple(checkpoint.notes),
    )


def _fine_tuned(
    backbone: Backbone, checkpoint: Checkpoint, path: Path, digest: str
) -> LoadedNetwork:
    """Build a backbone with its heads from a file of `featx.checkpoints.write_checkpoint`."""
    told = checkpoint.description
    if told.get("backbone") != backbone.name:
        raise FeatxError(
            f"{path} does not fit {backbone.name}: it is a fine-tuned {told.get('backbone')}; "
            f"use --backbone {told.get('backbone')}"
        )
    specs = tuple(HeadSpec.from_description(given) for given in told.get("heads", ()))
    if not specs:
        raise FeatxError(f"{path}: its description names no head; fine-tune it again")
    try:
        given = told["preprocessing"]
        preprocessing = Preprocessing(
            input_size=tuple(given["input_size"]),
            mean=tuple(given["mean"]),
            std=tuple(given["std"]),
            channels=given["channels"],
            frame=tuple(given["frame"]) if given["frame"] else None,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise FeatxError(f"{path}: its description of the input is damaged ({error!r})") from None
    with torch.device("meta"):
        network = create(backbone.name)
        attach_heads(network, backbone, specs)
    found = _differences(_shapes(network.state_dict()), _shapes(checkpoint.state))
    if any(found.values()):
        raise FeatxError(f"{path} does not fit its description: {_counted(found)}")
    network.load_state_dict(checkpoint.state, strict=True, assign=True)
    main = specs[0]
    return LoadedNetwork(
        module=network.eval(),
        backbone=with_heads(backbone, specs),
        preprocessing=preprocessing,
        weights=path.name,
        sha256=digest,
        has_head=main.kind != "regression",
        classes=main.groups or tuple(int(c) if c.is_integer() else c for c in main.classes),
        notes=tuple(checkpoint.notes),
        heads=specs,
        provenance=dict(told.get("provenance", {})),
        trained_on=checkpoint.trained_on,
    )


def check_weights(backbone: str, weights: str) -> None:
    """See whether weights can be had, as `load_network` takes them, without fetching any.

    Raises
    ------
    FeatxError
        As `locate`; a registered set that could be downloaded is taken to be there.
    """
    entry = get_backbone(backbone)
    published = entry.weights.get(weights)
    if not _RANDOM.fullmatch(weights) and (published is None or published.url is None):
        locate(entry, weights)


def _shapes(tensors: Mapping[str, torch.Tensor]) -> dict[str, tuple[int, ...]]:
    # the counter of batches is absent from old releases and unused in evaluation mode
    return {n: tuple(t.shape) for n, t in tensors.items() if not n.endswith("num_batches_tracked")}


def _classes_in(backbone: Backbone, state: State) -> int | None:
    weight = state.get(f"{backbone.classifier}.weight")
    return len(weight) if weight is not None and weight.ndim else None


def _differences(
    wanted: Mapping[str, tuple[int, ...]], given: Mapping[str, tuple[int, ...]]
) -> dict[str, list[str]]:
    shared = [name for name in wanted if name in given]
    return {
        "missing": [f"{n} {wanted[n]}" for n in wanted if n not in given],
        "unexpected": [f"{n} {given[n]}" for n in given if n not in wanted],
        "of another shape": [
            f"{n} {given[n]} for {wanted[n]}" for n in shared if wanted[n] != given[n]
        ],
    }


def _wanted(backbone: Backbone, state: State) -> dict[str, tuple[int, ...]]:
    with torch.device("meta"):
        network = create(backbone.name, _classes_in(backbone, state))
    return _shapes(network.state_dict())


def _fit(backbone: Backbone, checkpoint: Checkpoint, path: Path) -> tuple[nn.Module, bool]:
    state = checkpoint.state
    classes = _classes_in(backbone, state)
    with torch.device("meta"):  # drawing random values only to replace them takes VGG-16 seconds
        network = create(backbone.name, classes)
    expected = network.state_dict()
    wanted, given = _shapes(expected), _shapes(state)
    has_head = classes is not None
    if not has_head:  # weights of the trunk alone are welcome
        head = f"{backbone.classifier}."
        without = {name: shape for name, shape in wanted.items() if not name.startswith(head)}
        if len(without) < len(wanted):
            checkpoint.notes.append("the weights bring no classifier; layer softmax is not there")
        wanted = without
    found = _differences(wanted, given)
    if any(found.values()):
        raise FeatxError(f"{path} does not fit {backbone.name}: {_told(backbone, state, found)}")
    if has_head and checkpoint.classes and len(checkpoint.classes) != classes:
        raise FeatxError(
            f"{path} names {len(checkpoint.classes)} classes for a classifier of {classes}; "
            "the checkpoint is inconsistent"
        )
    loaded = {
        # zeros for the counters of batches and for a classifier that the weights lack
        name: state[name].to(tensor.dtype)
        if name in state
        else torch.zeros_like(tensor, device="cpu")
        for name, tensor in expected.items()
    }
    network.load_state_dict(loaded, strict=True, assign=True)
    return network.eval(), has_head


def _told(backbone: Backbone, state: State, found: Mapping[str, list[str]]) -> str:
    given = _shapes(state)
    fitting = [
        name
        for name in list_backbones(imported=True)
        if name != backbone.name
        and not any(_differences(_wanted(get_backbone(name), state), given).values())
    ]
    hint = f"; they fit --backbone {' or '.join(fitting)}" if fitting else ""
    return f"{_counted(found)}{hint}"


def _counted(found: Mapping[str, list[str]]) -> str:
    return "tensors " + "; ".join(
        f"{len(names)} {kind} (such as {names[0]})" for kind, names in found.items() if names
    )


def _random(backbone: Backbone, seed: int) -> LoadedNetwork:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = create(backbone.name)
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.numpy().tobytes())
    return LoadedNetwork(
        module=network,
        backbone=backbone,
        preprocessing=backbone.preprocessing,
        weights=f"random:{seed}",
        sha256=digest.hexdigest(),
        has_head=_classes_in(backbone, network.state_dict()) is not None,
        notes=("random weights: features for trying things out, not for results",),
    )

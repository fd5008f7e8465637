"""Which activations of a network become features, and how they are pooled.

A layer is asked for by name: ``gap``, ``gmp``, ``first_conv``, ``first_conv_max``, ``flattened``,
``embedding``, ``softmax``, ``softmax_gender``, or any module of the network as ``MODULE``,
``MODULE:avg``, ``MODULE:max`` or ``MODULE:flat``.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import nn

from featx.backbones import Backbone
from featx.errors import FeatxError, unknown
from featx.heads import Head

Pool = Literal["avg", "max", "flat", "softmax"]

#: Named layers: which of the backbone's places, how pooled.
NAMED: Mapping[str, tuple[str, Pool]] = {
    "gap": ("last_conv", "avg"),
    "gmp": ("last_conv", "max"),
    "first_conv": ("first_conv", "avg"),
    "first_conv_max": ("first_conv", "max"),
    "flattened": ("last_conv", "flat"),
    "embedding": ("embedding", "flat"),
    "softmax": ("classifier", "softmax"),
    "softmax_gender": ("gender_classifier", "softmax"),
}

_SUFFIXES: Mapping[str, Pool] = {"avg": "avg", "max": "max", "flat": "flat", "flatten": "flat"}


@dataclass(frozen=True)
class LayerRequest:
    """A layer to be taken: its name in the features file, the module and the pooling.

    Attributes
    ----------
    name : str
        A valid netCDF name.
    module : str
        The module's dotted name in the network.
    pool : {"avg", "max", "flat", "softmax"}
        Average or maximum over height and width; all values in the order channel, row, column;
        or the probabilities of the class scores.
    shape : tuple of int
        The features' shape for one image; empty until `probe` has measured it.
    """

    name: str
    module: str
    pool: Pool
    shape: tuple[int, ...] = ()

    @property
    def units(self) -> int:
        """The number of values for one image."""
        return int(torch.Size(self.shape).numel())


def resolve(
    names: Sequence[str], backbone: Backbone, network: nn.Module, *, has_head: bool = True
) -> list[LayerRequest]:
    """Turn layer names into requests, each once, in the order given.

    Parameters
    ----------
    names : sequence of str
        As the module's docstring says.
    backbone : Backbone
        Where the named layers are.
    network : torch.nn.Module
        The network they will be taken from.
    has_head : bool
        Whether the classifier's weights were loaded; ``softmax`` needs it.

    Raises
    ------
    FeatxError
        If there is no such layer, module or pooling (near matches are named), or none was asked.
    """
    if not names:
        raise FeatxError("no layer asked for; give at least one, for example --layer gap")
    requests: dict[str, LayerRequest] = {}
    for name in names:
        request = _resolve_one(name, backbone, network, has_head)
        former = requests.setdefault(request.name, request)
        if former != request:
            raise FeatxError(
                f"layers {former.module}:{former.pool} and {request.module}:{request.pool} would "
                f"both be called {request.name!r} in the file; ask for one of them"
            )
    return list(requests.values())


def name_of(request: LayerRequest) -> str:
    """Return how a layer is asked for: what `resolve` takes to give the request."""
    return request.name if request.name in NAMED else f"{request.module}:{request.pool}"


def _resolve_one(name: str, backbone: Backbone, network: nn.Module, has_head: bool) -> LayerRequest:
    base, _, suffix = name.partition(":")
    if base in ("first_conv", "last_conv") and suffix:
        pool = _pool(name, suffix)
        alias = {("first_conv", "avg"): "first_conv", ("first_conv", "max"): "first_conv_max"}
        alias |= {("last_conv", "avg"): "gap", ("last_conv", "max"): "gmp"}
        alias[("last_conv", "flat")] = "flattened"
        title = alias.get((base, pool), f"{base}_{pool}")
        return LayerRequest(title, getattr(backbone, base), pool)
    if not suffix and base in NAMED:
        place, pool = NAMED[base]
        module = getattr(backbone, place)
        missing = base == "softmax" and not has_head
        if missing or module is None or not _has_module(network, module):
            what = place.replace("_", " ") if "classifier" in place else place
            raise FeatxError(
                f"layer {name!r}: {backbone.name} with these weights has no {what}; "
                "leave it out or use weights that bring one"
            )
        return LayerRequest(base, module, pool)
    modules = [module for module, _ in network.named_modules() if module]
    if base not in modules:
        raise (
            unknown(f"layer of {backbone.name}", base, [*NAMED, *modules])
            if modules
            else (FeatxError(f"{backbone.name} has no modules"))
        )
    pool = _pool(name, suffix or "avg")
    title = re.sub(r"[^A-Za-z0-9_.+@-]", "_", f"{base}_{pool}")
    if not re.match(r"[A-Za-z0-9_]", title):
        title = f"_{title}"
    return LayerRequest(title, base, pool)


def _pool(name: str, suffix: str) -> Pool:
    if suffix not in _SUFFIXES:
        raise unknown(f"pooling in layer {name!r}", suffix, ("avg", "max", "flat"))
    return _SUFFIXES[suffix]


def _has_module(network: nn.Module, name: str) -> bool:
    return any(name == module for module, _ in network.named_modules())


def pool(activation: torch.Tensor, how: Pool) -> torch.Tensor:
    """Pool a batch of activations, in float32.

    Parameters
    ----------
    activation : torch.Tensor
        Shape (n, channels, height, width) or (n, units), any floating dtype, any memory format.
    how : {"avg", "max", "flat", "softmax"}
        See `LayerRequest`.

    Returns
    -------
    torch.Tensor
        float32, shape (n, units), of storage its own: a later layer that works in place on the
        activation does not change it.
    """
    activation = activation.float()
    if how == "softmax":
        return activation.flatten(1).softmax(1)
    if how == "avg" and activation.ndim == 4:
        return activation.mean((2, 3))
    if how == "max" and activation.ndim == 4:
        return activation.amax((2, 3))
    return activation.contiguous().flatten(1).clone()


class _AllTaken(Exception):
    """Raised inside a forward pass when nothing that follows is needed."""


class LayerReader:
    """Takes the requested layers from a network in one forward pass.

    Parameters
    ----------
    network : torch.nn.Module
        In evaluation mode.
    requests : sequence of LayerRequest
        What to take. Modules behind the last of them are not run.
    """

    def __init__(self, network: nn.Module, requests: Sequence[LayerRequest]) -> None:
        self.network = network
        self.requests = list(requests)
        self._by_module: dict[str, list[LayerRequest]] = {}
        for request in self.requests:
            self._by_module.setdefault(request.module, []).append(request)

    def __call__(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        """Map input images (n, 3, height, width) to features, each float32 (n, units)."""
        taken, _, _ = self._run(images, stop=True)
        return taken

    def probe(self, images: torch.Tensor) -> list[LayerRequest]:
        """Return the requests with their shapes, as measured on a small batch.

        Raises
        ------
        FeatxError
            If a module does not run, runs more than once in a pass, or does not give one tensor
            with a row an image.
        """
        _, shapes, calls = self._run(images, stop=False)
        for module in self._by_module:
            if calls.get(module, 0) != 1:
                times = calls.get(module, 0)
                raise FeatxError(
                    f"layer {module!r} runs {times} times in a forward pass, so its output is "
                    f"{'ambiguous' if times else 'not there'}; take a module around or inside it"
                )
        return [replace(request, shape=shapes[request.name]) for request in self.requests]

    def _run(
        self, images: torch.Tensor, *, stop: bool
    ) -> tuple[dict[str, torch.Tensor], dict[str, tuple[int, ...]], dict[str, int]]:
        taken: dict[str, torch.Tensor] = {}
        shapes: dict[str, tuple[int, ...]] = {}
        calls: dict[str, int] = {}

        def take(module: str, output: Any) -> None:
            calls[module] = calls.get(module, 0) + 1
            if not isinstance(output, torch.Tensor) or len(output) != len(images):
                raise FeatxError(
                    f"layer {module!r} does not give one tensor with a row an image; "
                    "take another module"
                )
            for request in self._by_module[module]:
                if output.ndim not in (2, 4) and request.pool != "flat":
                    raise FeatxError(
                        f"layer {module!r} has {output.ndim - 1} dimensions an image, which "
                        f"{request.pool} does not pool; use {module}:flat"
                    )
                head = self.network.get_submodule(module)
                if request.pool == "softmax" and isinstance(head, Head):
                    taken[request.name] = head.probabilities(output)
                else:
                    taken[request.name] = pool(output, request.pool)
                kept = request.pool == "flat" and output.ndim == 4 and output.shape[2:].numel() > 1
                shapes[request.name] = (
                    tuple(output.shape[1:]) if kept else tuple(taken[request.name].shape[1:])
                )
            if stop and len(taken) == len(self.requests):
                raise _AllTaken

        handles = []
        try:
            for module in self._by_module:
                hook = _forward_hook(take, module)
                handles.append(self.network.get_submodule(module).register_forward_hook(hook))
            with contextlib.suppress(_AllTaken):
                self.network(images)
        finally:
            for handle in handles:
                handle.remove()
        return taken, shapes, calls


def _forward_hook(take: Any, name: str) -> Any:
    def hook(module: nn.Module, inputs: Any, output: Any) -> None:
        take(name, output)

    return hook

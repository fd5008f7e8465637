"""Weights files read without running any code that they may hold."""

from __future__ import annotations

import json
import pickle
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from featx.atomic import writing
from featx.errors import FeatxError
from featx.trained_on import TrainedOn

#: Of the description that a fine-tuned network's file carries.
FORMAT = "featx-network/1"

#: The metadata's key for `TrainedOn`; others' files may have a ``trained_on`` of their own.
SEEN = "featx.trained_on"

SAFETENSORS = (".safetensors",)
PICKLES = (".pt", ".pth", ".pkl", ".bin", ".ckpt", ".tar")

State = dict[str, torch.Tensor]


@dataclass
class Checkpoint:
    """What a weights file holds: tensors by name, class values if told, and remarks.

    `description` is that of a fine-tuned network: what `write_checkpoint` was given, else empty.
    `trained_on` is None where the file does not tell.
    """

    state: State
    classes: tuple[Any, ...] = ()
    notes: list[str] = field(default_factory=list)
    description: dict[str, Any] = field(default_factory=dict)
    trained_on: TrainedOn | None = None


def read_checkpoint(path: Path) -> Checkpoint:
    """Read tensors by name from a safetensors file or a PyTorch checkpoint, running no code.

    A checkpoint may be the state dict itself or a dict that holds it under ``state_dict``,
    ``model_state_dict`` or ``model``, with the class values under ``classes``. Prefixes that
    wrappers put before every name (``module.``, ``_orig_mod.``) are taken off.

    Raises
    ------
    FeatxError
        If the file is damaged, of an unknown kind, holds anything but plain data, or holds a
        value that is not finite.
    """
    suffix = path.suffix.lower()
    if suffix in SAFETENSORS:
        checkpoint = _read_safetensors(path)
    elif suffix in PICKLES:
        checkpoint = _read_pickle(path)
    else:
        kinds = ", ".join(SAFETENSORS + PICKLES)
        raise FeatxError(f"{path} is no weights file that is known: its name should end in {kinds}")
    if not checkpoint.state:
        raise FeatxError(f"{path} holds no weights; give a state dict or a checkpoint of one")
    for prefix in ("module.", "_orig_mod.", "module."):
        if all(name.startswith(prefix) for name in checkpoint.state):
            checkpoint.state = {n.removeprefix(prefix): t for n, t in checkpoint.state.items()}
            checkpoint.notes.append(f"took the prefix {prefix!r} off all names")
    for name, tensor in checkpoint.state.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise FeatxError(
                f"{path}: {name} holds values that are NaN or infinite; the weights are damaged, "
                "use others"
            )
    return checkpoint


def _read_safetensors(path: Path) -> Checkpoint:
    try:
        with safe_open(str(path), framework="pt") as file:
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            metadata = file.metadata() or {}
    except (SafetensorError, OSError, ValueError) as error:
        raise FeatxError(f"{path} is damaged or no safetensors file: {error}") from error
    try:
        classes = tuple(json.loads(metadata["classes"])) if "classes" in metadata else ()
    except (ValueError, TypeError):
        classes = ()
    description = description_in(path, metadata)
    return Checkpoint(
        state, classes, description=description, trained_on=_trained_on(path, metadata)
    )


def trained_on_in(path: Path) -> TrainedOn | None:
    """Return whom a safetensors file says its network has seen, without reading its tensors.

    None where a fine-tuned network's file does not tell; nobody where it is no fine-tuned network.

    Raises
    ------
    FeatxError
        If the file is damaged.
    """
    try:
        with safe_open(str(path), framework="pt") as file:
            metadata = file.metadata() or {}
    except (SafetensorError, OSError, ValueError) as error:
        raise FeatxError(f"{path} is damaged or no safetensors file: {error}") from error
    return _trained_on(path, metadata) if "featx" in metadata else TrainedOn.of()


def _trained_on(path: Path, metadata: Mapping[str, str]) -> TrainedOn | None:
    if SEEN not in metadata:
        return None
    try:
        return TrainedOn.decode(metadata[SEEN])
    except ValueError as error:
        raise FeatxError(f"{path}: what it was trained on is damaged ({error})") from None


def description_in(path: Path, metadata: Mapping[str, str]) -> dict[str, Any]:
    """Return a fine-tuned network's description from its file's metadata; else empty.

    Raises
    ------
    FeatxError
        If it is damaged, or of a format of another release.
    """
    if "featx" not in metadata:
        return {}
    try:
        description = json.loads(metadata["featx"])
        form = description["format"]
    except (ValueError, TypeError, KeyError) as error:
        raise FeatxError(f"{path}: its description is damaged ({error!r})") from None
    if form != FORMAT:
        raise FeatxError(f"{path} has format {form!r}; this program reads {FORMAT}")
    return description


def write_checkpoint(
    path: Path,
    state: State,
    description: Mapping[str, Any],
    trained_on: TrainedOn | None = None,
) -> None:
    """Write a fine-tuned network as safetensors, atomically.

    Parameters
    ----------
    path : Path
        To be made; its folder too.
    state : dict of str to torch.Tensor
        The network's state dict, on the CPU.
    description : mapping
        JSON-able: ``backbone``, ``heads`` (of `featx.heads.HeadSpec.describe`), ``preprocessing``,
        and ``provenance``; the format is added.
    trained_on : TrainedOn, optional
        Whom the network has seen, where that is known. It is no part of the description, which
        goes into every file that is made with the network.

    Raises
    ------
    FeatxError
        If it cannot be written; a former file survives.
    """
    text = json.dumps({"format": FORMAT, **description}, sort_keys=True, allow_nan=False)
    metadata = {"featx": text}
    if trained_on is not None:
        metadata[SEEN] = trained_on.encode()
    tensors = {name: tensor.contiguous() for name, tensor in state.items()}
    try:
        with writing(path) as temporary:
            save_file(tensors, temporary, metadata=metadata)
            _sort_metadata(temporary)
    except SafetensorError as error:  # what it makes of a full disk
        raise FeatxError(f"cannot write {path}: {error}; make room on the disk") from error


def _sort_metadata(path: Path) -> None:
    """Put a safetensors file's metadata in order: its writer's is another each time.

    Equal networks are then equal files, and have one hash. The format is eight bytes, the length of
    the header, little-endian; the header, JSON that may end with blanks; and the tensors.
    """
    with path.open("r+b") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
        text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
        if len(text) <= size:  # as the writer's own, unless it should come to write otherwise
            file.seek(8)
            file.write(text.ljust(size))


def _read_pickle(path: Path) -> Checkpoint:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of old pickle protocols, in the middle of an error
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise FeatxError(
            f"{path} is refused: it is damaged or holds more than plain tensors, and reading such "
            "a pickle could run code; convert it to safetensors where you trust it"
        ) from error
    except Exception as error:  # a damaged file makes torch's reader raise nearly anything
        line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise FeatxError(f"{path} is damaged or no PyTorch file: {line}") from error
    classes: tuple[Any, ...] = ()
    if isinstance(content, Mapping):
        given = content.get("classes")
        if isinstance(given, (list, tuple)):
            classes = tuple(given)
        for key in ("state_dict", "model_state_dict", "model"):
            if isinstance(content.get(key), Mapping):
                content = content[key]
                break
    if not isinstance(content, Mapping) or not all(
        isinstance(name, str) and isinstance(tensor, torch.Tensor)
        for name, tensor in content.items()
    ):
        raise FeatxError(
            f"{path} holds no state dict (tensors by name); save network.state_dict(), or a dict "
            "with it under 'state_dict'"
        )
    return Checkpoint(dict(content), classes)

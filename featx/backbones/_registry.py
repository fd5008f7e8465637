"""Which backbones exist, and what is to be known of each before an image goes in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal

from torch import nn

from featx.backbones._options import Option, Value, full_name, read_option, read_options
from featx.errors import FeatxError
from featx.plugins import plugin_names, register_plugin

#: Builds a network in its initial state; the argument is the number of classes of its classifier,
#: None for the architecture's own default (or for no classifier, where it is optional). Options
#: are given by keyword.
Builder = Callable[..., nn.Module]

#: Puts what another backbone's network (the second) has learned into a new network (the first).
Growth = Callable[[nn.Module, nn.Module], None]


@dataclass(frozen=True)
class Preprocessing:
    """How pixels become the network's input: ``(pixel - mean) / std`` channel by channel.

    Attributes
    ----------
    input_size : tuple of int
        Height and width, in pixels.
    mean, std : tuple of float
        In units of pixel values 0 to 255, in the order of `channels`.
    channels : {"RGB", "BGR"}
        The order in which the network was given its channels when it was trained.
    frame : tuple of int or None
        Height and width to which images are brought where the input is a crop of them: from a
        random place in training, else from the middle, or from five places (see `featx.views`).
    """

    input_size: tuple[int, int]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    channels: Literal["RGB", "BGR"] = "RGB"
    frame: tuple[int, int] | None = None

    @property
    def decoded_size(self) -> tuple[int, int]:
        """Height and width to which images are brought as they are read."""
        return self.frame or self.input_size


@dataclass(frozen=True)
class Weights:
    """A published set of weights.

    Attributes
    ----------
    file : str
        The file's name in the torch hub's cache.
    preprocessing : Preprocessing
        What the network was trained with.
    url : str or None
        Where the file can be had; None where it has no lasting public address.
    sha256 : str
        The file's SHA-256 as hexadecimal digits, or its first digits (as the torch hub puts them
        into file names), or empty where nothing is published.
    trained_on, licence, citation : str
        For the record.
    """

    file: str
    preprocessing: Preprocessing
    url: str | None = None
    sha256: str = ""
    trained_on: str = ""
    licence: str = ""
    citation: str = ""


@dataclass(frozen=True)
class Backbone:
    """An architecture: how to build it and where its named layers are.

    Attributes
    ----------
    first_conv, last_conv : str
        Modules whose outputs are the first convolution block (with normalisation and activation)
        and the last feature map, both of shape (images, channels, height, width).
    embedding : str or None
        The module whose output is the descriptor before any L2 normalisation.
    classifier : str
        The module that gives the class scores (logits); an identity where the weights bring none.
    head : str
        The module that a fine-tuning stage replaces by its own head; the classifier by default.
    hidden : tuple of int
        Units of the fully connected layers that such a head has by default.
    preprocessing : Preprocessing
        Used with weights that do not say otherwise.
    weights : mapping of str to Weights
        The published sets by name.
    gender_classifier : str or None
        The module that tells gender, in fine-tuned networks that do.
    frozen : tuple of str
        Modules that no stage unlocks and that stay in evaluation mode while the rest trains.
    grown_from : mapping of str to Growth
        The backbones whose networks can become part of this one, and how; see `grow`.
    options : mapping of str to Option
        What the name can choose behind a colon; given to `build` by keyword.
    adapt : callable or None
        Takes the options by keyword and returns the fields of this entry that follow from them.
    """

    name: str
    build: Builder
    first_conv: str
    last_conv: str
    embedding: str | None
    classifier: str
    preprocessing: Preprocessing
    citation: str
    head: str
    hidden: tuple[int, ...] = ()
    weights: Mapping[str, Weights] = field(default_factory=dict)
    gender_classifier: str | None = None
    frozen: tuple[str, ...] = ()
    grown_from: Mapping[str, Growth] = field(default_factory=dict)
    options: Mapping[str, Option] = field(default_factory=dict)
    adapt: Callable[..., Mapping[str, Any]] | None = None


_BACKBONES: dict[str, Backbone] = {}


def register_backbone(
    name: str,
    *,
    first_conv: str,
    last_conv: str,
    embedding: str | None,
    classifier: str,
    preprocessing: Preprocessing,
    citation: str,
    head: str | None = None,
    hidden: tuple[int, ...] = (),
    weights: Mapping[str, Weights] | None = None,
    frozen: tuple[str, ...] = (),
    grown_from: Mapping[str, Growth] | None = None,
    options: Mapping[str, Option] | None = None,
    adapt: Callable[..., Mapping[str, Any]] | None = None,
) -> Callable[[Builder], Builder]:
    """Return a decorator that enters a builder into the registry; see `Backbone`."""

    def enter(build: Builder) -> Builder:
        if name in _BACKBONES:
            raise ValueError(f"backbone {name!r} is registered twice")
        _BACKBONES[name] = Backbone(
            name=name,
            build=build,
            first_conv=first_conv,
            last_conv=last_conv,
            embedding=embedding,
            classifier=classifier,
            preprocessing=preprocessing,
            citation=citation,
            head=head or classifier,
            hidden=hidden,
            weights=dict(weights or {}),
            frozen=frozen,
            grown_from=dict(grown_from or {}),
            options=dict(options or {}),
            adapt=adapt,
        )
        return build

    return enter


def list_backbones(*, imported: bool = False) -> list[str]:
    """Return the names of all backbones, sorted.

    Parameters
    ----------
    imported : bool
        Without those of other packages that nobody has asked for yet.
    """
    return sorted({*_BACKBONES, *([] if imported else plugin_names("backbone"))})


def get_backbone(name: str) -> Backbone:
    """Return what is registered under a name, which may carry options.

    Parameters
    ----------
    name : str
        One of `list_backbones`, or one with options: ``agenet:conv_layers=4,filters=32``.

    Returns
    -------
    Backbone
        Its `name` is the shortest that says the same: defaults are left out and the order is the
        backbone's own, so that a checkpoint is found again however its name was written.

    Raises
    ------
    FeatxError
        If there is no such backbone or option (near matches are named), a value is not allowed, or
        the package that brings the backbone cannot be imported.
    """
    base, colon, text = name.partition(":")
    register_plugin("backbone", base, _BACKBONES)
    entry = _BACKBONES[base]
    if not colon:
        return entry
    values = read_options(base, text, entry.options)
    full = full_name(base, values, entry.options)
    if full == base:
        return entry
    following = entry.adapt(**values) if entry.adapt else {}
    changed = replace(entry, name=full, build=partial(entry.build, **values), **following)
    return replace(changed, weights=_resized(entry.weights, changed.preprocessing))


def _resized(weights: Mapping[str, Weights], wanted: Preprocessing) -> Mapping[str, Weights]:
    """Return sets of weights that are given images of another size than they were trained with."""

    def resized(each: Preprocessing) -> Preprocessing:
        return replace(each, input_size=wanted.input_size, frame=wanted.frame)

    return {
        n: replace(each, preprocessing=resized(each.preprocessing)) for n, each in weights.items()
    }


def with_options(name: str, changes: Mapping[str, Value]) -> str:
    """Return a backbone's name with some of its options changed and the others as they were.

    Parameters
    ----------
    name : str
        As `get_backbone` takes it.
    changes : mapping of str to int or str
        Options of the backbone and their new values.

    Raises
    ------
    FeatxError
        As `get_backbone`.
    """
    entry = get_backbone(name)
    base, colon, text = name.partition(":")
    if changes and not entry.options:
        raise FeatxError(f"backbone {base} has no options, so that {next(iter(changes))} is none")
    values = {option: each.default for option, each in entry.options.items()}
    if colon:
        values = read_options(base, text, entry.options)
    for option, value in changes.items():
        values[option] = read_option(base, option, str(value), entry.options)
    return full_name(base, values, entry.options)


def create(name: str, classes: int | None = None) -> nn.Module:
    """Build a backbone in its initial (random) state, in evaluation mode.

    Parameters
    ----------
    name : str
        As `get_backbone` takes it.
    classes : int, optional
        The number of classes of its classifier.

    Raises
    ------
    FeatxError
        As `get_backbone`.
    """
    return get_backbone(name).build(classes).eval()

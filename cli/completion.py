"""Names that a shell completes: of networks, layers, regressors, …

The names stand here, and tests hold them equal to the registries: a shell does not wait for torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

Completer = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]

#: Backbones, each with its published weights.
BACKBONES: dict[str, tuple[str, ...]] = {
    "agenet": (),
    "inception_resnet_v1": ("casia-webface", "vggface2"),
    "lenet": (),
    "levi_hassner": (),
    "levi_hassner_e2e": (),
    "levi_hassner_manual1_fc1": (),
    "levi_hassner_manual1_fc2": (),
    "levi_hassner_manual2_fc1": (),
    "levi_hassner_manual2_fc2": (),
    "levi_hassner_no_embedding": (),
    "mobilefacenet": ("casia-webface",),
    "multitask_cnn": (),
    "onet": ("mtcnn",),
    "residual_attention": (),
    "resnet18": ("imagenet",),
    "resnet50": ("imagenet", "imagenet-v2"),
    "senet50": ("imagenet",),
    "shallow_gender": (),
    "vgg16": ("imagenet",),
}

#: Layers by name; any module of a network is one, too.
LAYERS = (
    *("gap", "gmp", "first_conv", "first_conv_max", "flattened", "embedding", "softmax"),
    "softmax_gender",
)

PROTOCOLS = ("lopo", "kfold:5", "folds", "holdout:0.2")

DETECTORS = ("mtcnn", "haar", "dlib", "dlib-cnn", "none")

DATASETS = (
    *("adience", "afad", "agedb", "all-age-faces", "appa-real", "appa-real-apparent", "cacd"),
    *("csv", "fgnet", "folder", "imdb-wiki", "utkface"),
)


def one_of(names: Iterable[str], plugins: str | None = None) -> Completer:
    """Return what completes one of some names, for a parameter's ``shell_complete``.

    Parameters
    ----------
    names : iterable of str
        That featx itself has.
    plugins : str, optional
        A kind of `featx.plugins`, of which installed packages may bring more.
    """

    def complete(_: click.Context, __: click.Parameter, begun: str) -> list[CompletionItem]:
        from featx.plugins import plugin_names

        return _beginning([*names, *(plugin_names(plugins) if plugins else ())], begun)

    return complete


def weights(context: click.Context, _: click.Parameter, begun: str) -> list[CompletionItem]:
    """Complete the weights of the backbone that is given, ``random``, or a file."""
    backbone = str(context.params.get("backbone") or "").partition(":")[0]
    some = BACKBONES.get(backbone)
    names = some if some is not None else {each for own in BACKBONES.values() for each in own}
    return [*_beginning([*sorted(names), "random"], begun), CompletionItem(begun, type="file")]


def layers_of_file(parameter: str) -> Completer:
    """Return what completes the layers of the features file that another parameter gives."""

    def complete(context: click.Context, _: click.Parameter, begun: str) -> list[CompletionItem]:
        # click leaves the words in `args` where the last option has no value yet
        path = context.params.get(parameter) or next(iter(context.args), None)
        return _beginning(_stored_layers(path), begun)

    return complete


def regressors(_: click.Context, __: click.Parameter, begun: str) -> list[CompletionItem]:
    """Complete a regressor's name."""
    from regress.regressors import list_regressors

    return _beginning(list_regressors(), begun)


def experiments(_: click.Context, __: click.Parameter, begun: str) -> list[CompletionItem]:
    """Complete an experiment's name, or a file."""
    from experiments.names import experiment_names

    return [*_beginning(experiment_names(), begun), CompletionItem(begun, type="file")]


def _beginning(names: Iterable[str], begun: str) -> list[CompletionItem]:
    return [CompletionItem(name) for name in names if name.startswith(begun)]


def _stored_layers(path: Any) -> Sequence[str]:
    """Return the layers of a features file; none where there is no such file, or it is broken."""
    import json

    try:
        import h5py

        with h5py.File(Path(path), "r") as file:
            return [str(name) for name in json.loads(file.attrs["layers"])]
    except Exception:  # a shell that completes has no place for an error
        return LAYERS

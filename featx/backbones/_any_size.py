"""The option ``input`` of networks none of whose layers depends on the input's size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from featx.backbones._options import Option
from featx.backbones.vgg import IMAGENET_224

#: The input's height and width, in pixels.
ANY_SIZE = {"input": Option(IMAGENET_224.input_size[0], range(64, 1025, 32))}


def any_size(input: int) -> Mapping[str, Any]:  # the option's own name
    """Return what follows from the option: ImageNet's preprocessing at another size."""
    return {"preprocessing": replace(IMAGENET_224, input_size=(input, input))}

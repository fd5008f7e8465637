"""Networks by name, one architecture a file."""

from featx.backbones import inception_resnet_v1, mobilefacenet, onet, resnet, senet, vgg
from featx.backbones._options import Option
from featx.backbones._registry import (
    Backbone,
    Preprocessing,
    Weights,
    create,
    get_backbone,
    list_backbones,
    register_backbone,
)

__all__ = [
    "Backbone",
    "Option",
    "Preprocessing",
    "Weights",
    "create",
    "get_backbone",
    "inception_resnet_v1",
    "list_backbones",
    "mobilefacenet",
    "onet",
    "register_backbone",
    "resnet",
    "senet",
    "vgg",
]

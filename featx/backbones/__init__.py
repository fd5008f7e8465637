"""Networks by name, one architecture a file."""

from featx.backbones import (
    agenet,
    cross_modal,
    inception_resnet_v1,
    lenet,
    levi_hassner,
    mobilefacenet,
    multitask_cnn,
    onet,
    residual_attention,
    resnet,
    senet,
    vgg,
)
from featx.backbones._growth import check_growth, grow
from featx.backbones._options import Option
from featx.backbones._registry import (
    Backbone,
    Preprocessing,
    Weights,
    create,
    get_backbone,
    list_backbones,
    register_backbone,
    with_options,
)

__all__ = [
    "Backbone",
    "Option",
    "Preprocessing",
    "Weights",
    "agenet",
    "check_growth",
    "create",
    "cross_modal",
    "get_backbone",
    "grow",
    "inception_resnet_v1",
    "lenet",
    "levi_hassner",
    "list_backbones",
    "mobilefacenet",
    "multitask_cnn",
    "onet",
    "register_backbone",
    "residual_attention",
    "resnet",
    "senet",
    "vgg",
    "with_options",
]

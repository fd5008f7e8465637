"""A convolution with what follows it, as one operation of oneDNN."""

from __future__ import annotations

import torch
from torch import nn

#: What follows a convolution, in oneDNN's terms: a name, and its numbers.
Activation = tuple[str, list[float]]

NONE: Activation = ("none", [])


def possible(network: nn.Module) -> bool:
    """Whether this machine and torch have the operation, for the precisions of a network."""
    operations = torch.ops.mkldnn
    dtypes = {each.weight.dtype for each in network.modules() if type(each) is nn.Conv2d}
    return bool(
        torch.backends.mkldnn.is_available()
        and torch.backends.mkldnn.enabled
        and hasattr(operations, "_convolution_pointwise_")
        and dtypes <= {torch.float32, torch.bfloat16}
        and (torch.bfloat16 not in dtypes or operations._is_mkldnn_bf16_supported())
    )


class FusedConvolution(nn.Module):
    """A convolution with what follows it.

    Parameters
    ----------
    convolution : torch.nn.Conv2d
        On the CPU, with weights in the precision of the arithmetic.
    size : torch.Size
        Of an input; weights in bfloat16 are put in the order that suits it, and others are right
        too.
    activation : Activation
        `NONE` for none.
    """

    def __init__(self, convolution: nn.Conv2d, size: torch.Size, activation: Activation) -> None:
        super().__init__()
        weight = convolution.weight.detach()
        self._how = (
            list(convolution.padding),
            list(convolution.stride),
            list(convolution.dilation),
            convolution.groups,
        )
        self._dtype = weight.dtype
        # no buffers: what moves a module's tensors does not know oneDNN's own kind
        self._weight = weight
        if weight.dtype == torch.bfloat16:  # in float32 that gains nothing, and is another copy
            self._weight = torch._C._nn.mkldnn_reorder_conv2d_weight(
                weight.contiguous().to_mkldnn(),
                *self._how,  # type: ignore[call-arg]
                list(size),
            )
        self._bias = None if convolution.bias is None else convolution.bias.detach()
        self._activation = activation

    def forward(self, x: torch.Tensor, shortcut: torch.Tensor | None = None) -> torch.Tensor:
        """Return the map; `shortcut`, which is added before the activation, is overwritten."""
        operations = torch.ops.mkldnn
        name, numbers = self._activation
        given = (x.to(self._dtype), self._weight, self._bias, *self._how)
        if shortcut is None:
            return operations._convolution_pointwise(*given, name, numbers, "")
        return operations._convolution_pointwise_.binary(
            shortcut, *given, "add", 1.0, None if name == "none" else name, numbers, ""
        )

"""What a head's outputs cost, against the true ages."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from coral_pytorch.dataset import levels_from_labelbatch
from coral_pytorch.losses import coral_loss

from featx.errors import unknown
from featx.heads import HeadSpec
from featx.training.config.head import KIND_OF_LOSS, HeadConfig


@dataclass(frozen=True)
class Targets:
    """The truth: class indices, int64 (n,), and ages in years, float32 (n,)."""

    index: torch.Tensor
    age: torch.Tensor


#: Mean loss of raw outputs (n, k), float32, against targets.
Loss = Callable[[torch.Tensor, Targets], torch.Tensor]


def make_loss(
    config: HeadConfig, spec: HeadSpec, class_weights: torch.Tensor | None = None
) -> Loss:
    """Return the loss that a stage asks for.

    ``cross-entropy``; ``label-distribution``, the Kullback-Leibler divergence to a Gaussian about
    the true age (Gao et al. 2017), plus `expected_value_weight` times the expected value's absolute
    error; ``dldl-v2``, the same with weight 1 (Gao et al. 2018); ``mean-variance``, cross-entropy
    plus `mean_weight` times half the expected value's squared error plus `variance_weight` times
    the variance (Pan et al. 2018); ``coral`` (Cao et al. 2020); ``corn`` (Shi et al. 2021); ``l1``,
    the absolute error of the output.

    Every loss is the mean over images of what each costs by itself, so that parts of a batch, in
    processes or accumulated, add up to the batch. For that CORN's is summed over the ranks that an
    image is asked about, as CORAL's is, where coral-pytorch divides by their number in the batch.

    Parameters
    ----------
    config : HeadConfig
        The name and its numbers.
    spec : HeadSpec
        For the classes.
    class_weights : torch.Tensor, optional
        float32 (K,): each image's loss is multiplied by its class's weight. Balanced weights have
        the mean 1 over the training images.

    Raises
    ------
    FeatxError
        If there is no such loss.
    """
    if config.loss not in KIND_OF_LOSS:
        raise unknown("loss", config.loss, KIND_OF_LOSS)
    each = _each(config, spec)

    def mean(outputs: torch.Tensor, targets: Targets) -> torch.Tensor:
        losses = each(outputs.float(), targets)
        return (losses if class_weights is None else losses * class_weights[targets.index]).mean()

    return mean


def _each(config: HeadConfig, spec: HeadSpec) -> Loss:
    """Return the loss of every image by itself."""
    years = torch.tensor(spec.classes, dtype=torch.float32)
    n_classes = len(spec.classes)

    def value_error(outputs: torch.Tensor, targets: Targets) -> torch.Tensor:
        return outputs.softmax(1) @ years.to(outputs.device) - targets.age

    def cross_entropy(outputs: torch.Tensor, targets: Targets) -> torch.Tensor:
        return F.cross_entropy(outputs, targets.index, reduction="none")

    def distribution(outputs: torch.Tensor, targets: Targets) -> torch.Tensor:
        wanted = gaussian_labels(targets.age, years.to(outputs.device), config.label_sd or 1.0)
        divergence = F.kl_div(outputs.log_softmax(1), wanted, reduction="none").sum(1)
        weight = config.expected_value_weight or 0.0
        return divergence + weight * value_error(outputs, targets).abs() if weight else divergence

    def mean_variance(outputs: torch.Tensor, targets: Targets) -> torch.Tensor:
        error = value_error(outputs, targets)
        probable = outputs.softmax(1)
        from_mean = years.to(outputs.device)[None, :] - (error + targets.age)[:, None]
        variance = (probable * from_mean.square()).sum(1)
        return (
            cross_entropy(outputs, targets)
            + (config.mean_weight or 0.0) * error.square() / 2
            + (config.variance_weight or 0.0) * variance
        )

    def coral(outputs: torch.Tensor, targets: Targets) -> torch.Tensor:
        levels = levels_from_labelbatch(targets.index, n_classes).to(outputs)
        return coral_loss(outputs, levels, reduction=None)

    def corn(outputs: torch.Tensor, targets: Targets) -> torch.Tensor:
        levels = levels_from_labelbatch(targets.index, n_classes).to(outputs)
        asked = torch.cat([torch.ones_like(levels[:, :1]), levels[:, :-1]], 1)
        costs = F.binary_cross_entropy_with_logits(outputs, levels, reduction="none")
        return (costs * asked).sum(1)

    def absolute(outputs: torch.Tensor, targets: Targets) -> torch.Tensor:
        return (outputs[:, 0] - targets.age).abs()

    return {
        "cross-entropy": cross_entropy,
        "label-distribution": distribution,
        "dldl-v2": distribution,
        "mean-variance": mean_variance,
        "coral": coral,
        "corn": corn,
        "l1": absolute,
    }[config.loss]


def gaussian_labels(age: torch.Tensor, years: torch.Tensor, sd: float) -> torch.Tensor:
    """Return normal densities about ages (n,) at the classes' years (K,), rows summing to 1."""
    exponents = -((years[None, :] - age[:, None]) ** 2) / (2 * math.pow(sd, 2))
    return exponents.softmax(1)

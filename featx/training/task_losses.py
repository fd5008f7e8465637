"""The losses of a stage's tasks, and how they are weighed against each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import nn

from featx.heads import Heads, Task
from featx.training.losses import Loss, Targets, make_loss

if TYPE_CHECKING:
    from featx.training.config.stage import Stage


class TaskLosses(nn.Module):
    """The loss of all tasks together, L = Σ w·L_task (+ a term that keeps the weights in bounds).

    ``fixed``
        The weights stay as given.
    ``linear``
        The weights are trained with the network, as Kang, Jiang and Li write it (multi-task
        learning, equation 5: p·L_age + q·L_gender). Nothing bounds them: dL/dp = L_age is never
        negative, so that gradient descent only ever lowers p, through 0 and on.
    ``uncertainty``
        w = exp(-s) with s = log σ² trained, and s/2 added for each task: the homoscedastic
        uncertainty of classification of Kendall, Gal and Cipolla 2018 (equation 10, with their
        approximation). At the optimum σ² = 2·L_task; weights are above 0 and finite.
    ``softmax``
        Weights n·softmax(t) of n tasks, t trained: above 0, with the sum n. The easier task's
        weight rises, for that lowers L.

    With one task the weight is 1.

    Parameters
    ----------
    stage : Stage
        For the losses and the weighting.
    heads : Heads
        For the classes.
    class_weights : mapping of task to torch.Tensor, optional
        float32 (K,); see `make_loss`.
    """

    def __init__(
        self,
        stage: Stage,
        heads: Heads,
        class_weights: Mapping[Task, torch.Tensor] | None = None,
    ) -> None:
        super().__init__()
        self._split = heads.split
        self._each: dict[Task, Loss] = {}
        for spec in heads.specs:
            weights = (class_weights or {}).get(spec.task)
            if spec.task == "age":
                self._each["age"] = make_loss(stage.head, spec, weights)
            else:
                self._each["gender"] = _gender_loss(weights)
        self._how = stage.weighting.name if len(self._each) > 1 else "fixed"
        alone = len(self._each) == 1
        start = [1.0 if alone else float(getattr(stage.weighting, task)) for task in self._each]
        if self._how in ("uncertainty", "softmax"):
            start = [0.0 for _ in start]
        self.trained = nn.Parameter(torch.tensor(start), requires_grad=self._how != "fixed")

    @property
    def parameters_to_train(self) -> list[nn.Parameter]:
        """What the optimiser has to move; empty with fixed weights."""
        return [self.trained] if self.trained.requires_grad else []

    def weights(self) -> torch.Tensor:
        """Return the weight of each task, float32 (tasks,)."""
        if self._how == "uncertainty":
            return torch.exp(-self.trained)
        if self._how == "softmax":
            return len(self._each) * self.trained.softmax(0)
        return self.trained

    def named_weights(self) -> dict[str, float]:
        """Return the weights by task; empty where there is nothing to weigh."""
        if len(self._each) == 1:
            return {}
        values = self.weights().tolist()
        return {f"weight_{task}": value for task, value in zip(self._each, values, strict=True)}

    def each(
        self, outputs: torch.Tensor, targets: Mapping[Task, Targets]
    ) -> dict[Task, torch.Tensor]:
        """Return each task's mean loss, unweighted."""
        parts = self._split(outputs)
        return {task: loss(parts[task], targets[task]) for task, loss in self._each.items()}

    def forward(self, outputs: torch.Tensor, targets: Mapping[Task, Targets]) -> torch.Tensor:
        """Return what training lowers, of raw outputs float32 (n, outputs)."""
        losses = torch.stack(list(self.each(outputs, targets).values()))
        total = (self.weights() * losses).sum()
        return total + self.trained.sum() / 2 if self._how == "uncertainty" else total

    def to_judge(self, outputs: torch.Tensor, targets: Mapping[Task, Targets]) -> torch.Tensor:
        """Return the loss by which epochs are compared: trained weights must not lower it."""
        losses = torch.stack(list(self.each(outputs, targets).values()))
        return (self.trained * losses).sum() if self._how == "fixed" else losses.sum()


def _gender_loss(weights: torch.Tensor | None) -> Loss:
    def loss(outputs: torch.Tensor, targets: Targets) -> torch.Tensor:
        costs = F.cross_entropy(outputs.float(), targets.index, reduction="none")
        return (costs if weights is None else costs * weights[targets.index]).mean()

    return loss

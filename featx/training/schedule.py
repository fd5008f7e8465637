"""Optimisers and learning-rate schedules by the names that cascade files use."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.optim import lr_scheduler

if TYPE_CHECKING:
    from featx.training.config.stage import Optimiser, Schedule


def make_optimiser(
    config: Optimiser,
    body: Sequence[nn.Parameter],
    head: Sequence[nn.Parameter],
    weights: Sequence[nn.Parameter] = (),
) -> torch.optim.Optimizer:
    """Return an optimiser with a group of parameters for the body (if unlocked) and the head.

    Parameters
    ----------
    config : Optimiser
        The name and its numbers; `head_learning_rate` where the head has one of its own.
    body, head : sequence of torch.nn.Parameter
        The unlocked parameters.
    weights : sequence of torch.nn.Parameter
        Trained weights of losses: they learn as the head does, and do not decay.
    """
    rate, head_rate = config.learning_rate, config.head_learning_rate or config.learning_rate
    groups = [
        {"params": list(parameters), "lr": own}
        for parameters, own in ((body, rate), (head, head_rate))
        if parameters
    ]
    if weights:
        groups.append({"params": list(weights), "lr": head_rate, "weight_decay": 0.0})
    if config.name == "sgd":
        return torch.optim.SGD(
            groups, lr=rate, momentum=config.momentum, weight_decay=config.weight_decay
        )
    kind = torch.optim.AdamW if config.name == "adamw" else torch.optim.Adam
    return kind(groups, lr=rate, weight_decay=config.weight_decay)


class RateSchedule:
    """The learning rate over a stage: changed per epoch by plateau, per step by the others.

    Parameters
    ----------
    config : Schedule
        ``plateau`` multiplies the rates by `factor` after `patience` epochs without a lower
        validation loss; ``one-cycle`` rises for a share `warmup` of all steps and then falls
        (Smith and Topin 2018); ``cosine`` falls to 0; ``step`` multiplies by `factor` after each
        `every` optimiser steps; ``constant`` stays.
    optimiser : torch.optim.Optimizer
        Its rates are the highest of the schedule.
    steps : int
        Optimiser steps in the whole stage.
    """

    def __init__(self, config: Schedule, optimiser: torch.optim.Optimizer, steps: int) -> None:
        self._by_step: lr_scheduler.LRScheduler | None = None
        self._by_epoch: lr_scheduler.ReduceLROnPlateau | None = None
        if config.name == "plateau":
            self._by_epoch = lr_scheduler.ReduceLROnPlateau(
                optimiser,
                factor=config.factor,
                # torch waits for one bad epoch more than its argument says
                patience=max(0, config.patience - 1),
                threshold=0.0,
            )
        elif config.name == "one-cycle":
            self._by_step = lr_scheduler.OneCycleLR(
                optimiser,
                max_lr=[group["lr"] for group in optimiser.param_groups],
                total_steps=max(2, steps + 1),
                pct_start=config.warmup,
                cycle_momentum=False,
            )
        elif config.name == "step":
            assert config.every is not None
            self._by_step = lr_scheduler.StepLR(optimiser, config.every, config.factor)
        elif config.name == "cosine":
            self._by_step = lr_scheduler.CosineAnnealingLR(optimiser, T_max=max(1, steps))

    def after_step(self) -> None:
        """Move on by one optimiser step."""
        if self._by_step is not None:
            self._by_step.step()

    def after_epoch(self, validation_loss: float | None) -> None:
        """Move on by one epoch."""
        if self._by_epoch is not None and validation_loss is not None:
            self._by_epoch.step(validation_loss)

    def state_dict(self) -> dict[str, Any]:
        """Return what `load_state_dict` restores."""
        scheduler = self._by_step or self._by_epoch
        return {} if scheduler is None else _plain(scheduler.state_dict())

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up a former state."""
        scheduler = self._by_step or self._by_epoch
        if scheduler is not None:
            scheduler.load_state_dict(state)


def _plain(state: dict[str, Any]) -> dict[str, Any]:
    """Leave out what is no plain data: functions, which the constructor has made again."""
    return {key: value for key, value in state.items() if not callable(value)}

"""Training steps: forward, loss and backward, and the optimiser behind each group of batches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from featx.backbones import Preprocessing
from featx.devices import exact_arithmetic
from featx.heads import Heads, Task
from featx.precision import casting
from featx.training.images.augmentation import Augment
from featx.training.images.order import Epoch, epoch_batches, share
from featx.training.processes import Processes
from featx.training.schedule import RateSchedule, make_optimiser
from featx.training.task_losses import TaskLosses
from featx.training.unlocking import training_mode
from featx.training.validation import Images
from featx.views import Normalise

if TYPE_CHECKING:
    from featx.training.config.stage import Stage


class Steps:
    """Changes a network's unlocked parameters, a batch at a time.

    Parameters
    ----------
    network : torch.nn.Module
        With its head attached and its parameters locked or unlocked; it is moved to the device.
    heads : Heads
        The network's.
    preprocessing : Preprocessing
        Of its input.
    stage : Stage
        How to train.
    images : Images
        What on.
    processes : Processes
        Those that train together.
    seed : int
        Decides order, augmentation and dropout, with the epoch and the step.
    class_weights : mapping of task to torch.Tensor, optional
        float32, shape (classes,).

    Attributes
    ----------
    network, heads, stage, images, processes
        As given.
    losses : TaskLosses
        What is made small.
    normalise : Normalise
        Makes the network's input of pixels.
    """

    def __init__(
        self,
        network: nn.Module,
        heads: Heads,
        preprocessing: Preprocessing,
        stage: Stage,
        *,
        images: Images,
        processes: Processes,
        seed: int,
        class_weights: Mapping[Task, torch.Tensor] | None = None,
    ) -> None:
        device = processes.device
        self.network = network.to(
            device=device,
            memory_format=torch.channels_last,  # type: ignore[call-overload]
        )
        self.heads, self.stage, self.images, self.processes = heads, stage, images, processes
        self._seed = seed
        self.normalise = Normalise(preprocessing, device)
        self._augment = Augment(stage.augmentation, seed, preprocessing.input_size)
        weights = {task: each.to(device) for task, each in (class_weights or {}).items()}
        self.losses = TaskLosses(stage, heads, weights).to(device)
        own = {id(parameter) for parameter in heads.parameters()}
        self._unlocked = [p for p in network.parameters() if p.requires_grad]
        self._optimiser = make_optimiser(
            stage.optimiser,
            [p for p in self._unlocked if id(p) not in own],
            [p for p in self._unlocked if id(p) in own],
            self.losses.parameters_to_train,
        )
        an_epoch = -(-len(self.epoch(0)) // stage.accumulate)
        self._schedule = RateSchedule(stage.schedule, self._optimiser, stage.epochs * an_epoch)
        self._scaler = torch.amp.GradScaler(device.type, enabled=stage.precision == "fp16")
        self._spread = processes.spread(network)
        # batches have two sizes at most: each is compiled for itself, which is the fastest
        self._fast = torch.compile(self._spread, dynamic=False) if stage.compile else self._spread

    def epoch(self, number: int) -> Epoch:
        """Return the batches of an epoch."""
        processes = self.processes
        batches = epoch_batches(
            len(self.images),
            self.stage.batch_size * processes.count,
            seed=self._seed,
            epoch=number,
            processes=processes.count,
        )
        own = [share(batch, processes.rank, processes.count) for batch in batches]
        return Epoch(number, batches, own)

    def begin_epoch(self) -> None:
        """Set the network to training: what is unlocked of it."""
        training_mode(self._spread)

    def one(self, epoch: Epoch, step: int, pixels: torch.Tensor) -> torch.Tensor:
        """Take a step, and return the mean loss of this process's images.

        Parameters
        ----------
        epoch : Epoch
            Which the step belongs to.
        step : int
            Which of its batches.
        pixels : torch.Tensor
            Of this process's images of the batch, as `PixelStore.batches` gives them.

        Returns
        -------
        torch.Tensor
            A scalar on the device.
        """
        stage, processes = self.stage, self.processes
        mine = epoch.own[step]
        # dropout draws from here; so no state of random numbers needs to be kept
        torch.manual_seed(_seed_of(self._seed, epoch.number, step, processes.rank))
        first = step // stage.accumulate * stage.accumulate
        in_group = min(stage.accumulate, len(epoch) - first)
        pixels = pixels.to(processes.device, non_blocking=True)
        images = self.normalise(self._augment(pixels, self.images.rows[mine], epoch.number))
        with exact_arithmetic(), casting(processes.device, stage.precision):
            given = self._fast(images)
        loss = self.losses(given.float(), self.images.targets(mine, processes.device))
        # processes average their gradients, so that unequal parts have to be weighed
        weight = len(mine) * processes.count / len(epoch.batches[step]) / in_group
        with exact_arithmetic():
            self._scaler.scale(loss * weight).backward()
        if step + 1 == first + in_group:
            self._optimise()
        return loss.detach()

    def _optimise(self) -> None:
        for trained in self.losses.parameters_to_train:
            self.processes.average(trained.grad)
        if self.stage.clip_norm:
            self._scaler.unscale_(self._optimiser)
            nn.utils.clip_grad_norm_(self._unlocked, self.stage.clip_norm)
        self._scaler.step(self._optimiser)
        self._scaler.update()
        self._optimiser.zero_grad(set_to_none=True)
        self._schedule.after_step()

    def end_epoch(self, validation_loss: float | None) -> None:
        """Tell the schedule that an epoch is over."""
        self._schedule.after_epoch(validation_loss)

    @property
    def learning_rate(self) -> float:
        """The first group's, at this moment."""
        rate: float = self._optimiser.param_groups[0]["lr"]
        return rate

    def state_dict(self) -> dict[str, Any]:
        """Return what a later process needs to take the next step as this one would."""
        return {name: part.state_dict() for name, part in self._parts.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` returned; other names in it are let be."""
        for name, part in self._parts.items():
            part.load_state_dict(state[name])

    @property
    def _parts(self) -> dict[str, Any]:
        return {
            "network": self.network,
            "losses": self.losses,
            "optimiser": self._optimiser,
            "schedule": self._schedule,
            "scaler": self._scaler,
        }


def _seed_of(*numbers: int) -> int:
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])

"""One stage's training: epochs, validation, and taking up where it was stopped.

Data order, augmentation and dropout are functions of the seed, the epoch and the step, so the
weights after a resumed stage equal those of an undisturbed one bit by bit on the same device.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from featx.errors import FeatxError
from featx.training.images.order import Epoch
from featx.training.state import check_state, load_state, save_state
from featx.training.steps import Steps
from featx.training.stopping import Request, asked, interrupted
from featx.training.validation import Images, Scores, validate

#: Seconds between two states.
SAVE_EVERY = 300.0

#: Steps between two looks at the losses on a GPU, for each look waits for it.
LOOK_EVERY = 20


class StageTraining:
    """Trains a network's unlocked parameters on one stage.

    Parameters
    ----------
    steps : Steps
        The network, what changes it, and how.
    validation : Images
        What the network is judged by; None where the stage has none.
    state_file : Path, optional
        Where the unfinished stage is kept; without it, it is not.
    key : str
        What the stage is computed from; a state with another key, or of another number of
        processes, is refused.
    on_epoch : callable, optional
        Called in the first process with the history's new row.
    on_images : callable, optional
        Called in the first process with the number of images that each step has used.
    save_every : float
        Seconds.

    Raises
    ------
    FeatxError
        From `fit`: if a loss is not finite (step and images are named), a state cannot be written,
        or an image cannot be read.
    Interrupted
        From `fit`, once the state is saved: if a signal asks this process or another of those that
        train together to stop (see `featx.training.stopping`).
    """

    def __init__(
        self,
        steps: Steps,
        *,
        validation: Images | None,
        state_file: Path | None = None,
        key: str = "",
        on_epoch: Callable[[dict[str, float]], None] | None = None,
        on_images: Callable[[int], None] | None = None,
        save_every: float = SAVE_EVERY,
    ) -> None:
        self._steps, self._stage, self._processes = steps, steps.stage, steps.processes
        self._validation = validation
        self._state_file, self._key = state_file, key
        self._on_epoch = on_epoch or (lambda row: None)
        self._on_images = on_images or (lambda n: None)
        self._save_every = save_every
        self.history: list[dict[str, float]] = []
        self._epoch, self._step, self._sums = 0, 0, [0.0, 0.0]
        self._best: dict[str, Any] = {}

    def fit(self) -> None:
        """Train to the end, from where a former state left off, and leave the kept weights in."""
        self._resume()
        self._saved = time.monotonic()
        while self._goes_on():
            start = time.monotonic()
            self._train_epoch()
            scores = self._validate()
            if scores and not np.isfinite(scores.loss):
                raise FeatxError(
                    f"stage {self._stage.name}: the validation loss is {scores.loss} after epoch "
                    f"{self._epoch + 1}; lower optimiser.learning_rate or set clip_norm"
                )
            row = self._row(scores, time.monotonic() - start)
            self._steps.end_epoch(scores.loss if scores else None)
            self.history.append(row)
            self._keep(scores)
            self._epoch, self._step, self._sums = self._epoch + 1, 0, [0.0, 0.0]
            self._save_if_due()
            if self._processes.first:
                self._on_epoch(row)
            request = self._request()
            if request and self._goes_on():
                self._stop(request, f"epoch {self._epoch}")
        if self._stage.keep == "best" and self._best:
            self._steps.network.load_state_dict(self._best["network"])
        self._steps.network.eval()

    # ------------------------------------------------------------------ one epoch

    def _train_epoch(self) -> None:
        self._steps.begin_epoch()
        processes, images = self._processes, self._steps.images
        epoch = self._steps.epoch(self._epoch)
        todo = range(self._step, len(epoch))
        losses: list[tuple[int, torch.Tensor]] = []
        ahead = images.store.batches([images.rows[epoch.own[step]] for step in todo])
        for step, pixels in zip(todo, ahead, strict=True):
            losses.append((step, self._steps.one(epoch, step, pixels)))
            last = step + 1 == len(epoch)
            if processes.device.type == "cpu" or len(losses) >= LOOK_EVERY or last:
                self._look(losses, epoch)
                losses.clear()
            self._step = step + 1
            if processes.first:
                self._on_images(len(epoch.batches[step]))
            # after the last step each process has batch statistics of its own to validate with
            if self._step % self._stage.accumulate or last:
                continue
            request = self._request()
            if request:
                self._look(losses, epoch)
                self._stop(request, f"step {self._step} of epoch {self._epoch + 1}")
            if not losses:
                self._save_if_due()

    def _look(self, losses: list[tuple[int, torch.Tensor]], epoch: Epoch) -> None:
        """Add up the losses, and stop at the first that is not finite."""
        for step, loss in losses:
            value = float(loss)
            if not np.isfinite(value):
                names = [self._steps.images.names[row] for row in epoch.own[step]]
                raise FeatxError(
                    f"stage {self._stage.name}: the loss is {value} at step {step + 1} of epoch "
                    f"{self._epoch + 1}, on the images {', '.join(names)}; lower "
                    "optimiser.learning_rate, set clip_norm, or look at these images"
                )
            self._sums[0] += value * len(epoch.own[step])
            self._sums[1] += len(epoch.own[step])

    def _validate(self) -> Scores | None:
        if self._validation is None:
            return None
        return validate(
            self._steps.network,
            self._steps.heads,
            self._steps.losses,
            self._steps.normalise,
            self._validation,
            self._processes,
            self._stage.precision,
        )

    def _row(self, scores: Scores | None, seconds: float) -> dict[str, float]:
        sums = torch.tensor(self._sums, dtype=torch.float64, device=self._processes.device)
        loss_sum, count = self._processes.total(sums).tolist()
        row = {"epoch": self._epoch + 1, "train_loss": loss_sum / count}
        if scores:
            row |= {"validation_loss": scores.loss, **scores.measures}
        row |= self._steps.losses.named_weights()
        return row | {"learning_rate": self._steps.learning_rate, "seconds": seconds}

    def _keep(self, scores: Scores | None) -> None:
        if scores is None or self._stage.keep != "best":
            return
        if not self._best or scores.loss < self._best["loss"]:
            state = self._steps.network.state_dict()
            copied = {name: tensor.detach().cpu().clone() for name, tensor in state.items()}
            self._best = {"loss": scores.loss, "epoch": self._epoch, "network": copied}

    def _goes_on(self) -> bool:
        return self._epoch < self._stage.epochs and not self._stopped_early()

    def _stopped_early(self) -> bool:
        patience = self._stage.early_stopping
        if not patience or not self.history:
            return False
        losses = [row["validation_loss"] for row in self.history]
        return len(losses) - 1 - int(np.argmin(losses)) >= patience

    # ------------------------------------------------------------------ state

    def _request(self) -> Request:
        """Return what any of the processes has been asked, the same in all after the same step."""
        return Request(self._processes.highest(asked()))

    def _stop(self, request: Request, last: str) -> None:
        self._save()
        self._processes.wait()  # where one has ended, torchrun ends the others
        raise interrupted(request, f" after {last} of stage {self._stage.name}, the state is saved")

    def _save_if_due(self) -> None:
        if time.monotonic() - self._saved >= self._save_every:
            self._save()

    def _save(self) -> None:
        if self._state_file is None or not self._processes.first:
            return
        save_state(
            self._state_file,
            {
                "key": self._key,
                "processes": self._processes.count,
                "epoch": self._epoch,
                "step": self._step,
                "sums": self._sums,
                "history": self.history,
                "best": self._best,
                **self._steps.state_dict(),
            },
        )
        self._saved = time.monotonic()

    def _resume(self) -> None:
        state = load_state(self._state_file, self._processes) if self._state_file else None
        if state is None:
            return
        assert self._state_file is not None
        check_state(state, self._state_file, self._key, self._processes.count)
        self._epoch, self._step, self._sums = state["epoch"], state["step"], state["sums"]
        self.history, self._best = state["history"], state["best"]
        self._steps.load_state_dict(state)
        epoch = self._steps.epoch(self._epoch)
        done = sum(len(batch) for batch in epoch.batches[: self._step])
        if self._processes.first:
            self._on_images(self._epoch * len(self._steps.images) + done)

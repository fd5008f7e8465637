"""The processes that train one network together (DistributedDataParallel), or the one alone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.distributed
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from featx.devices import resolve_device

T = TypeVar("T")


@dataclass(frozen=True)
class Processes:
    """This process among those that train together.

    Attributes
    ----------
    rank, count : int
        Its number, from 0, and how many there are.
    device : torch.device
        Where it calculates.
    local : int
        How many processes share this machine's memory, those of other folds counted.
    """

    rank: int
    count: int
    device: torch.device
    local: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the process that writes files."""
        return self.rank == 0

    def spread(self, network: nn.Module) -> nn.Module:
        """Wrap a network so that gradients are averaged over the processes.

        On GPUs batch normalisation takes its statistics over all processes (SyncBatchNorm).
        """
        if self.count == 1:
            return network
        if self.device.type == "cuda":
            network = nn.SyncBatchNorm.convert_sync_batchnorm(network)
        index = [self.device.index] if self.device.type == "cuda" else None
        # static: a network may have parameters that its forward pass never reaches
        return DistributedDataParallel(network, device_ids=index, static_graph=True)

    def total(self, values: torch.Tensor) -> torch.Tensor:
        """Return the sum of a tensor over all processes."""
        if self.count > 1:
            torch.distributed.all_reduce(values)
        return values

    def average(self, values: torch.Tensor | None) -> None:
        """Replace a tensor by its mean over all processes."""
        if self.count > 1 and values is not None:
            self.total(values)
            values /= self.count

    def highest(self, value: int) -> int:
        """Return the greatest of the processes' numbers; no GPU is waited for."""
        if self.count == 1:
            return value
        values = torch.tensor([value])
        torch.distributed.all_reduce(values, torch.distributed.ReduceOp.MAX)
        return int(values)

    def hand_out(self, value: T) -> T:
        """Return the first process's value to all; what the others give is not looked at."""
        if self.count == 1:
            return value
        values = [value]
        torch.distributed.broadcast_object_list(values, device=torch.device("cpu"))
        return values[0]

    def wait(self) -> None:
        """Wait until every process is here."""
        if self.count > 1:
            torch.distributed.barrier()


@contextmanager
def join_processes(device: str = "auto") -> Iterator[Processes]:
    """Join the processes that ``torchrun`` started; without it, this one is alone.

    Parameters
    ----------
    device : str
        As `resolve_device`; ``auto`` and ``cuda`` give each process on a machine its own GPU.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        yield Processes(0, 1, resolve_device(device))
        return
    where = resolve_device(device)
    if where.type == "cuda":
        where = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(where)
    # what is agreed on between steps stays on the CPU, where no GPU has to be waited for
    torch.distributed.init_process_group("cpu:gloo,cuda:nccl" if where.type == "cuda" else "gloo")
    try:
        local = int(os.environ.get("LOCAL_WORLD_SIZE", count))
        yield Processes(torch.distributed.get_rank(), count, where, local)
    finally:
        torch.distributed.destroy_process_group()

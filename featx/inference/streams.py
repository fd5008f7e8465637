"""Several batches at a time: of a small network, or beside what the caller does with the last one.

A small network's operations are too short for all cores to share each of them: the cores wait for
one another, above all where some of them decode images beside it. Batches, each with a part of the
cores, need not wait. And a GPU need not wait while features are written.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from typing import TypeVar

import torch
from torch.utils.flop_counter import FlopCounterMode

from featx.layers import LayerReader

Given = TypeVar("Given")
Found = TypeVar("Found")

#: Operations an image up to which a network is small; MobileFaceNet has 4.4e8, ResNet-18 3.6e9.
SMALL = 1e9

#: Most streams, for each holds the maps of a batch.
MOST = 8


def count_streams(reader: LayerReader, images: torch.Tensor, threads: int) -> int:
    """Return in how many streams a CPU with some threads best computes the batches of a network.

    Parameters
    ----------
    reader : LayerReader
        Of the network and its layers.
    images : torch.Tensor
        One image as the network takes it.
    threads : int
        That may be used in all.
    """
    if threads == 1:
        return 1
    # in inference mode, in which the caller may be, torch 2.5 counts nothing
    counter = FlopCounterMode(display=False)
    with torch.inference_mode(mode=False), torch.no_grad(), counter:
        reader(images)
    if counter.get_total_flops() > SMALL * len(images):
        return 1
    return threads // -(-threads // MOST)


def in_streams(
    functions: list[Callable[[Given], Found]], given: Iterable[Given], *, ahead: bool = False
) -> Generator[tuple[Given, Found]]:
    """Yield what functions that do the same make of each thing, in its order.

    Parameters
    ----------
    functions : list of callable
        One a stream, which is the only one to call it. Torch's threads of this process are shared
        among them; a single one keeps them all.
    given : iterable
        What they are given; not more of it is taken than they work on, and one.
    ahead : bool
        Whether a single function, too, is to work while the caller is busy with what came of it:
        on another device than the caller's. It is called in this thread otherwise.
    """
    if len(functions) == 1 and not ahead:
        for each in given:
            yield each, functions[0](each)
        return
    threads = torch.get_num_threads()
    free: SimpleQueue[Callable[[Given], Found]] = SimpleQueue()
    for function in functions:
        free.put(function)

    def apply(each: Given) -> Found:
        function = free.get()
        try:
            return function(each)
        finally:
            free.put(function)

    pending: deque[tuple[Given, Future[Found]]] = deque()
    share = max(1, threads // len(functions))
    pool = ThreadPoolExecutor(
        len(functions), "featx-stream", initializer=torch.set_num_threads, initargs=(share,)
    )
    try:
        for each in given:
            pending.append((each, pool.submit(apply, each)))
            if len(pending) > len(functions):
                first, found = pending.popleft()
                yield first, found.result()
        while pending:
            first, found = pending.popleft()
            yield first, found.result()
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(threads)  # the pool's threads have set it for later ones

"""Progress of long work: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm

#: Between two plain lines at least this many seconds pass.
LINE_INTERVAL = 10.0


@contextmanager
def tracking(
    what: str, total: int, unit: str, done: int = 0, *, lines: bool = False
) -> Iterator[Callable[[int], None]]:
    """Show how far some work has come; yields a function that is called with each advance.

    Parameters
    ----------
    what : str
        What is being done, for example ``"gap exact-kernel"``.
    total : int
        How many units make the whole.
    unit : str
        What is counted, for example ``"fold"``.
    done : int
        Units that an earlier run had finished.
    lines : bool
        Plain lines on a terminal too, as where several processes share it.
    """
    if sys.stderr.isatty() and not lines:
        with tqdm(total=total, initial=done, unit=unit, desc=what, dynamic_ncols=True) as bar:
            yield bar.update
        return
    start = last = time.monotonic()
    count = done

    def advance(n: int = 1) -> None:
        nonlocal count, last
        count += n
        now = time.monotonic()
        if count >= total or now - last >= LINE_INTERVAL:
            last = now
            rate = (count - done) / max(now - start, 1e-9)
            print(
                f"{what}: {count} of {total} {unit}s, {rate:.3g} a second",
                file=sys.stderr,
                flush=True,
            )

    yield advance

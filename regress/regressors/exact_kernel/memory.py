"""The memory rule: what a fit will take, known before anything is computed."""

from __future__ import annotations

import os
from pathlib import Path

from regress.regressors.exact_kernel.kernels import BLOCK_BYTES

#: Share of the machine's available memory that is used where `max_memory` is None.
SHARE = 0.8

#: n × n float64 matrices alive at the peak: the inner products, the kernel that becomes its
#: eigenvectors, and LAPACK's divide-and-conquer workspace of two.
DUAL_COPIES = 4

#: n × units float64 matrices alive at the peak in the primal: the rotated rows, their whitened
#: copy, and one for blocks in passing.
PRIMAL_COPIES = 3


def required_bytes(images: int, units: int, linear_only: bool = False) -> int:
    """Return the bytes of working memory that an exact fit takes, X itself not counted.

    ``4 · 8 · n²`` in the dual; ``8 · (3 n p + 4 p²)`` in the primal, where p < n and the linear
    kernel is the only one; and a few working blocks. 20,000 images take 12.1 GiB in the dual.

    Parameters
    ----------
    images, units : int
        n and p, the shape of X.
    linear_only : bool
        Whether ``linear`` is the only kernel in the grid.
    """
    passing = 4 * BLOCK_BYTES
    primal = 8 * (PRIMAL_COPIES * images * units + 4 * units**2)
    dual = 8 * DUAL_COPIES * images**2
    if units >= images:
        return dual + passing
    return (primal if linear_only else max(dual, primal + 8 * images**2)) + passing


def available_bytes() -> int:
    """Return the bytes this process may still take: the machine's, or its control group's."""
    bounds = []
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        bounds += [1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvail")]
    except (OSError, ValueError, IndexError):
        pass
    try:  # control group, version 2: what a container or a Slurm job is given
        group = Path("/sys/fs/cgroup")
        limit = int((group / "memory.max").read_text(encoding="ascii"))
        bounds.append(limit - int((group / "memory.current").read_text(encoding="ascii")))
    except (OSError, ValueError):
        pass
    if not bounds:  # not Linux: half of what is built in
        bounds.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2)
    return max(0, min(bounds))

"""The memory rule: what a fit will take, known before anything is computed."""

from __future__ import annotations

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

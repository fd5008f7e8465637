"""The memory rule: what a fit will take, known before anything is computed."""

from __future__ import annotations

from math import isqrt
from numbers import Integral

from featx.errors import FeatxError
from regress.regressors.exact_kernel.kernels import BLOCK_BYTES
from regress.regressors.exact_kernel.targets import OLDEST

#: Share of the machine's available memory that is used where `max_memory` is None.
SHARE = 0.8

#: n × n float64 matrices alive at the peak: the inner products, the kernel that becomes its
#: eigenvectors, and LAPACK's divide-and-conquer workspace of two.
DUAL_COPIES = 4

#: n × units float64 matrices alive at the peak in the primal: the rotated rows, their whitened
#: copy, and one for blocks in passing.
PRIMAL_COPIES = 3

#: n × landmarks float64 matrices alive at the peak of the Nyström form: the inner products, the
#: features, and these rotated.
NYSTROM_COPIES = 3

#: Most landmarks that ``landmarks="auto"`` takes: time grows with n m², the error falls slowly.
MOST_LANDMARKS = 4096

#: Columns of targets alive at the peak, float64 for each image: as they are, less their means,
#: their dual coefficients, whitened, and one in passing; of all years that there can be.
TARGET_COLUMNS = 5 * (OLDEST + 1)

#: Bytes of the blocks in passing.
PASSING = 4 * BLOCK_BYTES


def required_bytes(images: int, units: int, linear_only: bool = False) -> int:
    """Return the bytes of working memory that an exact fit takes, X itself not counted.

    ``4 · 8 · n²`` in the dual; ``8 · (3 n p + 4 p²)`` in the primal, where p < n and the linear
    kernel is the only one; 5 kB an image for the targets, and a few working blocks. 20,000
    images take 12.3 GiB in the dual.

    Parameters
    ----------
    images, units : int
        n and p, the shape of X.
    linear_only : bool
        Whether ``linear`` is the only kernel in the grid.
    """
    primal = 8 * (PRIMAL_COPIES * images * units + 4 * units**2)
    dual = 8 * DUAL_COPIES * images**2
    fixed = 8 * TARGET_COLUMNS * images + PASSING
    if units >= images:
        return dual + fixed
    return (primal if linear_only else max(dual, primal + 8 * images**2)) + fixed


def nystrom_bytes(images: int, units: int, landmarks: int, largest: int = 1) -> int:
    """Return the bytes of working memory that a fit through landmarks takes, X not counted.

    ``8 · (3 n m + 4 m² + m p + 4 g²)``, 5 kB an image and a few working blocks; 23,707 images of
    512 units with 4,096 landmarks take 3.0 GiB.

    Parameters
    ----------
    images, units : int
        n and p, the shape of X.
    landmarks : int
        m.
    largest : int
        g, the rows of the largest group.
    """
    many = (NYSTROM_COPIES * landmarks + TARGET_COLUMNS) * images + 4 * landmarks**2
    return 8 * (many + landmarks * units + 4 * largest**2) + PASSING


def most_landmarks(images: int, units: int, allowed: float, largest: int = 1) -> int:
    """Return for how many landmarks `nystrom_bytes` stays within `allowed`, 0 if for none."""
    linear = NYSTROM_COPIES * images + units  # 4 m² + linear · m <= left
    left = (int(allowed) - PASSING) // 8 - 4 * largest**2 - TARGET_COLUMNS * images
    found = (isqrt(linear**2 + 16 * left) - linear) // 8 if left > 0 else 0
    return min(found, images, MOST_LANDMARKS)


def pick_landmarks(
    landmarks: int | str | None,
    images: int,
    units: int,
    allowed: float,
    *,
    linear_only: bool = False,
    largest: int = 1,
) -> int | None:
    """Return how many landmarks a fit takes, None where it is exact.

    Parameters
    ----------
    landmarks : int, "auto" or None
        How many, or "auto": none if the exact form fits, else as many as fit.
    images, units, linear_only, largest
        As for `required_bytes` and `nystrom_bytes`.
    allowed : float
        Bytes that may be taken.

    Raises
    ------
    FeatxError
        If that does not fit, or `landmarks` is something else.
    """
    advice = "use fewer images"
    if landmarks is None or landmarks == "auto":
        needed = required_bytes(images, units, linear_only=linear_only)
        if needed <= allowed:
            return None
        if landmarks == "auto":
            found = most_landmarks(images, units, allowed, largest)
            if found:
                return found
        else:
            advice += ", or landmarks=2048, which approximates"
        if not linear_only:
            advice += ", kernels=('linear',) with fewer units than images"
    elif isinstance(landmarks, Integral) and not isinstance(landmarks, bool) and landmarks > 0:
        found = min(int(landmarks), images)
        needed = nystrom_bytes(images, units, found, largest)
        if needed <= allowed:
            return found
        advice = "use fewer landmarks"
    else:
        raise FeatxError(f"landmarks is {landmarks!r}; give a positive number, 'auto' or None")
    raise FeatxError(
        f"exact-kernel needs {needed:,} bytes for {images:,} images of {units:,} units and may "
        f"take {int(allowed):,}: {advice} or a machine with more memory, or raise max_memory"
    )

"""Everything in a features file, by another reader than featx's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np


def contents(path: Path) -> dict[str, Any]:
    """Return all that h5py tells of a file: types, chunks, filters, attributes, scales, values."""
    found: dict[str, Any] = {}
    with h5py.File(path) as file:

        def plain(name: str, value: Any) -> Any:
            if name == "DIMENSION_LIST":
                return [[file[reference].name for reference in each] for each in value]
            if name == "REFERENCE_LIST":
                return [(file[reference].name, int(axis)) for reference, axis in value]
            return (type(value), value.tolist() if isinstance(value, np.ndarray) else value)

        def attributes(owner: Any) -> dict[str, Any]:
            return {name: plain(name, value) for name, value in owner.attrs.items()}

        def visit(name: str, variable: h5py.Dataset) -> None:
            values = variable[:]
            text = variable.dtype.kind == "O"
            found[name] = {
                "dtype": (variable.dtype, h5py.check_string_dtype(variable.dtype)),
                "chunks": variable.chunks,
                "filters": (variable.compression, variable.compression_opts, variable.shuffle),
                "fill": variable.fillvalue,
                "values": values.tolist() if text else (values.shape, values.tobytes()),
                "attributes": attributes(variable),
            }

        file.visititems(visit)
        found["/"] = attributes(file)
    return found

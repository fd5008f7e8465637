"""Tries one library, named on the command line; prints ``detail``, or ``problem``, as JSON."""

from __future__ import annotations

import json
import sys

from featx.doctor.probes import problem_of


def opencv() -> str:
    """Load the cascade of `featx.faces.haar`."""
    import cv2

    from featx.faces.haar import CASCADE, HaarDetector

    HaarDetector()
    return f"OpenCV {cv2.__version__} loads {CASCADE}"


def dlib() -> str:
    """Load dlib and the models of `featx.faces.dlib_detectors`."""
    import dlib

    from featx.faces.dlib_detectors import DlibDetector

    DlibDetector(cnn=False)
    return f"dlib {dlib.__version__} loads its models"


def parquet() -> str:
    """Load what `featx export` writes Parquet with."""
    import pyarrow
    import pyarrow.parquet

    return f"pyarrow {pyarrow.__version__} writes Parquet"


def hdf5() -> str:
    """Load HDF5."""
    import h5py

    if not h5py.h5z.filter_avail(h5py.h5z.FILTER_DEFLATE):
        raise RuntimeError("this HDF5 is built without gzip")
    return f"HDF5 {h5py.version.hdf5_version}, h5py {h5py.__version__}"


if __name__ == "__main__":
    tries = {"opencv": opencv, "dlib": dlib, "parquet": parquet, "hdf5": hdf5}
    try:
        told = {"detail": tries[sys.argv[1]]()}
    except Exception as error:
        told = {"problem": problem_of(error)}
    print("\n" + json.dumps(told))

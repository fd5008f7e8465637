"""The features file: one row an image, one variable a layer, readable without this package.

HDF5 in the netCDF-4 data model, so that xarray, netCDF4, h5py, R (rhdf5), MATLAB and Octave
open it. `schema` says what is in the file and `reader` reads it, on what the other modules here
know of HDF5, netCDF and compression; `writing` makes such files, `tools` does all else with them.
"""

from __future__ import annotations

from featx.store.reader import FeaturesFile
from featx.store.schema import FORMAT, IMAGE_COLUMNS, Layer, config_hash
from featx.store.writing.writer import FeaturesWriter

__all__ = ["FORMAT", "IMAGE_COLUMNS", "FeaturesFile", "FeaturesWriter", "Layer", "config_hash"]

"""The features file: one row an image, one variable a layer, readable without this package.

HDF5 in the netCDF-4 data model, so that xarray, netCDF4, h5py, R (rhdf5), MATLAB and Octave
open it. The modules: `schema` says what is in the file, `writer` writes and resumes it, `reader`
reads it, `inspection` describes it in words, `merging` joins shards of it,
`verification` tells what is wrong with it, `repairing` saves what is left of it, `exporting` writes
it in other forms, `difference` sets two of them side by side.
"""

from __future__ import annotations

from featx.store.reader import FeaturesFile
from featx.store.schema import FORMAT, IMAGE_COLUMNS, Layer, config_hash
from featx.store.writer import FeaturesWriter

__all__ = ["FORMAT", "IMAGE_COLUMNS", "FeaturesFile", "FeaturesWriter", "Layer", "config_hash"]

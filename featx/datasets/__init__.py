"""Readers of image collections: a function each, from a path to an image table."""

from featx.datasets._registry import dataset_names, read_dataset, register_reader
from featx.datasets.csv import read_csv
from featx.datasets.fgnet import read_fgnet
from featx.datasets.utkface import read_utkface

__all__ = [
    "dataset_names",
    "read_csv",
    "read_dataset",
    "read_fgnet",
    "read_utkface",
    "register_reader",
]

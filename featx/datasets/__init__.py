"""Readers of image collections: a function each, from a path to an image table."""

from featx.datasets._registry import cleaning_rules, dataset_names, read_dataset, register_reader
from featx.datasets.adience import read_adience
from featx.datasets.afad import read_afad
from featx.datasets.agedb import read_agedb
from featx.datasets.all_age_faces import read_all_age_faces
from featx.datasets.appa_real import read_appa_real, read_appa_real_apparent
from featx.datasets.cacd import read_cacd
from featx.datasets.csv import read_csv
from featx.datasets.fgnet import read_fgnet
from featx.datasets.folder import read_folder
from featx.datasets.imdb_wiki import read_imdb_wiki
from featx.datasets.utkface import read_utkface

__all__ = [
    "cleaning_rules",
    "dataset_names",
    "read_adience",
    "read_afad",
    "read_agedb",
    "read_all_age_faces",
    "read_appa_real",
    "read_appa_real_apparent",
    "read_cacd",
    "read_csv",
    "read_dataset",
    "read_fgnet",
    "read_folder",
    "read_imdb_wiki",
    "read_utkface",
    "register_reader",
]

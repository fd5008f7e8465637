"""A features file of each version of the format that was ever released still opens.

`versions/format-N.h5` was written when N was new, and is never written again; beside it lies what
`featx export` made of it then. Made by

    featx extract made/images.csv -b onet -w mtcnn -l gap -l embedding --mirror -o format-1.h5
    featx export format-1.h5 -o format-1.csv

of 15 images by `tests.featx.made_crops.make_table`.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from featx.store import FORMAT, FeaturesFile
from featx.store.tools.exporting import export
from featx.store.tools.inspection import describe, summarize
from featx.store.tools.verification import verify

VERSIONS = sorted((Path(__file__).parent / "versions").glob("*.h5"))


def test_the_version_that_is_written_has_its_file():
    assert f"format-{FORMAT.rpartition('/')[2]}" in [path.stem for path in VERSIONS]


@pytest.mark.parametrize("path", VERSIONS, ids=lambda path: path.stem)
def test_it_is_read_as_then(path, tmp_path):
    export(path, tmp_path / "now.csv")
    assert (tmp_path / "now.csv").read_text() == path.with_suffix(".csv").read_text()
    assert verify(path) == []
    assert path.stem.replace("format-", "featx-features/") in describe(summarize(path))
    then = pd.read_csv(path.with_suffix(".csv"))
    with FeaturesFile(path) as features:
        assert list(features.images["image"]) == list(then["image"])
        for name, layer in features.layers.items():
            units = [f"{name}_{number}" for number in range(layer.units)]
            assert np.array_equal(features.read(name), then[units].to_numpy("f4"), equal_nan=True)

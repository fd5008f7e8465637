from pathlib import Path

import pandas as pd

from regress.naming import display_names
from regress.predictions import Run


def run(folder="x", **info):
    features = {"file": info.pop("file", "f.h5"), "provenance": info.pop("provenance", {})}
    full = {"method": "gap · ridge", "protocol": "lopo", "seed": 0, "features": features, **info}
    return Run(Path(folder), full, pd.DataFrame())


def test_distinct_methods_keep_their_names():
    assert display_names([run(), run(method="gap · svr", seed=3)]) == ("gap · ridge", "gap · svr")


def test_equal_methods_are_told_apart_by_what_differs():
    assert display_names([run(), run(protocol="kfold:5")]) == (
        "gap · ridge · lopo",
        "gap · ridge · kfold:5",
    )
    assert display_names([run(file="a.h5"), run(file="b.h5")])[1] == "gap · ridge · b"
    weights = [run(provenance={"weights": w}) for w in ("x/one.pt", "two.pt")]
    assert display_names(weights) == ("gap · ridge · one", "gap · ridge · two")
    assert display_names([run(seed=1), run(seed=2)])[0] == "gap · ridge · seed 1"
    budgets = [run(parameters={"budget": b, "cv": 5}) for b in (60, 600)]
    assert display_names(budgets) == ("gap · ridge · budget=60", "gap · ridge · budget=600")


def test_the_folder_is_the_last_resort_and_others_stay_plain():
    names = display_names([run("a"), run("b"), run("c", method="other")])
    assert names == ("gap · ridge · a", "gap · ridge · b", "other")


def test_several_differences_are_all_told():
    names = display_names([run(seed=1), run(seed=2), run(seed=1, protocol="kfold:5")])
    assert len(set(names)) == 3

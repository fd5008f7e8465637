"""Comparisons of made-up runs."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from regress.compare import compare
from regress.predictions import Run

HOSTILE = '<script>alert("x")</script> $\\frac{1}{0}$ | \\ & <b>é🙂'


def make_runs(names, *, n_subjects=12, n_images=80, seed=0, changes=None):
    """Make one run a name, each a little worse than the one before."""
    rng = np.random.default_rng(seed)
    subject = np.sort(rng.integers(0, n_subjects, n_images)).astype(str)
    table = pd.DataFrame(
        {
            "image": [f"{k:04d}" for k in range(n_images)],
            "subject": subject,
            "fold": subject,
            "age": np.round(rng.gamma(2, 11, n_images)),
        }
    )
    folds = len(set(subject))
    runs = []
    for k, name in enumerate(names):
        guess = table["age"] + rng.normal(0, 2 + 1.5 * k, n_images)
        info = {
            "format": "featx-predictions/1",
            "method": name,
            "layer": "gap",
            "regressor": ("auto-sklearn", "exact-kernel")[k % 2],
            "parameters": {"time_budget": 600.0, "search_space": "fast"},
            "protocol": "lopo",
            "seed": 3,
            "split_hash": "0123456789abcdef" * 4,
            "features": {
                "file": "faces.h5",
                "layer_sha256": f"{k:x}" * 64,
                "provenance": {
                    "backbone": "mobilefacenet",
                    "weights": "w.safetensors",
                    "weights_sha256": "feedface" * 8,
                    "precision": "fp32",
                    "mirror": True,
                    "preprocessing": {"input_size": [112, 96]},
                    "prepare": {
                        "dataset": "fgnet",
                        "settings": {"detector": "mtcnn", "crop": "margin", "margin": 0.4},
                    },
                },
            },
            "counts": {
                "total": n_images + 3,
                "evaluated": n_images,
                "by_status": {"no_face": 2, "corrupt": 1, "ok": n_images},
            },
            "folds": {"planned": folds, "done": folds, "missing": []},
            "statistics": {
                "statistics.success": {"sum": 50, "min": 3, "median": 4, "max": 6},
                "kernel": {"counts": {"rbf": 10, "linear": 2}},
            },
            "versions": {"featx": "0.1.0", "numpy": "2.4.6"},
            "seconds": 12.34,
            **(changes or {}).get(name, {}),
        }
        own = table.assign(predicted_age=guess)
        own = own[~own["fold"].isin(info["folds"]["missing"])].reset_index(drop=True)
        runs.append(Run(Path(f"out/m{k}"), info, own))
    return runs


@pytest.fixture
def runs():
    """Make runs: `runs(names, **options)`."""
    return make_runs


@pytest.fixture
def hostile():
    """Return a name made to break out of everything it is written into."""
    return HOSTILE


@pytest.fixture(scope="session")
def comparison():
    return compare(make_runs(["gap · auto-sklearn", HOSTILE, "flat · ridge"]), bootstrap=300)

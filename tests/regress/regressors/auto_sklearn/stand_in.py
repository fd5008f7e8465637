"""A stand-in for auto-sklearn's environment, and a fit in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from regress.regressors.auto_sklearn import (
    environment,
)

#: Answers the environment's probe; as a worker it does BODY in the job's folder. By default it
#: "fits" a file and "predicts" the first unit.
FAKE = """#!{python}
import hashlib, json, os, signal, subprocess, sys, time
from pathlib import Path
if "-c" in sys.argv:
    print(json.dumps(["3.9.99", "0.15.0"])); sys.exit()
folder = Path(sys.argv[-1])
job = json.loads((folder / "job.json").read_text())
def answer(**result):
    (folder / "result.json").write_text(json.dumps(result))
def succeed():
    (folder / "model.pkl").write_bytes(b"model")
    answer(status="ok", leaderboard=[], statistics=job, warnings=[],
           model_sha256=hashlib.sha256(b"model").hexdigest())
def predict():
    import h5py, numpy
    with h5py.File(folder / "data.h5") as store:
        numpy.save(folder / "predictions.npy", store["X"][:, 0].astype(float))
    answer(status="ok")
{body}
"""


GOOD = "succeed() if job['task'] == 'fit' else predict()"


HANG = """
child = subprocess.Popen(["sleep", "600"])
Path(os.environ["PIDS"] + ".part").write_text("%d %d" % (os.getpid(), child.pid))
os.replace(os.environ["PIDS"] + ".part", os.environ["PIDS"])
time.sleep(600)
"""


ROOT = Path(environment.__file__).parents[3]


FIT = """
import sys, numpy as np
from regress.regressors.auto_sklearn import AutoSklearnRegressor
if __name__ == "__main__":
    X = np.random.default_rng(0).normal(size=(60, 4))
    AutoSklearnRegressor(
        time_budget=60, search_space="fast", n_jobs=int(sys.argv[2]),
        environment=sys.argv[1] or None,
    ).fit(X, X[:, 0], groups=np.repeat(np.arange(6), 10))
"""


def start_fit(folder: Path | str, n_jobs: int = 1, **variables: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", FIT, str(folder), str(n_jobs)],
        env={**os.environ, "PYTHONPATH": str(ROOT), **variables},
        # A shell's background jobs, these tests maybe, ignore Ctrl-C and so would this process.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )

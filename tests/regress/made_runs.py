"""Folders of made-up runs of any task, written as the program writes its own."""

import numpy as np
import pandas as pd

from regress.fold_pieces import write_fold
from regress.predictions import TASKS, read_run
from regress.publishing import publish, start_folder

GROUPS = ("0-12", "15-20", "25-100")


def write_run(
    folder,
    true,
    guess,
    *,
    task="age-group",
    groups=GROUPS,
    classes=None,
    probabilities=None,
    ages=None,
    images=None,
    folds=3,
    left_out=(),
    method="net",
    subjects=6,
    split="s",
    shuffle=None,
    info=(),
):
    """Write a run and read it back.

    Row k is of image ``i<k>`` and subject ``s<k modulo subjects>``, whose number gives its fold.
    Without probabilities each class has the same; folds in `left_out` are missing, and `shuffle`
    is the seed of an order of rows within each fold. In place of their number subjects' names can
    be given.
    """
    if isinstance(subjects, int):
        subjects = [f"s{subject}" for subject in range(subjects)]
    n_subjects = len(subjects)
    start_folder(folder, resume=False)
    rows = np.arange(len(true))
    kind = TASKS[task]
    names = [str(fold) for fold in range(folds)]
    if probabilities is None and kind.classes:
        probabilities = np.full((len(true), len(groups)), 1 / len(groups))
    for fold, name in enumerate(names):
        mine = rows[rows % n_subjects % folds == fold]
        if shuffle is not None:
            mine = np.random.default_rng(shuffle).permutation(mine)
        table = pd.DataFrame(
            {
                "image": [f"i{row}" if images is None else images[row] for row in mine],
                "subject": [subjects[row % n_subjects] for row in mine],
                "fold": name,
                "age": np.nan if ages is None else np.asarray(ages, float)[mine],
                kind.truth: np.asarray(true)[mine],
                kind.guess: np.asarray(guess)[mine],
            }
        )
        record = {"fold": name, "key": method, "seconds": 1.0}
        probable = None
        if probabilities is not None:
            probable = np.array(groups if classes is None else classes), probabilities[mine]
        if name not in left_out:
            write_fold(folder, table, record, probable)
    told = {
        "method": method,
        **({"task": task, "groups": list(groups)} if kind.classes else {}),
        "split_hash": split,
        "protocol": "folds",
        "counts": {"total": len(true)},
        **dict(info),
    }
    publish(folder, method, names, {}, told)
    return read_run(folder)


def draw(n, seed, right=0.6, groups=GROUPS):
    """Return true classes and guesses of which about the share `right` is right."""
    rng = np.random.default_rng(seed)
    true = rng.choice(groups, n)
    return true, np.where(rng.random(n) < right, true, rng.choice(groups, n))


def draw_probabilities(n, seed, k=3):
    """Return float32-exact probabilities, shape (n, k), the first of which are not all likely."""
    values = np.random.default_rng(seed).dirichlet(np.full(k, 0.5), n).astype(np.float32)
    return values.astype(float)

"""What a command does not need it does not import: run, then looked at, in a Python of its own."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import featx
import regress

from .regress.conftest import write_features
from .regress.made_runs import write_run

ROOT = Path(__file__).parents[1]
OF_REPORTS = {"matplotlib", "jinja2", "PIL", "regress.report", "regress.compare"}
OF_NETWORKS = {"torch", "torchvision", "timm", "yaml", "pydantic", "optuna", "cv2", "experiments"}
OF_NUMBERS = {"numpy", "pandas", "h5py", "scipy", "sklearn", "joblib", "threadpoolctl"}
REGRESSORS = {
    f"regress.regressors.{name}"
    for name in ("auto_sklearn", "baselines", "exact_kernel", "softmax")
}


def imported(*arguments):
    """Run a command to its good end; return the names of all that it imported."""
    code = (
        "import json, sys\n"
        "from cli.main import group\n"
        f"group.main({[str(each) for each in arguments]!r}, standalone_mode=False)\n"
        "print('\\n' + json.dumps(sorted(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_the_packages_import_nothing_until_a_name_is_used():
    code = (
        "import sys, featx, regress\n"
        "assert 'prepare' in dir(featx) and 'compare_runs' in dir(regress)\n"
        "print(*sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True
    )
    found = set(done.stdout.split())
    assert not {name.partition(".")[0] for name in found} & (OF_NUMBERS | OF_NETWORKS)
    assert {name for name in found if name.startswith(("featx.", "regress."))} == set()


@pytest.mark.parametrize("package", [featx, regress])
def test_every_short_name_is_there(package):
    assert all(callable(getattr(package, name)) for name in package.__all__)
    with pytest.raises(AttributeError, match=f"'{package.__name__}' has no attribute 'prepar'"):
        package.prepar  # noqa: B018


@pytest.fixture
def runs(tmp_path):
    ages = np.linspace(20, 60, 24)
    for name in ("first", "second"):
        probabilities = np.random.default_rng(0).dirichlet([1, 1, 1], 24)
        write_run(
            tmp_path / "runs" / name,
            ages,
            ages + 1,
            task="age",
            ages=ages,
            classes=[20.0, 40.0, 60.0],
            probabilities=probabilities,
            method=name,
        )
    return tmp_path / "runs"


@pytest.mark.parametrize(
    ("regressor", "module"),
    [("mean", "baselines"), ("exact-kernel:kernels=('rbf',)", "exact_kernel")],
)
def test_an_evaluation_imports_its_own_regressor_and_no_reports(tmp_path, regressor, module):
    features = write_features(tmp_path / "f.h5")
    found = imported(
        "regress",
        features,
        "--regressor",
        regressor,
        "--protocol",
        "kfold:2",
        "-o",
        tmp_path / "out",
    )
    assert f"regress.regressors.{module}" in found
    others = REGRESSORS - {f"regress.regressors.{module}"}
    assert not found & (OF_REPORTS | OF_NETWORKS | others)


def test_status_of_runs_and_doctor_import_nothing_that_computes(runs):
    heavy = OF_NUMBERS | OF_REPORTS | OF_NETWORKS | REGRESSORS - {"regress.regressors.auto_sklearn"}
    assert not imported("status", runs) & heavy
    assert not imported("doctor") & heavy


def test_inspection_imports_no_statistics(tmp_path):
    found = imported("inspect", write_features(tmp_path / "f.h5"))
    assert not found & (OF_REPORTS | OF_NETWORKS | REGRESSORS | {"scipy", "sklearn", "joblib"})


def test_errors_in_years_and_their_comparison_need_no_scikit_learn(runs, tmp_path):
    pair = [runs / "first", runs / "second"]
    for command, out in (("compare", tmp_path / "report"), ("ensemble", tmp_path / "ensemble")):
        found = imported(command, *pair, "-o", out)
        assert not found & (OF_NETWORKS | REGRESSORS | {"scipy", "sklearn", "joblib"}), command

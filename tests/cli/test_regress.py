import json

from click.testing import CliRunner

from cli.regress import regress

from ..regress.conftest import write_features


def invoke(*arguments):
    return CliRunner().invoke(regress, [str(argument) for argument in arguments])


def test_every_layer_with_every_regressor(tmp_path):
    features = write_features(tmp_path / "f.h5")
    done = invoke(
        features, "--regressor", "mean", "--regressor", "ridge", "--protocol", "kfold:2",
        "--seed", 4, "-o", tmp_path / "out",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert done.output.count("MAE") == 2
    info = json.loads((tmp_path / "out" / "gap.ridge" / "run.json").read_text())
    assert (info["seed"], info["protocol"], info["folds"]["done"]) == (4, "kfold:2", 2)


def test_dry_run_writes_nothing(tmp_path):
    features = write_features(tmp_path / "f.h5")
    done = invoke(features, "--regressor", "softmax", "--dry-run", "-o", tmp_path / "out")
    assert done.exit_code == 0
    assert "8 folds over 40 images, 6 units" in done.output
    assert not (tmp_path / "out").exists()


def test_parameters_reach_the_regressor(tmp_path):
    features = write_features(tmp_path / "f.h5")
    spec = "exact-kernel:kernels=('linear',),alphas=(0.5,)"
    done = invoke(features, "--regressor", spec, "--protocol", "kfold:2", "-o", tmp_path / "out")
    assert done.exit_code == 0, done.exception
    (path,) = (tmp_path / "out").glob("*/run.json")
    info = json.loads(path.read_text())
    assert info["parameters"]["alphas"] == [0.5]
    assert info["statistics"]["kernel"] == {"counts": {"linear": 2}}

import numpy as np
import pytest

from featx.errors import FeatxError
from regress import compare_runs, evaluate_features, find_runs, write_report

from .conftest import write_features


def test_every_regressor_on_every_layer_as_the_command_does(tmp_path, features):
    from click.testing import CliRunner

    from cli.regress import regress

    runs = evaluate_features(
        features, tmp_path / "ours", regressors=["mean", "ridge"], protocol="kfold:3", seed=4
    )
    arguments = [str(features), "-o", str(tmp_path / "theirs"), "--protocol", "kfold:3"]
    arguments += ["--regressor", "mean", "--regressor", "ridge", "--seed", "4"]
    CliRunner().invoke(regress, arguments, catch_exceptions=False)
    for own, other in zip(runs, find_runs([tmp_path / "theirs"]), strict=True):
        assert own.method == other.method
        np.testing.assert_array_equal(own.predictions, other.predictions)
    page = write_report(compare_runs(runs, bootstrap=100), str(tmp_path / "report"))
    assert page.is_file()


def test_a_fold_that_fails_is_told_and_the_others_are_kept(tmp_path):
    path = write_features(tmp_path / "two.h5", n_subjects=2)
    told = r"gap · ridge: 2 of 2 folds failed, the first of them 000 \(only one subject"
    with pytest.raises(FeatxError, match=told):
        evaluate_features(path, tmp_path / "out", regressors=["mean", "ridge"])
    assert [run.info["regressor"] for run in find_runs([tmp_path / "out"])] == ["mean", "ridge"]
    with pytest.raises(FeatxError, match="holds an earlier run"):
        evaluate_features(path, tmp_path / "out", regressors=["mean"])
    (run,) = evaluate_features(path, tmp_path / "out", regressors=["mean"], resume=True)
    assert len(run.predictions) == 10

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from sklearn.dummy import DummyRegressor
from sklearn.linear_model import Ridge

from featx.atomic import writing
from featx.errors import FeatxError
from featx.shards import Shard
from featx.store import FeaturesFile
from regress import regressors
from regress.data import load_layer
from regress.evaluate import evaluate
from regress.methods import plan_methods
from regress.predictions import read_run

from .conftest import write_features

ROOT = Path(__file__).parents[2]


class PlainRidge(Ridge):
    """A regressor with a known closed form, that fails for one subject if asked to."""

    fails_without = None

    def __init__(self, alpha=1.0, random_state=None):
        super().__init__(alpha=alpha, random_state=random_state)

    def fit(self, X, y, groups=None):
        if self.fails_without is not None and self.fails_without not in groups:
            raise RuntimeError("as planned\nin two lines")
        self.report_ = {"n": len(y), "bound": float("inf")}
        return super().fit(X, y)


@pytest.fixture(autouse=True)
def plain_ridge(monkeypatch):
    monkeypatch.setitem(regressors._REGRESSORS, "plain", f"{__name__}:PlainRidge")
    monkeypatch.setitem(sys.modules, __name__, sys.modules[__name__])


def plan(features, out, spec="plain", **more):
    (method,) = plan_methods(features, out, layers=["gap"], regressors=[spec], **more)
    return method


@pytest.mark.parametrize("protocol", ["lopo", "kfold:4", "holdout:0.25"])
def test_predictions_are_those_of_a_refit_by_hand(features, tmp_path, protocol):
    method = plan(features, tmp_path / "out", protocol=protocol, seed=3)
    evaluate(method)
    run = read_run(method.folder)
    with FeaturesFile(features) as file:
        X, images = file.read("gap"), file.images.set_index("image")
    everyone = list(images.index)
    for _, rows in run.predictions.groupby("fold"):
        test = images["subject"].isin(rows["subject"])
        ridge = Ridge().fit(X[~test.to_numpy()], images["age"][~test])
        expected = ridge.predict(X[[everyone.index(image) for image in rows["image"]]])
        np.testing.assert_allclose(rows["predicted_age"], expected, rtol=1e-6)
        assert set(images.index[test]) == set(rows["image"])
    assert run.info["statistics"]["n"]["max"] < len(images)
    assert run.info["counts"]["evaluated"] == len(images)


def test_parallel_folds_equal_sequential_ones(features, tmp_path):
    tables = []
    for jobs in (1, 2):
        method = plan(features, tmp_path / str(jobs), "ridge")
        evaluate(method, jobs=jobs)
        tables.append((method.folder / "predictions.csv").read_bytes())
    assert tables[0] == tables[1]


def test_one_failed_fold_does_not_lose_the_others_and_resume_runs_only_it(
    features, tmp_path, monkeypatch
):
    method = plan(features, tmp_path / "out")
    monkeypatch.setattr(PlainRidge, "fails_without", "003")
    info = evaluate(method)
    assert info["folds"]["failed"] == {"003": "RuntimeError: as planned in two lines"}
    assert info["folds"]["done"] == 7
    assert "003" not in set(read_run(method.folder).predictions["fold"])
    kept = (method.folder / "folds" / "002.csv").stat().st_mtime_ns
    monkeypatch.setattr(PlainRidge, "fails_without", None)
    assert evaluate(method, resume=True)["folds"]["missing"] == []
    assert (method.folder / "folds" / "002.csv").stat().st_mtime_ns == kept
    other = plan(features, tmp_path / "undisturbed")
    evaluate(other)
    for folder in (method.folder, other.folder):
        assert len(read_run(folder).predictions) == 40
    assert (method.folder / "predictions.csv").read_bytes() == (
        other.folder / "predictions.csv"
    ).read_bytes()


def test_resume_keeps_what_is_whole_and_redoes_the_rest(features, tmp_path):
    method = plan(features, tmp_path / "out")
    evaluate(method)
    whole = (method.folder / "predictions.csv").read_bytes()
    pieces = sorted((method.folder / "folds").glob("*.csv"))
    pieces[1].unlink()
    pieces[2].write_text("half a fi")
    with writing(method.folder / "folds" / "x") as own:
        killed = subprocess.Popen(["true"])
        killed.wait()
        own.with_name(own.name.replace(f"-{os.getpid()}.", f"-{killed.pid}.")).touch()
    kept = pieces[0].stat().st_mtime_ns
    evaluate(method, resume=True)
    assert (method.folder / "predictions.csv").read_bytes() == whole
    assert pieces[0].stat().st_mtime_ns == kept
    assert not list((method.folder / "folds").glob(".*"))


def test_other_parameters_are_not_mistaken_for_an_earlier_run(features, tmp_path):
    method = plan(features, tmp_path / "out")
    evaluate(method)
    first = read_run(method.folder).predictions
    other = plan(features, tmp_path / "out", seed=0, options={"alpha": 50.0})
    assert other.folder == method.folder
    evaluate(other, resume=True)
    assert not np.allclose(first["predicted_age"], read_run(other.folder).predictions.predicted_age)


def test_an_earlier_run_is_never_overwritten_unasked(features, tmp_path):
    method = plan(features, tmp_path / "out")
    evaluate(method)
    with pytest.raises(FeatxError, match="add --resume"):
        evaluate(method)


def test_exact_kernel_under_lopo_equals_its_fits_fold_by_fold(features, tmp_path):
    method = plan(features, tmp_path / "out", "exact-kernel")
    evaluate(method)
    predictions = read_run(method.folder).predictions.set_index("image")["predicted_age"]
    data = load_layer(features, "gap")
    for fold in method.folds[:3]:
        estimator = regressors.make_regressor("exact-kernel")
        estimator.fit(data.X[fold.train], data.y[fold.train], groups=data.groups[fold.train])
        expected = estimator.predict(data.X[fold.test])
        np.testing.assert_allclose(
            predictions[data.images["image"].iloc[fold.test]], expected, atol=1e-6
        )


def test_rows_without_features_age_or_subject(tmp_path):
    status, age, subject = ["ok"] * 40, [20.0 + row for row in range(40)], ["a", "b"] * 20
    status[3], age[5], subject[7] = "no_face", np.nan, ""
    path = write_features(tmp_path / "f.h5", status=status, age=age, subject=subject)
    data = load_layer(path, "gap")
    assert data.counts == {
        "total": 40,
        "evaluated": 38,
        "by_status": {"no_face": 1, "ok": 39},
        "ok_without_age": 1,
        "without_subject": 1,
    }
    assert "image:image007" in set(data.groups)


def test_a_layer_that_is_not_finite_names_its_first_such_image(tmp_path):
    path = write_features(tmp_path / "spoilt.h5", spoilt=7)
    with pytest.raises(FeatxError, match="layer 'gap' of image 'image007' has NaN or infinite"):
        load_layer(path, "gap")


def test_unusable_files_are_told(tmp_path):
    path = write_features(tmp_path / "none.h5", status=["no_face"] * 40)
    with pytest.raises(FeatxError, match="none of its 40 rows"):
        load_layer(path, "gap")
    path = write_features(tmp_path / "nobody.h5", subject=[""] * 40)
    with pytest.raises(FeatxError, match="names no subjects"):
        plan(path, tmp_path / "out")


def test_a_shard_is_not_taken_for_the_whole(features):
    with h5py.File(features, "r+") as file:
        file.attrs["shard"] = json.dumps(Shard(3, 8, 0, 40, 320, "ab").describe())
    with pytest.raises(FeatxError, match=r"features\.h5 is shard 3/8 .*`featx merge`"):
        load_layer(features, "gap")


def test_the_mean_is_scikit_learns_mean(features, tmp_path):
    method = plan(features, tmp_path / "out", "mean")
    evaluate(method)
    data = load_layer(features, "gap")
    run = read_run(method.folder).predictions.set_index("image")["predicted_age"]
    fold = method.folds[2]
    expected = DummyRegressor().fit(data.X[fold.train], data.y[fold.train]).predict(fold.test)
    np.testing.assert_allclose(run[data.images["image"].iloc[fold.test]], expected)


def test_killed_at_random_moments_the_resumed_run_equals_the_undisturbed(features, tmp_path):
    command = [sys.executable, "-m", "cli", "regress", str(features), "--regressor", "ridge"]
    subprocess.run([*command, "-o", tmp_path / "whole"], check=True, cwd=ROOT)
    rng = np.random.default_rng(0)
    folder = tmp_path / "killed" / "gap.ridge"
    for _ in range(3):
        process = subprocess.Popen([*command, "-o", tmp_path / "killed", "--resume"], cwd=ROOT)
        done = len(list(folder.glob("folds/*.json")))
        deadline = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < deadline:
            if len(list(folder.glob("folds/*.json"))) > done:
                time.sleep(rng.uniform(0, 0.05))
                process.send_signal(signal.SIGKILL)
            time.sleep(0.001)
        process.wait()
    subprocess.run([*command, "-o", tmp_path / "killed", "--resume"], check=True, cwd=ROOT)
    whole = (tmp_path / "whole" / "gap.ridge" / "predictions.csv").read_bytes()
    assert (folder / "predictions.csv").read_bytes() == whole
    info = json.loads((folder / "run.json").read_text())
    assert info["folds"]["done"] == 8
    assert pd.read_csv(folder / "predictions.csv")["image"].is_unique


@pytest.mark.parametrize("known", [True, False])
def test_predictions_tell_gender_where_the_features_do(known, tmp_path):
    gender = ["female" if row % 3 and known else "" for row in range(40)]
    path = write_features(tmp_path / "f.h5", gender=gender)
    [method] = plan_methods(path, tmp_path / "out", layers=["gap"], regressors=["plain"])
    evaluate(method)
    table = read_run(method.folder).predictions
    assert ("gender" in table) == known
    if known:
        expected = dict(zip([f"image{row:03d}" for row in range(40)], gender, strict=True))
        assert table.set_index("image")["gender"].to_dict() == expected

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from featx.errors import FeatxError
from regress import metrics
from regress.compare import compare
from regress.predictions import Run


def images(n_subjects=20, seed=0, subjects=True):
    rng = np.random.default_rng(seed)
    sizes = rng.integers(2, 9, n_subjects)
    subject = np.repeat([f"{k:03d}" for k in range(n_subjects)], sizes)
    n = len(subject)
    return pd.DataFrame(
        {
            "image": [f"i{k:04d}" for k in range(n)],
            "subject": subject if subjects else "",
            "fold": subject,
            "age": np.round(rng.gamma(2, 12, n)),
        }
    )


def run(name, table, sd, seed, **info):
    rng = np.random.default_rng(seed)
    table = table.assign(predicted_age=table["age"] + rng.normal(0, sd, len(table)))
    folds = table["fold"].nunique()
    info = {
        "method": name,
        "layer": "gap",
        "regressor": name,
        "protocol": "lopo",
        "seed": 0,
        "split_hash": "a",
        "parameters": {},
        "features": {"file": "f.h5", "provenance": {}},
        "counts": {"total": len(table) + 2},
        "folds": {"planned": folds, "done": folds, "missing": []},
        "seconds": 1.5,
        **info,
    }
    return Run(Path("out") / f"{name}-{seed}", info, table)


@pytest.fixture
def three():
    table = images()
    return [run("poor", table, 9, 1), run("good", table, 3, 2), run("fair", table, 3.3, 3)]


def test_the_table_holds_the_metrics_ranked(three):
    table = compare(three, bootstrap=300).table
    assert list(table["method"]) == ["good", "fair", "poor"]
    assert list(table["rank"]) == [1, 2, 3]
    poor, own = table.iloc[2], three[0].predictions
    y, predicted = own["age"], own["predicted_age"]
    errors = np.abs(y - predicted)
    assert poor["mae"] == pytest.approx(errors.mean())
    assert poor["median_ae"] == pytest.approx(np.median(errors))
    assert poor["lower_quartile_ae"] == pytest.approx(np.percentile(errors, 25))
    assert poor["upper_quartile_ae"] == pytest.approx(np.percentile(errors, 75))
    assert poor["rmse"] == pytest.approx(np.sqrt((errors**2).mean()))
    assert poor["bias"] == pytest.approx((predicted - y).mean())
    assert poor["cs5"] == pytest.approx((errors <= 5).mean())
    assert poor["r2_pooled"] == pytest.approx(1 - (errors**2).sum() / ((y - y.mean()) ** 2).sum())
    assert poor["r2_fold_mean"] == metrics.r2_fold_mean(y, predicted, own["fold"]).value
    per_subject = errors.groupby(own["subject"]).mean()
    assert poor["median_subject_mae"] == pytest.approx(per_subject.median())
    assert (poor["n_images"], poor["n_total"]) == (len(own), len(own) + 2)
    assert poor["n_subjects"] == 20
    assert poor["seconds"] == 1.5


def test_interval_is_a_bootstrap_over_subjects(three):
    row = compare(three, bootstrap=8000).table.iloc[0]
    own = three[1].predictions
    errors = np.abs(own["age"] - own["predicted_age"])
    groups = [group.to_numpy() for _, group in errors.groupby(own["subject"])]
    rng = np.random.default_rng(5)
    naive = [
        np.concatenate([groups[k] for k in rng.integers(0, 20, 20)]).mean() for _ in range(4000)
    ]
    low, high = np.percentile(naive, [2.5, 97.5])
    assert row["mae_low"] == pytest.approx(low, abs=0.15 * np.std(naive))
    assert row["mae_high"] == pytest.approx(high, abs=0.15 * np.std(naive))
    mean = errors.mean()
    assert (row["mae_normal_low"] + row["mae_normal_high"]) / 2 == pytest.approx(mean)


def test_paired_tests_are_those_of_scipy_on_subject_sums(three):
    found = compare(three, bootstrap=300, seed=4)
    tests = found.tests.set_index(["first", "second"])
    assert list(tests.index) == [("good", "fair"), ("good", "poor"), ("fair", "poor")]
    sums = []
    for one in (three[1], three[2]):
        errors = (one.predictions["age"] - one.predictions["predicted_age"]).abs()
        sums.append(errors.groupby(one.predictions["subject"]).sum().to_numpy())
    expected = stats.permutation_test(
        tuple(sums),
        lambda a, b, axis: np.sum(a - b, axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=20_000,
        rng=np.random.default_rng(77),
    )
    row = tests.loc[("good", "fair")]
    assert row["p"] == pytest.approx(expected.pvalue, abs=0.02)
    n = len(three[0].predictions)
    assert row["difference"] == pytest.approx((sums[0] - sums[1]).sum() / n)
    assert row["low"] < row["difference"] < row["high"]
    assert tests.loc[("good", "poor"), "p_holm"] == pytest.approx(
        3 * tests.loc[("good", "poor"), "p"], rel=0.5
    )
    assert (tests["p_holm"] >= tests["p"]).all()
    assert (found.versus_best()["first"] == "good").all()
    assert (row["n_images"], row["n_subjects"]) == (n, 20)


def test_by_age_and_by_subject_add_up_to_the_mae(three):
    found = compare(three, bootstrap=300)
    for table in (found.by_age, found.by_subject):
        for name, mae in zip(found.table["method"], found.table["mae"], strict=True):
            own = table[table["method"] == name]
            assert np.average(own["mae"], weights=own["n_images"]) == pytest.approx(mae)
    assert ((found.by_age["age_below"] - found.by_age["age_from"]) == 10).all()
    inside = found.by_age.dropna(subset=["mae_low"])
    assert (inside["mae_low"] <= inside["mae"] + 1e-9).all()


def test_the_order_of_runs_and_rows_does_not_matter(three):
    straight = compare(three, bootstrap=300)
    shuffled = [
        Run(r.folder, r.info, r.predictions.sample(frac=1, random_state=3)) for r in three[::-1]
    ]
    other = compare(shuffled, bootstrap=20_000)
    columns = ["mae", "r2_pooled", "median_ae"]
    pd.testing.assert_frame_equal(straight.table[columns], other.table[columns])
    assert list(other.names) == list(straight.names)


def test_different_splits_are_refused_unless_allowed(three):
    table = three[0].predictions.drop(columns="predicted_age")
    other = run("other", table.iloc[5:], 3, 9, split_hash="b", protocol="kfold:5")
    with pytest.raises(FeatxError, match=r"poor .*lopo.*other .*kfold:5.*different splits"):
        compare([*three, other])
    found = compare([*three, other], bootstrap=300, allow_different_splits=True)
    assert any("2 different splits" in note for note in found.notes)
    pairs = found.tests[(found.tests[["first", "second"]] == "other").any(axis=1)]
    assert (pairs["n_images"] == len(table) - 5).all()


def test_a_run_with_missing_folds_is_told_ranked_last_and_paired_on_common_images():
    table = images()
    full = run("full", table, 4, 1)
    best = run(
        "partial",
        table[~table["subject"].isin(["003", "004"])],
        1,
        2,
        folds={"planned": 20, "done": 18, "missing": ["003", "004"]},
    )
    found = compare([best, full], bootstrap=300)
    assert list(found.names) == ["full", "partial"]
    assert "18 of 20 folds" in found.notes[0]
    assert "003, 004" in found.notes[0]
    row = found.tests.iloc[0]
    assert (row["n_images"], row["n_subjects"]) == (len(best.predictions), 18)
    common = full.predictions[full.predictions["image"].isin(best.predictions["image"])]
    difference = metrics.mae(common["age"], common["predicted_age"]) - found.table["mae"][1]
    assert row["difference"] == pytest.approx(difference)


@pytest.mark.parametrize("alone", [False, True])
def test_unknown_subjects_make_images_the_unit(alone):
    table = images(subjects=False)
    if alone:  # as `featx regress` names them
        table["subject"] = "image:" + table["image"]
    found = compare([run("a", table, 3, 1), run("b", table, 4, 2)], bootstrap=300)
    assert found.unit == "image"
    assert any("Subjects are unknown" in note for note in found.notes)
    assert (found.table["n_subjects"] == 0).all()
    assert found.tests["n_images"][0] == len(table)
    assert np.isfinite(found.tests["p"]).all()


def test_some_unknown_subjects_are_units_of_their_own():
    table = images()
    table.loc[:4, "subject"] = ""
    found = compare([run("a", table, 3, 1)], bootstrap=300)
    assert found.unit == "subject"
    assert found.table["n_subjects"][0] == table["subject"].nunique() - 1
    assert len(found.by_subject) == table["subject"].nunique() - 1 + 5


def test_networks_that_know_the_images_are_told_before_all_else():
    table = images(3)
    runs = [run(name, table, 3 + k, k) for k, name in enumerate("abc")]
    for k in (0, 2):
        runs[k].info["features"] = {"provenance": {"weights_have_seen": "9 of these 80 images"}}
    found = compare(runs, bootstrap=300)
    those = [name for name in found.names if name != "b"]
    assert found.notes[0].startswith(
        f"The network behind {', '.join(those)} was trained on 9 of these 80 images, whatever"
    )
    assert "only 3 subjects" in found.notes[1]
    assert len(found.notes) == 2


def test_few_subjects_are_warned_of_and_one_image_gives_no_interval():
    found = compare([run("a", images(3), 3, 1)], bootstrap=300)
    assert "only 3 subjects" in found.notes[0]
    single = compare([run("a", images().iloc[:1], 3, 1), run("b", images().iloc[:1], 3, 2)])
    assert np.isnan(single.table["mae_low"]).all()
    assert np.isnan(single.tests["p_holm"]).all()
    assert any("no interval and no test" in note for note in single.notes)


def test_one_method_alone_has_no_tests(three):
    found = compare(three[:1], bootstrap=300)
    assert len(found.tests) == 0
    assert {"first", "second", "p_holm"} <= set(found.tests)
    assert len(found.versus_best()) == 0


def test_runs_that_contradict_each_other_are_refused(three):
    table = three[0].predictions.drop(columns="predicted_age")
    older = run("older", table.assign(age=table["age"] + 1), 3, 5)
    with pytest.raises(
        FeatxError, match=r"i0000.* has age .* in out/.* and .* in out/.*not the same"
    ):
        compare([three[0], older])
    twice = run("twice", pd.concat([table, table.iloc[:1]]), 3, 6)
    with pytest.raises(FeatxError, match=r"i0000.*more than one prediction in twice"):
        compare([twice])
    with pytest.raises(FeatxError, match="has no predictions"):
        compare([run("none", table.iloc[:0], 3, 7)])
    with pytest.raises(FeatxError, match="nothing to compare"):
        compare([])
    with pytest.raises(FeatxError, match="too few"):
        compare(three, bootstrap=10)


def test_adjusted_p_can_reach_significance_with_many_methods():
    table = images(40)
    many = [run(f"m{k:02d}", table, 1 + 4 * k, k) for k in range(16)]  # 120 pairs
    found = compare(many, bootstrap=200)
    assert found.permutations == 24_000
    assert found.versus_best()["p_holm"].iloc[-1] < 0.05

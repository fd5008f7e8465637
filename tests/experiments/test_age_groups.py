"""Networks that tell age groups, from fine-tuning to the report."""

import h5py
import numpy as np
import pytest

from cli import main as program
from experiments.end_to_end import run_end_to_end
from experiments.fold_plan import plan_end_to_end
from experiments.measures import measures
from featx.errors import FeatxError
from featx.manifest import read_table, write_table
from featx.training.config.cascade_file import read_cascade
from regress.predictions import read_run

GROUPS = ("0-12", "15-20", "25-60")


@pytest.fixture
def in_groups(made):
    """The made-up faces with groups as labels and no ages, as Adience has them."""
    table = read_table(made / "made")
    rng = np.random.default_rng(0)
    table["age_group"] = rng.choice(["0-2", "8-12", "15-20", "25-32", "48-53"], len(table))
    table["age"] = np.nan
    write_table(table, made / "made" / "images.csv")
    return made


def plan(folder, *changes, **options):
    changes = ("stages.0.head={loss: cross-entropy, classes: [0-12, 15-20, 25-60]}", *changes)
    cascade = read_cascade(folder / "cascade.yaml", changes)
    return plan_end_to_end(cascade, "kfold:3", **options)


def run(folder, settled):
    (info,) = run_end_to_end(settled, folder / "out", device="cpu")
    return read_run(folder / "out" / "runs" / "end-to-end"), info


def test_groups_are_predicted_and_compared(in_groups, capfd):
    done, info = run(in_groups, plan(in_groups))
    assert info["task"] == "age-group"
    assert done.groups == GROUPS
    table = done.predictions.set_index("image")
    truth = read_table(in_groups / "made").set_index("image")["age_group"]
    coarse = {"0-2": "0-12", "8-12": "0-12", "15-20": "15-20", "25-32": "25-60", "48-53": "25-60"}
    assert (table["age_group"] == truth.map(coarse).reindex(table.index)).all()
    assert table["age"].isna().all()
    with h5py.File(done.folder / "probabilities.h5") as file:
        assert file["class"].asstr()[()].tolist() == list(GROUPS)
        images = file["image"].asstr()[()].tolist()
        guess = np.array(GROUPS)[file["probability"][()].argmax(1)]
    assert table.loc[images, "predicted_group"].tolist() == guess.tolist()

    with pytest.raises(SystemExit) as ended:
        program.main(["compare", str(done.folder), "-o", str(in_groups / "report")])
    assert ended.value.code == 0
    told = capfd.readouterr().out
    share = (table["age_group"] == table["predicted_group"]).mean()
    assert f"{100 * share:.1f} %" in told
    page = (in_groups / "report" / "report.html").read_text()
    assert "featx finetune" in page
    assert (in_groups / "report" / "figures" / "confusion_1.png").exists()


def test_measures_over_folds(in_groups):
    done, _ = run(in_groups, plan(in_groups))
    table = done.predictions
    right = (table["age_group"] == table["predicted_group"]).groupby(table["fold"]).mean()
    found = measures(done)
    assert found["accuracy_mean_of_folds"] == pytest.approx(right.mean())
    assert found["accuracy_sd_of_folds"] == pytest.approx(right.std())
    assert found["one_off"] >= found["accuracy"]


def test_ages_and_groups_can_be_mixed_in_training(made):
    """Ages between the groups are told; those inside are mapped."""
    with pytest.raises(FeatxError, match="lie in none of the classes"):
        plan(made)
    changed = ("stages.0.head={loss: corn, classes: [0-30, 31-60]}",)
    cascade = read_cascade(made / "cascade.yaml", changed)
    settled = plan_end_to_end(cascade, "kfold:3")
    done, _ = run(made, settled)
    ages = done.predictions["age"]
    assert (done.predictions["age_group"] == np.where(ages <= 30, "0-30", "31-60")).all()


def test_regressors_on_groups_are_refused(in_groups):
    with pytest.raises(FeatxError, match="--regressor ridge: regressors learn ages"):
        plan(in_groups, regressors=["ridge"])

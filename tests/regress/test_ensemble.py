"""Ensembles: the mean by hand, whatever the rows' order; what does not go together; the command."""

import json
import re

import h5py
import numpy as np
import pandas as pd
import pytest

from cli.main import main
from featx.errors import FeatxError
from regress.compare import compare
from regress.compare_groups import compare_groups
from regress.ensemble import plan_ensemble, write_ensemble
from regress.expected_age import expected_ages
from regress.predictions import GENDERS, find_runs, read_run
from regress.probabilities import read_probabilities
from tests.regress.made_runs import GROUPS, draw, draw_probabilities, write_run

AGES = (5.0, 20.0, 40.0, 70.0)


def members(folder, task="age-group", n=60, count=3, years=AGES, **options):
    """Write runs on the same images, the rows of each in another order."""
    classes = {"age-group": GROUPS, "gender": GENDERS, "age": years}[task]
    rng = np.random.default_rng(0)
    age = rng.integers(1, 80, n).astype(float)
    true = age if task == "age" else rng.choice(classes, n)
    runs = []
    for k in range(count):
        probable = draw_probabilities(n, k, len(classes))
        guess = (
            probable @ np.array(years) if task == "age" else np.array(classes)[probable.argmax(1)]
        )
        run = write_run(
            folder / f"m{k}",
            true,
            guess,
            task=task,
            groups=classes if task != "age" else (),
            classes=classes,
            probabilities=probable,
            ages=age,
            method=f"net {k}",
            shuffle=k,
            **{key: value[k] for key, value in options.items()},
        )
        runs.append((run, probable))
    return [run for run, _ in runs], np.mean([probable for _, probable in runs], axis=0)


def rows_of(run):
    return run.predictions["image"].str[1:].astype(int).to_numpy()


def test_networks_of_other_classes_than_those_asked_for_tell_the_group_of_the_mean_age(tmp_path):
    rng = np.random.default_rng(0)
    true, probable = rng.choice(GROUPS, 40), [draw_probabilities(40, k, 4) for k in (0, 1)]
    runs = [
        write_run(
            tmp_path / f"m{k}", true, true, classes=AGES, probabilities=own, method=f"net {k}"
        )
        for k, own in enumerate(probable)
    ]
    told = plan_ensemble(runs).table
    ages = (np.mean(probable, axis=0) @ np.array(AGES))[rows_of(runs[0])]
    # the middles of the gaps of GROUPS: 13 to 15 and 21 to 25
    expected = np.array(GROUPS)[np.digitize(ages, [14, 23], right=True)]
    assert told["predicted_group"].tolist() == expected.tolist()


@pytest.mark.parametrize("task", ["age", "age-group", "gender"])
def test_it_is_the_mean_of_its_members_image_by_image(tmp_path, task):
    runs, mean = members(tmp_path, task)
    assert rows_of(runs[0]).tolist() != rows_of(runs[1]).tolist()
    write_ensemble(plan_ensemble(runs), tmp_path / "ensemble")
    run = read_run(tmp_path / "ensemble")
    assert (run.task, run.groups) == (runs[0].task, runs[0].groups)
    assert run.method == "ensemble: net 0 + net 1 + net 2"
    given = read_probabilities(run)
    np.testing.assert_allclose(given.values, mean[rows_of(run)], atol=1e-6)
    truth, guess = run.columns
    if task == "age":
        assert given.classes.tolist() == list(AGES)
        wanted = np.mean(
            [one.predictions.set_index("image")["predicted_age"].sort_index() for one in runs], 0
        )
        found = run.predictions.set_index("image")[guess].sort_index()
        np.testing.assert_allclose(found, wanted, atol=1e-5)
    else:
        likely = np.array(run.groups)[mean[rows_of(run)].argmax(axis=1)]
        assert run.predictions[guess].tolist() == likely.tolist()
    theirs = runs[0].predictions.set_index("image")
    ours = run.predictions.set_index("image")
    columns = ["subject", "fold", "age", truth]
    pd.testing.assert_frame_equal(ours[columns], theirs[columns])


@pytest.mark.parametrize("task", ["age", "age-group", "gender"])
def test_it_compares_like_any_run(tmp_path, task):
    runs, _ = members(tmp_path, task)
    write_ensemble(plan_ensemble(runs, "all three"), tmp_path / "ensemble")
    found = (compare if task == "age" else compare_groups)(find_runs([tmp_path]), bootstrap=100)
    assert "all three" in found.names
    assert not found.notes or all("incomplete" not in note for note in found.notes)


def test_its_expected_age_is_the_mean_of_its_members(tmp_path):
    runs, _ = members(tmp_path)
    write_ensemble(plan_ensemble(runs), tmp_path / "ensemble")
    ages = expected_ages(read_run(tmp_path / "ensemble"))
    theirs = pd.concat([expected_ages(run) for run in runs], axis=1).mean(axis=1)
    np.testing.assert_allclose(ages, theirs[ages.index], atol=1e-4)


def test_what_its_record_tells(tmp_path):
    info = {"seed": 1, "features": {"file": "f.h5", "provenance": {"backbone": "a", "crop": "x"}}}
    other = {"seed": 2, "features": {"file": "f.h5", "provenance": {"backbone": "b", "crop": "x"}}}
    runs, _ = members(tmp_path, info=[info, other, info])
    told = write_ensemble(plan_ensemble(runs), tmp_path / "ensemble")
    assert told["format"] == "featx-predictions/1"
    assert [member["method"] for member in told["members"]] == ["net 0", "net 1", "net 2"]
    assert [member["seed"] for member in told["members"]] == [1, 2, 1]
    assert told["features"] == {"file": "f.h5", "provenance": {"crop": "x"}}
    assert "seed" not in told
    assert (told["task"], told["split_hash"]) == ("age-group", "s")
    assert told["probabilities"] is True
    assert told["seconds"] == 9.0  # three members, three folds of a second
    assert told["folds"] == {"planned": 3, "done": 3, "missing": [], "failed": {}}
    assert (tmp_path / "ensemble" / "folds" / "1.npz").is_file()


def test_the_folds_that_all_have_are_taken(tmp_path):
    runs, mean = members(tmp_path, left_out=[(), ("1",), ()])
    told = write_ensemble(plan_ensemble(runs), tmp_path / "ensemble")
    assert told["folds"] == {"planned": 3, "done": 2, "missing": ["1"], "failed": {}}
    run = read_run(tmp_path / "ensemble")
    assert sorted(set(run.predictions["fold"])) == ["0", "2"]
    np.testing.assert_allclose(read_probabilities(run).values, mean[rows_of(run)], atol=1e-6)
    runs, _ = members(tmp_path / "none", left_out=[("0",), ("1",), ("2",)])
    with pytest.raises(FeatxError, match="no fold is finished in all of"):
        plan_ensemble(runs)


def refused(runs, told):
    with pytest.raises(FeatxError, match=told) as raised:
        plan_ensemble(runs)
    assert "\n" not in str(raised.value)


def test_what_does_not_go_together_is_named(tmp_path):
    (first, *_), _ = members(tmp_path / "a")
    (gender, *_), _ = members(tmp_path / "b", "gender")
    (ages, *_), _ = members(tmp_path / "c", "age")
    both = f"{re.escape(str(first.folder))} and .*m0 have "
    refused([first, gender], both + "the tasks age-group and gender")
    refused([first, ages], both + "the tasks age-group and age")
    two = ("0-20", "25-100")
    true, guess = draw(60, 0, groups=two)
    refused(
        [first, write_run(tmp_path / "two", true, guess, groups=two)],
        "have the classes 0-12, 15-20, 25-100 and 0-20, 25-100",
    )
    (elsewhere, *_), _ = members(tmp_path / "d", split=["t"] * 3)
    refused([first, elsewhere], both + r"different splits \(folds and folds\)")
    (other, *_), _ = members(tmp_path / "years", "age", years=(1.0, 2.0, 3.0, 4.0))
    refused([ages, other], "class probabilities of different classes")
    refused([first], "two members or more; 1 given")
    refused([first, first], "is given twice")
    (first.folder / "probabilities.h5").unlink()
    refused([first, first], "has no class probabilities")


def change(run, edit):
    """Edit a run's table, and let its probabilities keep up with the names of images."""
    table = edit(run.predictions.copy())
    table.to_csv(run.folder / "predictions.csv", index=False)
    with h5py.File(run.folder / "probabilities.h5", "r+") as file:
        file["image"][: len(table)] = table["image"].tolist()
    return read_run(run.folder)


@pytest.mark.parametrize(
    ("column", "value", "told"),
    [
        ("fold", "2", "image 'i0' has fold 0 in .*m0 and 2 in .*m1"),
        ("subject", "someone", "image 'i0' has subject s0 in .*m0 and someone in .*m1"),
        ("age", "99", "image 'i0' has age 68.0 in .*m0 and 99.0 in .*m1"),
        ("age", "", "image 'i0' has age 68.0 in .*m0 and nan in .*m1"),
        ("age_group", "15-20", "image 'i0' has age_group .* in .*m0 and 15-20 in .*m1"),
        ("image", "strange", "image '(i0|strange)' is in fold 0 of .* and not in"),
    ],
)
def test_images_that_differ_are_named(tmp_path, column, value, told):
    (first, second, _), _ = members(tmp_path)

    def edit(table):
        mine = table["image"] == "i0"
        table[column] = table[column].astype(object)
        table.loc[mine, column] = value
        return table

    refused([first, change(second, edit)], told)


def test_unknown_ages_are_no_difference(tmp_path):
    true, guess = draw(30, 0, groups=GENDERS)
    options = {"task": "gender", "groups": GENDERS}
    runs = [write_run(tmp_path / name, true, guess, **options) for name in "ab"]
    assert plan_ensemble(runs).table["age"].isna().all()


def test_an_earlier_run_is_kept_and_content_decides(tmp_path):
    runs, _ = members(tmp_path)
    out = tmp_path / "ensemble"
    first = write_ensemble(plan_ensemble(runs[:2]), out)
    with pytest.raises(FeatxError, match="holds an earlier run; add --resume"):
        write_ensemble(plan_ensemble(runs[:2]), out)
    assert write_ensemble(plan_ensemble(runs[1::-1]), out, resume=True)["key"] == first["key"]
    changed = write_ensemble(plan_ensemble(runs), out, resume=True)
    assert changed["key"] != first["key"]
    assert changed["folds"]["done"] == 3
    with pytest.raises(FeatxError, match="is the folder of a member"):
        write_ensemble(plan_ensemble(runs), runs[0].folder, resume=True)
    assert read_run(runs[0].folder).method == "net 0"


def test_many_members_are_counted_in_the_name(tmp_path):
    runs, _ = members(tmp_path, count=4)
    assert plan_ensemble(runs).name == "ensemble of 4 runs"


def call(*arguments):
    with pytest.raises(SystemExit) as ended:
        main(list(map(str, arguments)))
    return ended.value.code


def test_the_command(tmp_path, capsys):
    runs, _ = members(tmp_path / "runs", "gender")
    folders = [run.folder for run in runs]
    out = tmp_path / "runs" / "ensemble"
    assert call("ensemble", *folders, "-o", out, "--dry-run") == 0
    told = capsys.readouterr().out
    assert f"would average 3 runs: 60 images, 3 of 3 folds -> {out}" in told
    assert not out.exists()
    assert call("ensemble", *folders, "-o", out, "--name", "the three") == 0
    table = read_run(out).predictions
    share = (table["gender"] == table["predicted_gender"]).mean()
    assert f"the three: accuracy {100 * share:.1f} % over 60 images" in capsys.readouterr().out
    assert call("compare", tmp_path / "runs", "-o", tmp_path / "report", "--bootstrap", "100") == 0
    assert "the three" in capsys.readouterr().out
    page = (tmp_path / "report" / "report.html").read_text()
    assert (
        f"featx ensemble {folders[0]} {folders[1]} {folders[2]} --name &#39;the three&#39;" in page
    )
    assert "histogram" in page


def test_the_command_tells_what_is_wrong_in_one_line(tmp_path, capsys):
    runs, _ = members(tmp_path)
    for arguments, told in (
        ((runs[0].folder, "-o", tmp_path / "e"), "two members or more"),
        ((runs[0].folder, tmp_path / "absent", "-o", tmp_path / "e"), "holds no run.json"),
        ((*(run.folder for run in runs), "-o", tmp_path / "m0" / "run.json"), "is a file"),
    ):
        assert call("ensemble", *arguments) == 1
        error = capsys.readouterr().err
        assert told in error
        assert len(error.splitlines()) == 1
    assert json.loads((tmp_path / "m0" / "run.json").read_text())["method"] == "net 0"

"""`featx clean` as it is typed: wrong ages planted among drawn faces are found, by both judges."""

import hashlib
import json

import numpy as np
import pandas as pd
import pytest
from threadpoolctl import threadpool_limits

from cli.main import main
from featx.datasets.generate import draw_face, random_identity
from featx.manifest import new_table, read_table, write_table

OLDEST = 70
TENS = ",".join(f"{low}-{low + 9}" for low in range(0, OLDEST, 10))
PLANTED = 20

#: Of the planted labels at least so many are found, of the true ones at most so many fall. Each
#: planted label is 30 years or more off: never in the bins beside the true one.
FOUND, FALLEN = 0.75, 0.10

CASCADE = f"""\
backbone: onet
weights: mtcnn
stages:
  - name: faces
    data: {{tables: [trusted], validation: 0.2}}
    head: {{classes: [{", ".join(f'"{span}"' for span in TENS.split(","))}]}}
    optimiser: {{name: adamw, learning_rate: 0.001, head_learning_rate: 0.01}}
    batch_size: 16
    epochs: 12
    schedule: {{name: one-cycle}}
"""


def make_faces(folder, seed, subjects=34, each=6, planted=0):
    """Draw faces and their table; returns the ids of the images whose ages are wrong."""
    rng = np.random.default_rng(seed)
    (folder / "crops").mkdir(parents=True)
    rows = []
    for subject in range(subjects):
        person = random_identity(rng)
        for number in range(each):
            age = int(rng.integers(0, OLDEST))
            crop = f"crops/{subject:02d}_{number}.png"
            draw_face(age, person, rng=rng, size=(64, 64)).save(folder / crop)
            rows.append(
                {
                    "image": f"{folder.name}-{subject:02d}-{number}",
                    "path": crop,
                    "crop": crop,
                    "subject": f"{subject:02d}",
                    "age": age,
                    "dataset": folder.name,
                    "sha256": hashlib.sha256((folder / crop).read_bytes()).hexdigest(),
                }
            )
    table = new_table(pd.DataFrame(rows))
    wrong = rng.choice(len(table), planted, replace=False)
    shift = rng.integers(30, OLDEST - 29, planted)
    table.loc[wrong, "age"] = (table["age"][wrong] + shift) % OLDEST
    write_table(table, folder / "images.csv")
    return set(table["image"][wrong])


def run(*arguments):
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return ended.value.code


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """Drawn faces with wrong ages, a run of their features, and a network of other faces."""
    folder = tmp_path_factory.mktemp("clean")
    make_faces(folder / "trusted", 1)
    wrong = make_faces(folder / "noisy", 2, planted=PLANTED)
    (folder / "wrong.json").write_text(json.dumps(sorted(wrong)))
    with threadpool_limits(1):  # work so small is slower with more, above all on busy cores
        _train(folder)
    return folder


def _train(folder):
    network = ["-b", "onet", "-w", "mtcnn", "--workers", 0, "--device", "cpu"]
    assert run("extract", folder / "noisy", *network, "-o", folder / "f.h5") == 0
    given = ["--protocol", "kfold:5", "--regressor", "softmax", "-o", folder / "runs"]
    assert run("regress", folder / "f.h5", *given) == 0
    (folder / "cascade.yaml").write_text(CASCADE)
    cpu = ["-o", folder / "tuned", "--device", "cpu"]
    assert run("finetune", folder / "cascade.yaml", *cpu) == 0


@pytest.fixture
def featx(capfd):
    def call(*arguments):
        code = run(*arguments)
        told = capfd.readouterr()
        return code, told.out, told.err

    return call


def dropped(folder):
    table = read_table(folder)
    return set(table["image"][table["status"] == "excluded"])


@pytest.mark.parametrize(
    ("judge", "options"),
    [("runs", ["--bins", TENS]), ("tuned/1-faces", ["--device", "cpu", "--workers", 0])],
)
def test_planted_ages_are_found_and_few_others_fall(featx, work, tmp_path, judge, options):
    wrong = set(json.loads((work / "wrong.json").read_text()))
    given = ["clean", work / "noisy", "--by", work / judge, *options, "-o", tmp_path / "out"]
    before = (work / "noisy" / "images.csv").read_bytes()
    code, told, err = featx(*given, "--dry-run")
    assert code == 0, err
    assert "204 images: 204" in told
    assert "nothing was written" in told
    assert not (tmp_path / "out").exists()
    code, told, err = featx(*given)
    assert code == 0, err
    fallen = dropped(tmp_path / "out")
    assert len(fallen & wrong) >= FOUND * PLANTED
    assert len(fallen - wrong) <= FALLEN * (204 - PLANTED)
    assert f"204 images: 204 judged, {len(fallen)} dropped" in told
    assert "  0-9: " in told
    assert (work / "noisy" / "images.csv").read_bytes() == before
    listed = pd.read_csv(tmp_path / "out" / "review.csv")
    assert set(listed["image"][: len(fallen)]) == fallen
    code, _, err = featx(*given)
    assert code == 1
    assert "is not empty; add --resume" in err
    code, told, _ = featx(*given, "--resume")
    assert code == 0
    assert "was finished already" in told


def test_a_person_has_the_last_word(featx, work, tmp_path):
    given = ["clean", work / "noisy", "--by", work / "runs", "--bins", TENS]
    assert featx(*given, "-o", tmp_path / "out")[0] == 0
    listed = pd.read_csv(tmp_path / "out" / "review.csv", dtype=str, keep_default_na=False)
    spared, caught = listed["image"].iloc[0], listed["image"].iloc[-1]
    listed.loc[0, "decision"] = "keep"
    listed.loc[len(listed) - 1, "decision"] = "drop"
    listed.to_csv(tmp_path / "mine.csv", index=False)
    review = ["clean", work / "noisy", "--review", tmp_path / "mine.csv", "-o", tmp_path / "mine"]
    code, told, err = featx(*review, "--dry-run")
    assert code == 0, err
    assert "204 judged" in told
    assert not (tmp_path / "mine").exists()
    code, told, err = featx(*review, "-v")
    assert code == 0, err
    assert f"{caught}: " in told
    assert dropped(tmp_path / "mine") == dropped(tmp_path / "out") - {spared} | {caught}
    # what nobody has changed gives the same table, byte by byte
    same = ["clean", work / "noisy", "--review", tmp_path / "out" / "review.csv"]
    assert featx(*same, "-o", tmp_path / "same")[0] == 0
    for name in ("images.csv", "review.csv"):
        assert (tmp_path / "same" / name).read_bytes() == (tmp_path / "out" / name).read_bytes()


def test_a_network_trained_on_the_images_is_refused(featx, work, tmp_path):
    given = ["clean", work / "trusted", "--by", work / "tuned" / "1-faces", "-o", tmp_path / "out"]
    code, _, err = featx(*given)
    assert code == 1
    (line,) = err.strip().splitlines()
    assert "trained on 204 of these 204 images (such as trusted-00-0, " in line
    assert "no image may judge itself" in line
    code, _, err = featx(*given, "--leave-seen")
    assert code == 1
    assert "no image can be judged (204: the network was trained on it" in err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--by", "RUNS", "--bins", "9-0"], "--bins 9-0: '9-0' is no span of ages"),
        (["--by", "RUNS", "--least", "1.5"], "--least 1.5: give a probability"),
        (["--by", "RUNS", "--neighbours", "-1"], "--neighbours -1: give 0 or more"),
        (["--by", "nowhere"], "--by nowhere is not there"),
        (["--review", "nowhere.csv"], "nowhere.csv"),
        (["--by", "NETWORK", "--bins", "0-4,5-69"], "class 0-9 lies only in part in the bin 0-4"),
    ],
)
def test_bad_input_is_one_line(featx, work, tmp_path, options, message):
    places = {"RUNS": work / "runs", "NETWORK": work / "tuned" / "1-faces"}
    options = [places.get(option, option) for option in options]
    code, _, err = featx("clean", work / "noisy", *options, "-o", tmp_path / "out")
    assert code == 1
    (line,) = err.strip().splitlines()
    assert line.startswith("featx: error: ")
    assert message in line


@pytest.mark.parametrize("options", [[], ["--by", "a", "--review", "b"]])
def test_a_judge_or_a_list(featx, options):
    code, _, err = featx("clean", "table", *options, "-o", "out")
    assert code == 2
    assert "give --by, or else --review" in err

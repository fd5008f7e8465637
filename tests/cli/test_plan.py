"""`featx plan` against what then happens."""

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from cli.main import main
from featx.datasets.generate import draw_face, random_identity
from featx.extraction import probing
from featx.manifest import new_table, write_table
from featx.store import FeaturesFile
from featx.training import probing as training_probing
from tests.featx.training.made_faces import CASCADE, make_folder, write_cascade
from tests.regress.conftest import write_features

ROWS = 300

#: Different ones: no two of the sixteen rows that are tried, and of a chunk, have the same.
FACES = 41

#: Three layers of each of two networks.
WORK = {
    "onet": ("gap", "first_conv", "flattened"),
    "mobilefacenet": ("first_conv:flat", "gmp", "embedding"),
}


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    """A table of 300 rows, a tenth of them without a face, over drawn faces."""
    folder = tmp_path_factory.mktemp("faces")
    rng = np.random.default_rng(0)
    for number in range(FACES):
        face = draw_face(2 * number, random_identity(rng), rng=rng, size=(64, 64))
        face.save(folder / f"{number}.jpg")
    rows = pd.DataFrame(
        {
            "image": [f"image{row:04d}" for row in range(ROWS)],
            "path": [f"{row % FACES}.jpg" for row in range(ROWS)],
            "subject": [f"{row % FACES:03d}" for row in range(ROWS)],
            "age": [2 * (row % FACES) for row in range(ROWS)],
            "status": ["no_face" if row % 10 == 7 else "ok" for row in range(ROWS)],
            "sha256": [f"{row % FACES:064x}" for row in range(ROWS)],
        }
    )
    write_table(new_table(rows), folder / "images.csv")
    return folder


def arguments(faces, out, network="onet", *more):
    layers = [word for layer in WORK[network] for word in ("-l", layer)]
    given = [faces, "-b", network, "-w", "random", *layers, "--no-mirror", "--device", "cpu"]
    return [*map(str, [*given, "--workers", 1, "-o", out, *more])]


def told(capsys, *words):
    """Run `featx plan`; return its exit status, and what it says on standard output and error."""
    with pytest.raises(SystemExit) as ended:
        main(["plan", *map(str, words)])
    said = capsys.readouterr()
    return ended.value.code, said.out, said.err


def done(words):
    """Run a command in a process of its own; return its peak memory in bytes."""
    code = (
        "import sys\n"
        "from cli.main import group\n"
        "from featx.memory import peak_memory\n"
        f"group.main({words!r}, standalone_mode=False)\n"
        "print(peak_memory())\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return int(ended.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def measured(faces, tmp_path_factory):
    """The probe of an extraction by each network, made once."""
    found = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(probing, "SECONDS", 0.2)
        for network, layers in WORK.items():
            out = tmp_path_factory.mktemp("never") / "later" / "o.h5"
            before = sorted(faces.iterdir())
            found[network] = probing.probe(
                faces,
                out,
                dtype="float32",
                compression="gzip",
                max_pixels=10**6,
                backbone=network,
                weights="random",
                layers=layers,
                device="cpu",
                workers=1,
                mirror=False,
            )
            assert not out.parent.exists()
            assert sorted(faces.iterdir()) == before
    return found


@pytest.fixture
def probed(measured, monkeypatch):
    """Plans of these extractions need no probe of their own."""
    asked = {}

    def probe(*given, **options):
        asked.update(options)
        return measured[options["backbone"]]

    monkeypatch.setattr(probing, "probe", probe)
    yield measured["onet"]
    assert asked["layers"] == WORK[asked["backbone"]]
    assert (asked["workers"], asked["mirror"], asked["seed"]) == (1, False, 0)


@pytest.mark.parametrize("network", WORK)
def test_an_extraction_against_what_then_happened(faces, tmp_path, capsys, probed, network):
    out = tmp_path / "o.h5"
    given = arguments(faces, out, network)
    code, said, _ = told(capsys, "extract", *given, "--json")
    assert code == 0
    plan = json.loads(said)
    assert plan["rows"]["by_status"] == {"ok": 270, "no_face": 30}
    assert plan["probe"]["images"] == 16
    assert plan["fits"]

    peak = done(["extract", *given])
    assert plan["disk"]["file_bytes"] == pytest.approx(out.stat().st_size, rel=0.05)
    assert plan["memory"]["process_bytes"] == pytest.approx(peak, rel=0.2)
    with FeaturesFile(out) as file:
        layers = file.layers
        stored = {name: file.hdf5[name].id.get_storage_size() for name in layers}
    assert [layer["name"] for layer in plan["layers"]] == list(layers)
    for layer in plan["layers"]:
        assert layer["shape"] == list(layers[layer["name"]].shape)
        assert layer["bytes"] == ROWS * layers[layer["name"]].units * 4
        assert layer["stored_bytes"] == pytest.approx(stored[layer["name"]], rel=0.05)
    seconds = plan["seconds"]
    assert 0 < seconds["least"] <= seconds["likely"] <= seconds["most"] < 600


def test_a_page_for_people(faces, tmp_path, capsys, probed):
    code, said, _ = told(capsys, "extract", *arguments(faces, tmp_path / "o.h5"))
    assert code == 0
    lines = dict(line.split(maxsplit=1) for line in said.splitlines())
    assert lines["nothing"] == "was written"
    assert lines["rows"] == "300, of which 270 ok"
    assert lines["layer"].startswith("flattened: 1152 units (128 x 3 x 3) from prelu4, 1.3 MiB, on")
    assert {"network", "size", "device", "disk", "memory", "time"} < set(lines)
    assert "GPU" not in lines


def refusal(capsys, *words):
    code, _, said = told(capsys, "extract", *words)
    assert code == 1
    (line,) = said.splitlines()
    assert line.startswith("featx: error: this does not fit: ")
    return line


def test_too_little_disk_is_refused_with_what_would_make_it_fit(
    faces, tmp_path, capsys, probed, monkeypatch
):
    out = tmp_path / "o.h5"
    given = arguments(faces, out)
    half = probed.others["--dtype float16"]
    assert half.total < 0.7 * probed.size.total  # tests/featx/store/test_sizing.py proves sizes
    monkeypatch.setattr("featx.extraction.estimate.free_disk", lambda folder: half.peak)
    line = refusal(capsys, *given)
    assert "of disk are needed" in line
    assert "give --dtype float16 (" in line
    assert "--layer flattened, which is " in line
    code, said, _ = told(capsys, "extract", *given, "--json")
    plan = json.loads(said)
    assert code == 1
    assert not plan["fits"]
    (shortage,) = plan["shortages"]
    assert shortage["needed_bytes"] == probed.size.peak > shortage["free_bytes"] == half.peak
    assert all(each["needed_bytes"] <= half.peak for each in shortage["remedies"])

    # without the largest layer it fits where halves do not
    free = probed.size.peak // 3
    monkeypatch.setattr("featx.extraction.estimate.free_disk", lambda folder: free)
    line = refusal(capsys, *given)
    assert "give --dtype float16 (" not in line
    assert "no --layer flattened, which is" in line

    monkeypatch.setattr("featx.extraction.estimate.free_disk", lambda folder: 1000)
    assert "choose another place (-o)" in refusal(capsys, *given)


def test_too_little_memory_is_refused_with_what_would_make_it_fit(
    faces, tmp_path, capsys, probed, monkeypatch
):
    given = arguments(faces, tmp_path / "o.h5")
    free = probed.process
    monkeypatch.setattr("featx.extraction.estimate.free_memory", lambda: free)
    assert "of memory are needed" in (line := refusal(capsys, *given))
    assert "--workers 0" in line
    free = probed.process + probed.decoders
    assert told(capsys, "extract", *given)[0] == 0
    assert "--jobs 1" in refusal(capsys, *given, "--jobs", 3)
    free = 1000
    assert "choose a machine with more" in refusal(capsys, *given)


def test_what_is_in_the_way_is_told(faces, tmp_path, capsys):
    out = tmp_path / "o.h5"
    out.write_bytes(b"something")
    code, _, said = told(capsys, "extract", *arguments(faces, out))
    assert code == 1
    assert "is there already" in said
    code, _, said = told(capsys, "extract", *arguments(faces, out), "--shard", "1/2", "--jobs", 2)
    assert code == 2
    assert "--shard is for one process" in said


def test_an_evaluation(tmp_path, capsys):
    features = write_features(tmp_path / "f.h5")
    out = tmp_path / "runs"
    given = [features, "--regressor", "ridge", "--regressor", "exact-kernel", "-o", out]
    given += ["--regressor", "auto-sklearn", "--time-budget", "90s", "--memory-limit", 500]
    code, said, _ = told(capsys, "regress", *given, "--json")
    assert code == 0
    assert not out.exists()
    methods = {each["method"].split(" · ")[1]: each for each in json.loads(said)["methods"]}
    assert [each["folds"] for each in methods.values()] == [8, 8, 8]
    assert [each["fits"] for each in methods.values()] == [8, 1, 8]
    assert {each["matrix_bytes"] for each in methods.values()} == {40 * 6 * 4}
    assert methods["auto-sklearn"]["seconds"]["least"] == 8 * 90
    few = ["--regressor", "auto-sklearn:time_budget=90,evaluations=5", "--protocol", "kfold:2"]
    code, said, _ = told(capsys, "regress", features, *few, "-o", out)
    assert code == 0
    assert "0.0 s to" in said
    assert "5 models a fold may be done earlier" in said
    assert methods["ridge"]["by"] == "3 folds of 8"
    assert 0 < methods["exact-kernel"]["seconds"]["likely"] < 60
    peak = done(["regress", str(features), "--regressor", "ridge", "-o", str(out)])
    assert methods["ridge"]["memory_bytes"] == pytest.approx(peak, rel=0.2)
    code, said, error = told(
        capsys, "regress", features, "--regressor", "exact-kernel:max_memory=1000", "-o", out
    )
    assert code == 1
    assert "fits 1, over 40 images of 6 units" in said
    assert "of memory are needed and 1000 B are free" in error


def test_a_cascade(tmp_path, capsys, monkeypatch):
    make_folder(tmp_path / "made")
    cascade = write_cascade(tmp_path, CASCADE)
    out = tmp_path / "tuned"
    given = ["finetune", str(cascade), "--device", "cpu", "-o", str(out)]
    costs = []
    probe = training_probing.probe_stages
    monkeypatch.setattr(
        training_probing,
        "probe_stages",
        lambda *given: costs or costs.extend(probe(*given)) or costs,
    )
    code, said, _ = told(capsys, *given, "--json")
    assert code == 0
    assert not out.exists()
    plan = json.loads(said)
    (stage,) = plan["stages"]
    images = stage["images"]
    assert images + stage["validation"] == 24
    assert stage["steps"] == 2 * -(-images // 4)
    assert stage["pixels_bytes"] == 24 * 48 * 48 * 3
    peak = done(given)
    assert stage["network_bytes"] == pytest.approx(
        (out / "1-target" / "network.safetensors").stat().st_size, rel=0.05
    )
    assert plan["memory"]["peak_bytes"] == pytest.approx(peak, rel=0.2)
    code, said, _ = told(capsys, *given[:-2], "-o", tmp_path / "folds", "--protocol", "kfold:3")
    assert code == 0
    assert "folds     3, 1 at a time" in said
    monkeypatch.setattr("featx.training.budget.free_memory", lambda: peak)
    given[-2:] = ["-o", tmp_path / "folds", "--protocol", "kfold:3", "--jobs", 3]
    code, _, said = told(capsys, *given)
    assert code == 1
    assert "of memory are needed" in said
    assert "--jobs 1 (" in said


def test_help_shows_an_example_that_works(capsys):
    code, said, _ = told(capsys, "--help")
    assert code == 0
    assert (
        "featx plan extract work -b resnet50 -w imagenet -l gap -l flattened -o features.h5" in said
    )

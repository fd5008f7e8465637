"""The benchmarks run, and report what they say that they do."""

import importlib
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

ROOT = Path(__file__).parents[1]


def told_by(name, *options):
    """Return the rows of the table that a benchmark prints, each a list of cells."""
    command = [sys.executable, f"benchmarks/{name}.py", *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    rows = [line.strip("| ").split(" | ") for line in done.stdout.splitlines() if "|" in line]
    assert all(len(cells) == len(rows[0]) for cells in rows)
    return rows[2:]


def test_finetune(tmp_path):
    command = [sys.executable, "benchmarks/finetune.py", "--images", "8", "--batch-size", "4"]
    command += ["--turns", "2", "--network", "onet", "--device", "cpu"]
    command += ["--output", str(tmp_path / "lines.jsonl")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    (line,) = (tmp_path / "lines.jsonl").read_text().splitlines()
    found = json.loads(line)
    assert f"{found['ratio']:.3f} ({found['ratio_least']:.3f} to" in done.stdout.splitlines()[-1]
    assert found["ratio_least"] <= found["ratio"] <= found["ratio_greatest"]
    speeds = found["stage_images_per_second"] / found["bare_images_per_second"]
    # of two turns the medians are means, and their ratio lies between the turns' own
    assert 0.95 * found["ratio_least"] <= speeds <= 1.05 * found["ratio_greatest"]


def test_cluster():
    command = [sys.executable, "benchmarks/cluster.py", "--repeats", "1", "--classes", "3"]
    command += ["--folds", "1001", "--folds", "3"]  # one more than an array can have, and few
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    rows = [line.strip("| ").split(" | ") for line in done.stdout.splitlines() if "|" in line]
    assert rows[0][2:] == ["planning", "submitting", "status", "finished", "gathering"]
    assert [row[:2] for row in rows[2:4]] == [["3", "1"], ["1,001", "2"]]
    assert [row[0] for row in rows[4:]] == ["ms a fold", "slope"]


def test_automl_peers():
    command = [sys.executable, "benchmarks/automl_peers.py", "--method", "exact-kernel"]
    command += ["--images", "40", "--units", "5", "--people", "6", "--folds", "2"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    rows = [line.strip("|").split("|") for line in done.stdout.splitlines() if "|" in line][2:]
    told = [[cell.strip() for cell in row] for row in rows]
    assert [row[0] for row in told] == [
        "exact-kernel, all folds",
        "exact-kernel, the sampled folds",
        "exact-kernel, a fold alone",
    ]
    assert [row[2] for row in told] == ["6", "2", "2"]
    assert told[1][3] == told[2][3]  # nested predictions are those of a fit on the others
    assert [row[5] for row in told[:2]] == ["1.0", "1.0"]


def test_a_budget_too_short_is_doubled(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    peers = importlib.import_module("automl_peers")
    problem, _ = peers.given(None, None, images=12, units=3, people=3)
    asked = []

    def ask(part, budget, **given):
        asked.append(budget)
        shift = np.full(len(part["X_test"]), part["y_train"].mean())
        return None if budget < 0.3 else (shift, 2.0)

    row = peers.measure(ask, peers.Row("a peer"), problem, problem.folds, 0.1)
    assert asked == [0.1, 0.2, 0.4, 0.4, 0.4]
    errors = [np.abs(problem.y[fold.test] - problem.y[fold.train].mean()) for fold in problem.folds]
    mae = np.concatenate(errors).mean()
    assert row.cells(0.5) == f"| a peer | 0.40 | 3 | {mae:.3f} | 2.000 | 4.0 |"


@pytest.mark.parametrize(
    ("name", "options", "rows"),
    [
        (
            "start_up",
            ["--people", "3"],
            [
                "`featx --help`; torch",
                "`featx regress`, 40 images, 8 folds; torch",
                "`featx regress`, 40 images, 8 folds; its imports alone",
                "`featx regress`, 36 images, 3 folds; its imports alone",
            ],
        ),
        (
            "exact_kernel",
            ["--images", "40", "--units", "5", "--subjects", "6", "--sample", "2"],
            ["40 x 5, 6; 330 kernels x λ"],
        ),
        (
            "softmax_folds",
            ["--images", "40", "--units", "5", "--subjects", "4"],
            ["40 x 5, 4"],
        ),
    ],
)
def test_two_ways_are_told_with_their_ratio(name, options, rows):
    command = [sys.executable, f"benchmarks/{name}.py", "--turns", "2", *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    told = [line.strip("| ").split(" | ") for line in done.stdout.splitlines() if "|" in line][2:]
    assert [cells[0] for cells in told] == rows
    for _, ours, theirs, ratio in told:
        median, least, greatest = map(float, re.findall(r"[\d.]+", ratio.replace(",", "")))
        assert 0 < least <= median <= greatest
        quotient = float(theirs.replace(",", "")) / max(float(ours.replace(",", "")), 1e-3)
        assert quotient == pytest.approx(median, rel=0.6)


def test_extraction():
    few = ["--network", "onet", "--images", "5", "--batch-size", "2", "--device", "cpu"]
    ((label, whole, bare, _, _, share, of_limit),) = told_by("extraction", *few, "--turns", "2")
    assert label == "onet, fp32, batch 2"
    median, least, greatest = map(float, re.findall(r"[\d.]+", share))
    assert 0 < least <= median <= greatest
    assert float(of_limit.split()[0]) > median  # decoding and writing leave less than the network
    ratio = float(whole.replace(",", "")) / float(bare.replace(",", ""))
    assert ratio == pytest.approx(median, rel=0.5)


def test_automl_spread_tells_seeds_from_repeats(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    spread = importlib.import_module("automl_spread").spread
    told = spread({0: [4.0, 6.0], 1: [9.0, 9.0]})  # means 5 and 9; variances 2 and 0
    assert "7.000 years on average" in told
    assert f"seeds' means {8**0.5:.3f}, of repeats with one seed 1.000" in told


def test_the_page_has_every_program_and_tells_of_one_that_fails(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    page = importlib.import_module("page")
    named = {part.program for part in page.PARTS}
    programs = {path.stem for path in (ROOT / "benchmarks").glob("*.py")}
    assert named == programs - {"page", "side_by_side", "made_up", "automl_data"}
    for part in page.PARTS:  # options that the programs know
        command = click_command(part.program)
        for quick in (False, True):
            command.make_context(part.program, part.command(quick)[1:])
    monkeypatch.setattr(
        page,
        "PARTS",
        (
            page.Part(
                "Well", "softmax_folds", quick="--images 30 --units 3 --subjects 3 --turns 1"
            ),
            page.Part("Ill", "exact_kernel", quick="--images 0 --turns 1"),
        ),
    )
    out = tmp_path / "page.md"
    done = CliRunner().invoke(page.main, ["--quick", "-o", str(out)])
    assert done.exit_code == 1
    told = out.read_text()
    assert "| 30 x 3, 3 |" in told
    assert (
        "## Ill\n\n`python benchmarks/exact_kernel.py --images 0 --turns 1`\n\n**Failed:** " in told
    )


def click_command(program):
    return importlib.import_module(program).main


def test_writing():
    few = ["--mebibytes", "1", "--rows", "400", "--units", "64", "--units", "512", "--turns", "1"]
    rows = told_by("writing", *few, "--compression", "none", "--compression", "gzip")
    assert [cells[:2] for cells in rows] == [
        [f"400 x {units}", compression] for units in (64, 512) for compression in ("none", "gzip")
    ]
    assert all(float(seconds) > 0 for _, _, seconds, *_ in rows)
    assert float(rows[2][-1]) > 1 > float(rows[3][-1])  # of half zeros


def test_overlap():
    rows = told_by("overlap", "--case", "64", "300", "3000", "--turns", "1")
    assert [cells[3] for cells in rows] == [
        "one after the other",
        "computed ahead",
        "and compressed early",
    ]
    for _, _, pace, _, whole, share in rows:
        speeds = [float(cell.replace(",", "")) for cell in (whole, pace)]
        assert float(share.split()[0]) == pytest.approx(speeds[0] / speeds[1], rel=0.02)
        assert speeds[0] < speeds[1]


def test_memory():
    few = ["--images", "20", "60", "--rows", "20", "60", "--batch", "8"]
    rows = told_by("memory", *few)
    assert [cells[:2] for cells in rows] == [["extract", "20 to 60"], ["flattened", "20 to 60"]]
    for _, _, *cells in rows:
        few, many, ratio, *together = (float(cell.replace(",", "")) for cell in cells)
        assert ratio == pytest.approx(many / few, abs=0.02)
        assert all(number > 0 for number in together)


def test_planning():
    few = ["--network", "onet", "--images", "30", "--side", "64", "--device", "cpu"]
    rows = told_by("planning", *few)
    layers = ["gap, MB", "first_conv, MB", "flattened, MB"]
    whole = ["file, MB", "memory, MB", "memory with decoding, MB", "seconds"]
    assert [cells[1] for cells in rows] == layers + whole
    for _, _, plan, then, ratio in rows:
        told, found = (float(said.split()[0].replace(",", "")) for said in (plan, then))
        if found > 1:  # two decimals are told
            assert float(ratio) == pytest.approx(told / found, rel=0.02)


def test_compression():
    rows = told_by("compression", "--rows", "16", "--turns", "1")
    assert len(rows) == len({tuple(cells[:4]) for cells in rows}) >= 6 * 10
    size = {(*cells[:2], cells[3]): float(cells[4]) for cells in rows}
    for dtype in ("float32", "float16"):
        sizes = {way: size[("flattened, 16 x 25,088", dtype, way)] for way in ("none", "gzip-1")}
        assert sizes["gzip-1"] < sizes["none"] == 1


def test_decoding():
    rows = told_by(
        "decoding", "--size", "112x112", "--size", "300x500", "--turns", "1", "--budget", "0.01"
    )
    assert [cells[0] for cells in rows] == sorted(cells[0] for cells in rows)
    for _, way, speed, ratio, greatest, mean in rows:
        assert float(speed.replace(",", "")) > 0
        assert (float(ratio) == 1 and int(greatest) == 0) or way != "featx"
        assert float(mean) < 10  # the same crop


#: What an independent peer does: torchvision's network as it is, hooked, over its own decoding.
HOOKED = """
import json, pathlib, sys, time
import numpy, torch, torchvision
task = json.loads(pathlib.Path(sys.argv[1]).read_text())
network = torchvision.models.get_model(task["network"]).eval()
network.load_state_dict(torch.load(task["weights"]))
start = time.perf_counter()
files = [pathlib.Path(task["folder"]) / name for name in task["files"]]
pixels = torch.stack([torchvision.io.decode_image(str(file)) for file in files]) / 255
mean, std = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]])[:, :, None, None]
for name in task["layers"].values():
    folder = pathlib.Path(task["out"]) / name
    folder.mkdir()
    keep = lambda _, __, out: numpy.save(folder / f"features_0-{len(files)}.npy", out.flatten(1))
    handle = network.get_submodule(name).register_forward_hook(keep)
    with torch.inference_mode():
        network((pixels - mean) / std)
    handle.remove()
seconds = time.perf_counter() - start
told = {"seconds": seconds, "torch": torch.__version__, "threads": torch.get_num_threads()}
print(json.dumps(told))
"""


@pytest.mark.parametrize("peer", [True, False])
def test_thingsvision_peer(tmp_path, peer):
    command = [
        sys.executable,
        "benchmarks/thingsvision_peer.py",
        "--case",
        "resnet50:gap+flattened",
    ]
    command += ["--images", "3", "--batch-size", "2", "--turns", "1", "--threads", "1"]
    if peer:
        (tmp_path / "hooked.py").write_text(HOOKED)
        command += ["--peer", shlex.join([sys.executable, str(tmp_path / "hooked.py")])]
    else:
        command += ["--only", "featx", "--precision", "fp32"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    heading, _, *rows = [
        dict(enumerate(line.strip("| ").split(" | ")))
        for line in done.stdout.splitlines()
        if line.startswith("|")
    ]
    told = [dict(zip(heading.values(), row.values(), strict=True)) for row in rows]
    assert [row["precision"] for row in told] == (["fp32", "bf16"] if peer else ["fp32"])
    for row in told:
        assert row["layers"] == "gap, flattened"
        assert float(row["featx images/s"]) > 0
        assert float(row["featx MiB"].replace(",", "")) > 100  # torch itself
        if not peer:
            assert row["ratio"] == row["difference"] == row["thingsvision MiB"] == "-"
            continue
        speeds = float(row["featx images/s"]) / float(row["thingsvision images/s"])
        assert float(row["ratio"].split()[0]) == pytest.approx(speeds, rel=0.05, abs=0.02)
        assert 0 < float(row["difference"]) < (1e-4 if row["precision"] == "fp32" else 0.1)


def test_growth_of_exact_kernel():
    command = [sys.executable, "benchmarks/exact_kernel.py", "--growth", "--scale", "0.02"]
    command += [
        "--gib",
        "0.253",
    ]  # the blocks in passing, and a kernel of 250 images and their targets
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    rows = [line.strip("| ").split(" | ") for line in done.stdout.splitlines() if "|" in line]
    curves, landmarks = rows[2:34], rows[36:]
    forms = {(cells[0], cells[1], cells[2]): cells[3] for cells in curves}
    assert forms["images", "20 x 10, 4", "linear"] == "primal"
    assert forms["images", "200 x 10, 4", "rbf"] == "dual"
    assert forms["images", "400 x 10, 4", "rbf"] == "nystrom"
    assert forms["units", "40 x 2,000, 4", "linear"] == "dual"
    assert [over for over, *_ in curves].count("subjects") == 10
    for *_, form, marks, fit, nested in curves:
        assert float(fit) > 0
        assert (marks == "-") == (nested != "-") == (form != "nystrom")
    assert [cells[0] for cells in landmarks] == ["exact", "5", "10", "20", "40"]
    assert landmarks[0][3:] == ["0", landmarks[0][4], "+0.000"]
    lost = [float(cells[3]) for cells in landmarks[1:]]
    assert lost[0] > lost[-1] > 0

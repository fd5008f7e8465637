"""Which way imports may run, read from the code; and what works without torch, tried."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).parents[1]
NO_TORCH = [
    "store", "manifest", "cluster", "errors", "atomic", "progress", "doctor", "memory", "shards",
    "status", "file_hash", "plugins", "quantities", "shortage", "images", "archives", "prepared",
]  # fmt: skip


def imports(path, top_level_only=False):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = tree.body if top_level_only else ast.walk(tree)
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def modules(*packages):
    return [path for package in packages for path in sorted((ROOT / package).rglob("*.py"))]


def names(path):
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", modules("featx"), ids=names)
def test_featx_leans_on_nobody(path):
    assert not {name.split(".")[0] for name in imports(path)} & {"regress", "cli", "experiments"}


@pytest.mark.parametrize("path", modules("regress"), ids=names)
def test_regress_leans_on_featx_without_torch(path):
    found = set(imports(path))
    assert not {name.split(".")[0] for name in found} & {"torch", "torchvision", "cli", "timm"}
    of_featx = {name for name in found if name.startswith("featx.")}
    assert {name.split(".")[1] for name in of_featx} <= set(NO_TORCH)


#: Rooms within rooms, lowest first: none may import from one above it.
FLOORS = {
    "featx.store": ["", "writing", "tools"],
    "featx.training": ["config", "images", "", "search"],
}


@pytest.mark.parametrize("house", FLOORS)
def test_no_module_leans_on_a_floor_above_its_own(house):
    floors = FLOORS[house]

    def floor(module):
        inner = module.removeprefix(house).strip(".").split(".")[0]
        return floors.index(inner if inner in floors else "")

    found = modules(house.replace(".", "/"))
    assert len(found) > 20
    for path in found:
        if path.parent == ROOT / house.replace(".", "/") and path.name == "__init__.py":
            continue  # the house's own door
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        above = [n for n in imports(path) if n.startswith(house) and floor(n) > floor(name)]
        assert not above, f"{name} imports {above}"


@pytest.mark.parametrize("path", modules("cli"), ids=names)
def test_commands_import_what_they_need_when_they_run(path):
    light = {"click", "cli", *sys.stdlib_module_names}
    found = set(imports(path, top_level_only=True)) - {"featx", "featx.errors"}
    assert {name.split(".")[0] for name in found} <= light


def run_without(blocked, code):
    """Run some code in a Python in which some packages cannot be imported."""
    block = (
        "import sys\n"
        "class Block:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name.split('.')[0] in {blocked!r}:\n"
        "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
        "sys.meta_path.insert(0, Block())\n"
    )
    return subprocess.run(
        [sys.executable, "-c", block + code], capture_output=True, text=True, cwd=ROOT, timeout=120
    )


TORCH = {"torch", "torchvision", "timm", "facenet_pytorch", "safetensors"}


TORCHLESS = [
    "clean", "merge", "regress", "ensemble", "compare", "inspect", "verify", "repair", "export",
    "diff", "status", "plan", "doctor",
]  # fmt: skip


@pytest.mark.parametrize("command", TORCHLESS)
def test_help_of_the_torchless_commands_needs_no_torch(command):
    done = run_without(TORCH, f"from cli.main import main; main([{command!r}, '--help'])")
    assert done.returncode == 0, done.stderr
    assert "Usage: featx " + command in done.stdout


@pytest.mark.parametrize(("detector", "module"), [("haar", "cv2"), ("dlib", "dlib")])
def test_the_other_detectors_need_no_torch(detector, module, tmp_path):
    pytest.importorskip(module, reason=f"{module} comes with featx[{detector}]")
    Image.new("RGB", (50, 50)).save(tmp_path / "black.png")
    arguments = ["prepare", "folder", str(tmp_path), "-o", str(tmp_path / "out")]
    arguments += ["--detector", detector, "--crop", "margin"]
    done = run_without(TORCH, f"from cli.main import main; main({arguments!r})")
    assert done.returncode == 0, done.stderr
    assert "no_face: 1 (1 no face found)" in done.stdout


def test_help_imports_nothing_heavy():
    heavy = TORCH | {"numpy", "pandas", "h5py", "sklearn", "matplotlib", "joblib", "tqdm", "PIL"}
    done = run_without(heavy, "from cli.main import main; main(['--help'])")
    assert done.returncode == 0, done.stderr
    assert "extract" in done.stdout


def test_modules_that_promise_no_torch_keep_it():
    code = "".join(f"import featx.{module}\n" for module in NO_TORCH) + (
        "import featx.store.tools.merging, featx.store.tools.shard_set\n"
        "import experiments.cleaning, regress.label_cleaning, regress.review\n"
        "import regress.evaluate, regress.compare, regress.ensemble, regress.expected_age\n"
        "import regress.report.group_page, regress.regressors.exact_kernel\n"
        "import regress.regressors.softmax, regress.regressors.baselines\n"
        "import regress.regressors.auto_sklearn\n"
    )
    done = run_without(TORCH, code)
    assert done.returncode == 0, done.stderr

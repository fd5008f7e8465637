"""Networks' files: equal networks are equal files, and every reader takes them."""

import subprocess
import sys
from pathlib import Path

import torch
from safetensors import safe_open

from featx.checkpoints import read_checkpoint, write_checkpoint
from featx.trained_on import TrainedOn

WRITE = """
import sys, torch
from pathlib import Path
from featx.checkpoints import write_checkpoint
from featx.trained_on import TrainedOn
state = {"b": torch.arange(6.0).reshape(2, 3), "a": torch.ones(4, dtype=torch.bfloat16)}
told = {"backbone": "ö \\"quoted\\" \\n", "provenance": {"x": 1.5}}
for name in sys.argv[1:]:
    write_checkpoint(Path(name), state, told, TrainedOn.of())
"""


def test_equal_networks_are_equal_files(tmp_path):
    files = [tmp_path / f"{number}.safetensors" for number in range(8)]
    for some in (files[:4], files[4:]):  # the writer's order differs by file, and by process
        subprocess.run([sys.executable, "-c", WRITE, *map(str, some)], check=True)
    assert len({file.read_bytes() for file in files}) == 1
    with safe_open(files[0], "pt") as file:
        assert set(file.metadata()) == {"featx", "featx.trained_on"}
        assert torch.equal(file.get_tensor("b"), torch.arange(6.0).reshape(2, 3))
    read = read_checkpoint(files[0])
    assert read.description["backbone"] == 'ö "quoted" \n'
    assert read.trained_on.encode() == TrainedOn.of().encode()
    assert torch.equal(read.state["a"], torch.ones(4, dtype=torch.bfloat16))


def test_without_more_metadata_it_is_read_as_well(tmp_path):
    path = Path(tmp_path / "n.safetensors")
    write_checkpoint(path, {"w": torch.zeros(3)}, {"backbone": "onet"})
    read = read_checkpoint(path)
    assert read.description["backbone"] == "onet"
    assert read.trained_on is None

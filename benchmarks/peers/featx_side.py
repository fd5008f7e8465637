"""Extract as a task's JSON file says, with featx; print what it took."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import torch

from featx.extraction import plan, run


def main(task: dict) -> None:
    settled = plan(
        task["table"],
        backbone=task["network"],
        weights=task["weights"],
        layers=list(task["layers"]),
        device=task["device"],
        precision=task["precision"],
        batch_size=task["batch_size"],
        mirror=False,
    )
    start = time.perf_counter()
    run(settled, Path(task["out"]) / "features.h5")
    seconds = time.perf_counter() - start
    told = {"seconds": seconds, "torch": torch.__version__, "threads": torch.get_num_threads()}
    print(json.dumps(told))


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))

"""Extract as a task's JSON file says, with thingsvision, as its manual does; print what it took."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import torch
from thingsvision import get_extractor
from thingsvision.utils.data import DataLoader, ImageDataset


def main(task: dict) -> None:
    extractor = get_extractor(
        model_name=task["network"],
        source="torchvision",
        device=task["device"],
        pretrained=False,
        model_path=task["weights"],
    )
    start = time.perf_counter()
    dataset = ImageDataset(
        root=task["folder"],
        out_path=task["out"],
        backend="pt",
        file_names=task["files"],
        transforms=extractor.get_transformations(resize_dim=224, crop_dim=224),
    )
    extractor.extract_features(
        batches=DataLoader(dataset=dataset, batch_size=task["batch_size"], backend="pt"),
        module_names=list(task["layers"].values()),
        flatten_acts=True,
        output_dir=task["out"],
    )
    seconds = time.perf_counter() - start
    told = {"seconds": seconds, "torch": torch.__version__, "threads": torch.get_num_threads()}
    print(f"\n{json.dumps(told)}")


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))

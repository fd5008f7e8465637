"""What a stage's epochs and its result come to, in words."""

from __future__ import annotations

from featx.training.config.stage import Stage
from featx.weights import LoadedNetwork


def summary(network: LoadedNetwork) -> str:
    """Return what a fine-tuned network's last epoch showed, in words."""
    told = network.provenance
    images, last = told["images"], told["last_epoch"]
    text = f"{images['train']} images, {told['epochs']} epochs"
    if "validation_loss" in last:
        grouped = any(spec.task == "age" and spec.groups for spec in network.heads)
        text += (
            f", validation {_score(last, grouped)} over {images['validation']} images after the "
            "last"
        )
    return text


def epoch_line(stage: Stage, row: dict[str, float]) -> str:
    """Return a row of a stage's history in words."""
    text = f"{stage.name}, epoch {row['epoch']:.0f} of {stage.epochs}: loss {row['train_loss']:.4f}"
    if "validation_loss" in row:
        text += f"; validation loss {row['validation_loss']:.4f}, {_score(row, bool(stage.groups))}"
    return text


def _score(row: dict[str, float], grouped: bool) -> str:
    told = []
    if grouped:
        told.append(f"accuracy {100 * row['validation_accuracy']:.1f} %")
    elif "validation_mae" in row:
        told.append(f"MAE {row['validation_mae']:.2f} years")
    if "validation_gender_accuracy" in row:
        told.append(f"gender {100 * row['validation_gender_accuracy']:.1f} %")
    return ", ".join(told)

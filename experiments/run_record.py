"""What ``run.json`` tells of the network whose own head was asked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from featx.heads import GENDERS, Task
from featx.manifest import table_file
from featx.prepared import prepared
from featx.views import View
from featx.weights import LoadedNetwork
from regress.methods import plain


def network_record(
    network: LoadedNetwork, cascade: Path, view: View, tables: Sequence[str | Path]
) -> dict[str, Any]:
    """Return the entry ``features``: a network's provenance, and how tested images were prepared.

    Parameters
    ----------
    network : LoadedNetwork
        Which all folds have in common.
    cascade : Path
        Its file.
    view : {"centre", "five"}
        The crops that are averaged over.
    tables : sequence of str or Path
        The prepared folders of the tested images.
    """
    return {
        "file": cascade.name,
        "tables": [str(table_file(table).absolute()) for table in tables],
        "provenance": {
            "backbone": network.backbone.name,
            "weights": network.weights,
            "weights_sha256": network.sha256,
            "preprocessing": plain(asdict(network.preprocessing)),
            "mirror": True,
            "view": view,
            "fine_tuning": plain(network.provenance),
            "prepare": [prepared(Path(table) / "prepare.json") for table in tables],
        },
    }


def task_record(task: Task, groups: Iterable[str]) -> dict[str, Any]:
    """Return the entries ``task`` and ``groups``; none where ages are told as such."""
    if task == "gender":
        return {"task": "gender", "groups": list(GENDERS)}
    told = list(groups)
    return {"task": "age-group", "groups": told} if told else {}

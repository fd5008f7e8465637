"""A page that shows all figures of an explanation and says what each file is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2

from featx import __version__
from featx.atomic import write_text
from featx.prediction.estimates import told_of

#: What the files are, by their names.
ABOUT = {
    "filters.png": "The first convolution's filters: grey is a weight of 0, light and dark are the "
    "filter's largest weights.",
    "filters.npz": "Their weights.",
    "attention.png": "The masks of the attention modules, mean over their channels; blue is the "
    "least, red the most that they let through.",
    "features.png": "Feature maps of each stage of convolution, those that vary most.",
    "grad-cam.png": "Grad-CAM of the last convolution: red speaks most for the target, blue not "
    "at all or against it.",
    "maps.npz": "The raw maps, with numpy.load.",
    "averages.png": "Mean faces and mean maps of the groups, each row on one scale of colours.",
    "average.png": "Mean face and mean maps of the group.",
    "sanity.png": "Maps while the weights are drawn anew, from the output back, and how alike they "
    "stay to the trained network's. A map that stays explains nothing.",
    "sanity.txt": "The numbers of the sanity check, as a table.",
    "sanity.json": "The same as JSON.",
    "explanations.json": "What was explained, with which network and settings, and all counts.",
}


def write_index(out: Path) -> None:
    """Write ``index.html`` of what ``explanations.json`` beside it tells, and of a sanity check."""
    told = json.loads((out / "explanations.json").read_text(encoding="utf-8"))
    kind = "image" if "images" in told else "group"
    records = told[f"{kind}s"]
    checked = [name for name in ABOUT if name.startswith("sanity.") and (out / name).is_file()]
    of_network = [*told["files"], *checked]
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    items = [
        {
            "name": record[kind],
            "told": told_of(record) if kind == "image" else _counted(record),
            "files": record.get("files", []),
        }
        for record in records
    ]
    there = {Path(file).name for item in items for file in item["files"]}
    names = [name for name in ABOUT if name in {*of_network, *there, "explanations.json"}]
    page = environment.get_template("index.html.j2").render(
        version=__version__, of_network=of_network, items=items, about=ABOUT, names=names
    )
    write_text(out / "index.html", page)


def _counted(record: Mapping[str, Any]) -> str:
    unread = len(record["unreadable"])
    return f"{record['images']} faces" + (f", {unread} unreadable" if unread else "")

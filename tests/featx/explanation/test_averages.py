"""Mean maps against means of single maps, whatever the batches; and whose faces they are of."""

import json
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from featx.errors import FeatxError
from featx.explanation.averages import METHODS, average_maps
from featx.explanation.choice import choose
from featx.explanation.grad_cam import grad_cam
from featx.explanation.grouping import read_grouping
from featx.explanation.sides import sides
from featx.manifest import read_table, write_table
from tests.featx.training.made_faces import make_folder


def prepared(folder, *, crop="aligned", **settings):
    given = {"crop": crop, "detector": "mtcnn", **settings}
    (folder / "prepare.json").write_text(json.dumps({"settings": given}))


def average(model, folder, out, by="subject", groups=(), *, before=None, **options):
    explaining = choose(model, [], ["age", "male"], among=METHODS)
    both = sides(model, explaining, before)
    grouping = read_grouping(folder, by, groups)
    counts = average_maps(model, both, grouping, out, explaining, **options)
    return counts, json.loads((out / "explanations.json").read_text())


def means(out, record):
    with np.load(out / record["files"][-1]) as file:
        return dict(file)


@pytest.fixture
def made(tmp_path):
    make_folder(tmp_path / "made", subjects=3, each=4)
    prepared(tmp_path / "made")
    return tmp_path / "made"


@pytest.mark.parametrize("batch_size", [5, 64])
def test_they_are_the_means_of_the_single_maps(model, made, tmp_path, batch_size):
    counts, told = average(model, made, tmp_path / "out", batch_size=batch_size)
    assert counts == {"groups": 3, "images": 12, "unreadable": 0}
    table = read_table(made)
    for record in told["groups"]:
        rows = table[table["subject"] == record["group"]]
        assert record["images"] == len(rows) == 4
        faces = np.stack([np.asarray(Image.open(made / crop)) for crop in rows["crop"]])
        x = (torch.tensor(faces, dtype=torch.float32).permute(0, 3, 1, 2) - 127.5) / 128
        found = means(tmp_path / "out", record)
        np.testing.assert_allclose(found["face"], faces.mean(0), rtol=1e-6)
        for target in choose(model, [], ["age", "male"]).targets:
            score = partial(target.score, model.heads)
            single = torch.cat(
                [grad_cam(model.network.module, "prelu4", each[None], score) for each in x]
            )
            signed, shown = single.mean(0), single.relu().mean(0)
            name = f"grad-cam/{target.name}"
            tolerance = {"rtol": 1e-3, "atol": 1e-4 * float(single.abs().max())}
            np.testing.assert_allclose(found[f"signed/{name}"], signed, **tolerance)
            np.testing.assert_allclose(found[name], shown, **tolerance)


def test_what_is_written(model, made, tmp_path):
    out = tmp_path / "out"
    _, told = average(model, made, out, before="random")
    files = [name for record in told["groups"] for name in record["files"]]
    assert all((out / name).is_file() for name in [*files, *told["files"], "index.html"])
    assert told["files"] == ["averages.png"]
    assert told["ledger"] == {"rows": 12, "usable": 12}
    found = means(out, told["groups"][0])
    assert found["before/grad-cam/age"].shape == found["grad-cam/age"].shape == (3, 3)
    page = (out / "index.html").read_text()
    assert all(f"<h2>{record['group']}</h2>" in page for record in told["groups"])


def test_an_unreadable_crop_is_counted_and_the_rest_averaged(model, made, tmp_path):
    table = read_table(made)
    for row in (0, 4, 5, 6, 7):
        (made / table["crop"][row]).write_bytes(b"no picture")
    counts, told = average(model, made, tmp_path / "out")
    assert counts == {"groups": 3, "images": 7, "unreadable": 5}
    first, second, _ = told["groups"]
    assert first["images"] == 3
    assert list(first["unreadable"]) == ["made00_0"]
    assert second["images"] == 0
    assert "files" not in second


def test_resuming_does_only_what_is_missing(model, made, tmp_path):
    out = tmp_path / "out"
    _, wanted = average(model, made, out)
    done = []
    second = out / wanted["groups"][1]["files"][0]
    first = out / wanted["groups"][0]["files"][0]
    before = first.stat().st_mtime_ns
    second.unlink()
    with pytest.raises(FeatxError, match="add --resume"):
        average(model, made, out)
    _, told = average(model, made, out, resume=True, advance=done.append)
    assert told == wanted
    assert second.is_file()
    assert first.stat().st_mtime_ns == before
    assert sum(done) == 12
    with pytest.raises(FeatxError, match="made with another average_by"):
        average(model, made, out, "all", resume=True)


def test_groups(made):
    table = read_table(made)
    table["age"] = [3, 9, 10, 19, 20, 25, 61, np.nan, 70, 71, 72, 5]
    table.loc[0, "age_group"] = "0-2"
    table.loc[4, "subject"] = ""
    table.loc[5, "status"] = "no_face"
    write_table(table, made / "images.csv")

    def sizes(by, *given):
        found = read_grouping(made, by, *given)
        return dict(zip(found.names, np.diff(found.starts).tolist(), strict=True)), found.told()

    assert sizes("age_group") == (
        {"0-2": 1, "0-9": 2, "10-19": 2, "20-29": 1, "60-69": 1, "70-79": 3},
        "10 of 12 rows, 6 age groups (1 not ok or seen before; 1 without group left out)",
    )
    assert sizes("age_group", ("0-12", "13-24"))[0] == {"0-12": 4, "13-24": 2}
    assert sizes("subject") == (
        {"00": 4, "01": 2, "02": 4},
        "10 of 12 rows, 3 subjects (1 not ok or seen before; 1 without subject left out)",
    )
    assert sizes("all")[0] == {"all": 11}
    found = read_grouping(made, "subject")
    assert found.samples.table["subject"].tolist() == ["00"] * 4 + ["01"] * 2 + ["02"] * 4
    with pytest.raises(FeatxError, match="did you mean age_group"):
        read_grouping(made, "age_groups")
    table["subject"] = ""
    write_table(table, made / "images.csv")
    with pytest.raises(FeatxError, match="none of 11 images has a subject"):
        read_grouping(made, "subject")


def test_subjects_of_several_sets_are_apart(tmp_path):
    one = make_folder(tmp_path / "a", subjects=2, each=1, dataset="a")
    other = make_folder(tmp_path / "b", subjects=2, each=1, dataset="b", seed=1)
    for table, folder in ((one, "a"), (other, "b")):
        table["crop"] = f"{folder}/" + table["crop"]
    write_table(pd.concat([one, other]), tmp_path / "images.csv")
    assert read_grouping(tmp_path, "subject").names == ("a 00", "a 01", "b 00", "b 01")


def test_faces_that_are_not_aligned_are_told(made):
    assert read_grouping(made, "all").warning == ""
    prepared(made, crop="margin", margin=0.4)
    assert "a margin of 0.4 and are not aligned" in read_grouping(made, "all").warning
    prepared(made, crop="whole")
    assert "taken whole" in read_grouping(made, "all").warning
    (made / "prepare.json").unlink()
    assert "no prepare.json tells" in read_grouping(made, "all").warning

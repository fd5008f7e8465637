import base64
import dataclasses
import io
import json
import re

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from featx.errors import FeatxError
from featx.file_hash import file_sha256
from featx.manifest import new_table, write_table
from regress.compare import compare
from regress.image_facts import genders, image_facts
from regress.report.page import render, write_report
from regress.report.sections import further_sections
from regress.report.thumbnails import thumbnail
from regress.worst_images import worst_images


def prepared_folder(folder, images, prepared="folder", **columns):
    """Write a table with a drawn crop of each image, as `featx prepare` does."""
    (folder / "crops").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for image in images:
        pixels = rng.integers(0, 255, (40, 30, 3), np.uint8)
        Image.fromarray(pixels).save(folder / "crops" / f"{image}.png")
    rows = {
        "image": images,
        "path": [f"/nowhere/{image}.jpg" for image in images],
        "crop": [f"crops/{image}.png" for image in images],
        "gender": ["female" if k % 2 else "" for k in range(len(images))],
        "dataset": prepared,
        **columns,
    }
    write_table(new_table(pd.DataFrame(rows)), folder / "images.csv")
    (folder / "prepare.json").write_text(json.dumps({"dataset": prepared}), encoding="utf-8")
    return folder / "images.csv"


def of_table(run, table, dataset="folder", **changes):
    """Return a run whose features say that they are of a table."""
    features = {
        "context": {"table": str(table)},
        "provenance": {"table_sha256": file_sha256(table), "prepare": {"dataset": dataset}},
        **changes,
    }
    return dataclasses.replace(run, info={**run.info, "features": features})


@pytest.fixture
def made(runs, tmp_path):
    """Two runs of ages, of pictures in a folder of the user's."""
    two = runs(["a", "b"])
    table = prepared_folder(tmp_path / "work", two[0].predictions["image"].tolist())
    return [of_table(run, table) for run in two]


def told(runs, facts=None, images=None):
    """Return how many pictures a report shows, and why not more."""
    worst = further_sections(compare(runs, bootstrap=200), facts, images).page["worst"]
    n = sum(picture != "" for *_, picture in worst["rows"])
    assert worst["any_picture"] == (n > 0)
    return n, worst["why"]


def test_the_worst_images_are_those_by_hand(runs):
    made = runs(["a", "b", "c"], n_images=300)
    short = dataclasses.replace(made[2], predictions=made[2].predictions.iloc[:250])
    comparison = compare([*made[:2], short], bootstrap=200)
    worst = worst_images(comparison, 30)
    errors = {
        run.method: (run.predictions["predicted_age"] - run.predictions["age"])
        .set_axis(run.predictions["image"])
        .to_dict()
        for run in comparison.runs
    }
    best = errors[comparison.names[0]]
    assert worst["image"].tolist() == sorted(best, key=lambda i: -abs(best[i]))[:30]
    for row in worst.itertuples():
        assert row.error == pytest.approx(best[row.image])
        assert row.predicted_age - row.age == pytest.approx(row.error)
        own = [abs(some[row.image]) for some in errors.values() if row.image in some]
        assert row.median_absolute_error == pytest.approx(np.median(own))
    assert set(worst["subject"]) <= set(made[0].predictions["subject"])


def test_pictures_of_a_users_own_are_shown_small_and_from_their_crops(made, tmp_path):
    page = write_report(compare(made, bootstrap=200), tmp_path / "report")
    text = page.read_text(encoding="utf-8")
    pictures = re.findall(r'<img src="data:image/jpeg;base64,([^"]+)"', text)
    assert len(pictures) == 20
    for data in pictures:
        with Image.open(io.BytesIO(base64.b64decode(data))) as picture:
            assert picture.size == (30, 40)
    assert "left out" not in text
    worst = pd.read_csv(tmp_path / "report" / "worst_images.csv", dtype={"image": str})
    listed = [worst["image"][0], worst["image"][19]]
    assert all(f">{image}</th>" in text for image in listed)


@pytest.mark.parametrize("dataset", ["fgnet", "utkface", "my-own-name-for-it"])
def test_pictures_of_other_sets_are_shown_when_asked_for_only(dataset, runs, tmp_path):
    run = runs(["a"])[0]
    table = prepared_folder(tmp_path / "work", run.predictions["image"].tolist(), dataset)
    run = of_table(run, table, dataset)
    n, why = told([run])
    assert n == 0
    assert f"sets of faces such as {dataset} are given for research" in why
    assert "--images shows them" in why
    assert told([run], images=True) == (20, "")


def test_a_table_of_the_users_that_names_a_known_set_is_of_that_set(runs, tmp_path):
    run = runs(["a"])[0]
    images = run.predictions["image"].tolist()
    table = prepared_folder(tmp_path / "work", images, "csv", dataset=["fgnet"] * len(images))
    facts = image_facts([of_table(run, table, "csv")])
    assert facts.datasets == ("csv", "fgnet")
    assert not facts.may_be_shown


def test_drawn_faces_in_the_layout_of_a_set_are_shown(runs, tmp_path):
    run = runs(["a"])[0]
    images = run.predictions["image"].tolist()
    folder = prepared_folder(tmp_path / "work", images, "drawn faces", dataset="fgnet")
    assert image_facts([of_table(run, folder, "drawn faces")]).may_be_shown


def test_no_images_leaves_them_out(made, tmp_path):
    assert told(made, images=False) == (0, "The pictures are left out, as --no-images asked for.")
    comparison = compare(made[:1], bootstrap=200)
    page = render(comparison, tmp_path, more=further_sections(comparison, images=False))
    assert "<img" not in page
    assert "as --no-images asked for" in page
    assert re.search(r"featx compare [^\n]* --no-images", page)


def test_without_a_record_the_list_says_why_it_has_no_picture(runs):
    made = runs(["a"], changes={"a": {"features": {}}})
    n, why = told(made)
    assert n == 0
    assert "it is not recorded which data set they are of" in why
    n, why = told(made, images=True)
    assert n == 0
    assert "of 20 of these images were not found: the runs do not say" in why
    assert "--table names the image table" in why


def test_a_table_that_moved_or_changed_tells_nothing(made, tmp_path):
    table = tmp_path / "work" / "images.csv"
    table.rename(tmp_path / "work" / "moved.csv")
    assert "images.csv is not there" in image_facts(made).missing
    assert "images.csv is not there" in told(made)[1]
    (tmp_path / "work" / "moved.csv").rename(table)
    table.write_text(table.read_text().replace("female", "male"), encoding="utf-8")
    facts = image_facts(made)
    assert "has changed since" in facts.missing
    assert (facts.table == "").all(axis=None)


def test_a_given_table_stands_in_for_one_that_is_not_there(runs, tmp_path):
    run = runs(["a"], changes={"a": {"features": {}}})[0]
    prepared_folder(tmp_path / "work", run.predictions["image"].tolist())
    facts = image_facts([run], tmp_path / "work")
    assert facts.may_be_shown
    assert (genders([run], facts) == "female").sum() == 40
    assert told([run], facts) == (20, "")
    flags = further_sections(compare([run], bootstrap=200), facts, images=True).flags
    assert flags == ["--images", "--table", str(tmp_path / "work")]
    prepared_folder(tmp_path / "other", ["x", "y"])
    with pytest.raises(FeatxError, match="has none of the predicted images"):
        image_facts([run], tmp_path / "other")


def test_what_predictions_tell_of_gender_comes_before_the_table(made):
    told = dataclasses.replace(made[0], predictions=made[0].predictions.assign(gender=""))
    told.predictions.loc[0, "gender"] = "male"
    told.predictions.loc[1, "gender"] = "male"
    found = genders([told, made[1]], image_facts([told, made[1]]))
    assert found["0000"] == "male"
    assert found["0001"] == "male"
    assert found["0003"] == "female"
    assert found["0002"] == ""


def test_tables_of_networks_tested_under_a_protocol_are_found(runs, tmp_path):
    run = runs(["a"])[0]
    images = run.predictions["image"].tolist()
    tables = [
        prepared_folder(tmp_path / "one", images[:30]),
        prepared_folder(tmp_path / "two", images[30:]),
    ]
    features = {"tables": list(map(str, tables)), "provenance": {"prepare": [None]}}
    found = image_facts([dataclasses.replace(run, info={**run.info, "features": features})])
    assert found.missing == ""
    assert (found.table["picture"] != "").all()


def test_one_picture_that_cannot_be_read_leaves_the_others(made, tmp_path):
    first = worst_images(compare(made, bootstrap=200))["image"][0]
    (tmp_path / "work" / "crops" / f"{first}.png").write_bytes(b"no picture")
    n, why = told(made)
    assert n == 19
    assert re.search(rf"pictures of 1 of these images were not found: .*{first}\.png: not an", why)


def test_a_thumbnail_has_pixels_and_nothing_else(tmp_path):
    pixels = np.zeros((300, 500, 3), np.uint8)
    pixels[:, :250] = 255
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "SECRET of the camera"
    Image.fromarray(pixels).save(
        tmp_path / "a.jpg", exif=exif, comment=b"SECRET comment", icc_profile=b"SECRET profile"
    )
    data = base64.b64decode(thumbnail(tmp_path / "a.jpg").partition(",")[2])
    assert b"SECRET" not in data
    assert len(data) < 3000
    with Image.open(io.BytesIO(data)) as picture:
        assert picture.size == (58, 96)  # turned upright, as its EXIF said
        assert not picture.getexif()
        assert not {"comment", "icc_profile", "exif"} & set(picture.info)
        small = np.asarray(picture).astype(int)
    assert small[:40].mean() > 250
    assert small[-40:].mean() < 5
    with pytest.raises(OSError, match="not there"):
        thumbnail(tmp_path / "b.jpg")

"""`featx explain` as it is typed."""

import json
import re
import shlex
import shutil

import pytest

from cli.explain import explain
from cli.main import main
from tests.featx.training.made_faces import make_folder


@pytest.fixture
def featx(capfd):
    def call(*arguments):
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        told = capfd.readouterr()
        return ended.value.code, told.out, told.err

    return call


def test_explain(featx, network_file, album, tmp_path):
    out = tmp_path / "out"
    given = ["explain", network_file, album / "a25.png", album / "none.png", "-o", out]
    given += ["--device", "cpu", "--target", "age", "--target", "female", "--channels", 3]
    code, told, err = featx(*given, "--dry-run")
    assert code == 0, err
    assert "network  onet; filters, features, grad-cam for age, female" in told
    assert "would look at 2 images" in told
    assert not out.exists()
    code, told, err = featx(*given)
    assert code == 0, err
    assert "images   2 (1 with a face, 1 without, 0 unreadable)" in told
    assert len(list(out.glob("*/grad-cam.png"))) == 1
    assert (out / "filters.png").is_file()
    code, _, err = featx(*given)
    assert code == 1
    assert "add --resume" in err
    assert featx(*given, "--resume")[0] == 0


def test_the_examples_of_the_help_work(featx, network_file, album, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tuned" / "1-faces").mkdir(parents=True)
    shutil.copy(network_file, tmp_path / "tuned" / "1-faces")
    shutil.copy(album / "a25.png", tmp_path / "face.jpg")
    make_folder(tmp_path / "work", subjects=2)
    examples = re.findall(r"^ *featx (explain .*)", explain.help, re.MULTILINE)
    assert len(examples) == 3
    for example in examples:
        code, told, err = featx(*shlex.split(example))
        assert code == 0, err
        out = tmp_path / shlex.split(example)[-1]
        assert f"written  {out.name}; open {out.name}/index.html" in told
        assert (out / "index.html").is_file()


def test_before_and_sanity_check(featx, network_file, album, tmp_path):
    out = tmp_path / "out"
    given = ["explain", network_file, album / "a25.png", "-o", out, "--device", "cpu"]
    given += ["--before", "mtcnn", "--sanity-check", "--method", "grad-cam"]
    code, told, err = featx(*given, "--dry-run")
    assert code == 0, err
    assert "before   mtcnn; it has no head, so no Grad-CAM before" in told
    assert "sanity   maps under drawn weights, 30 steps" in told
    assert not out.exists()
    code, told, err = featx(*given)
    assert code == 0, err
    assert re.search(r"sanity   grad-cam/age depends on the weights: rank correlation -?0", told)
    check = json.loads((out / "sanity.json").read_text())
    assert check["maps"]["grad-cam/age"] == {"places": 9, "faces": 1, "depends_on_weights": True}
    assert len(check["steps"]) == 10
    text = (out / "sanity.txt").read_text()
    assert all(step["drawn"] in text for step in check["steps"])
    assert 'src="sanity.png"' in (out / "index.html").read_text()
    first = (out / "sanity.json").read_bytes()
    assert featx(*given, "--resume")[0] == 0
    assert (out / "sanity.json").read_bytes() == first


def test_averages(featx, network_file, tmp_path):
    make_folder(tmp_path / "made")
    out = tmp_path / "out"
    given = ["explain", network_file, tmp_path / "made", "--average-by", "age_group"]
    given += ["--groups", "0-29,30-60", "--device", "cpu", "-o", out]
    code, told, err = featx(*given, "--dry-run")
    assert code == 0, err
    assert "network  onet; grad-cam for age" in told
    assert "faces    24 of 24 rows, 2 age groups (0 not ok or seen before)" in told
    assert "warning  no prepare.json tells how the crops were made: " in told
    assert "would average 24 faces" in told
    assert not out.exists()
    code, told, err = featx(*given)
    assert code == 0, err
    assert "groups   2, of 24 faces (0 unreadable)" in told
    assert "average: 24 of 24 images" in err
    assert (out / "averages.png").is_file()
    assert featx(*given, "--resume")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--method", "attention"], "has no modules of attention"),
        (["--target", "mal"], "did you mean male"),
        (["--score", "logits"], "did you mean logit"),
        (["--detector", "hair"], "did you mean haar"),
        (["--before", "no.pth"], "--before no.pth is not there"),
        (["--method", "features", "--sanity-check"], "--sanity-check is of attention and"),
        (["--average-by", "all", "--sanity-check"], "leave out --average-by"),
        (["--average-by", "al"], "unknown --average-by 'al'"),
        (["--average-by", "all", "--method", "features"], "unknown method 'features'"),
        (["--average-by", "all", "--margin", "0.2"], "--margin: --average-by takes the crops"),
        (["--groups", "0-12,13-20"], "--groups are for --average-by age_group"),
    ],
)
def test_bad_input_is_one_line(featx, network_file, album, tmp_path, arguments, message):
    code, _, err = featx(
        "explain", network_file, album / "a25.png", "-o", tmp_path / "o", *arguments
    )
    assert code == 1
    (line,) = err.strip().splitlines()
    assert line.startswith("featx: error: ")
    assert message in line


def test_no_network_and_no_image(featx, network_file, tmp_path):
    code, _, err = featx("explain", tmp_path / "no.safetensors", "a.png", "-o", tmp_path / "o")
    assert code == 1
    assert "is not there" in err
    code, _, err = featx("explain", network_file, tmp_path / "no.png", "-o", tmp_path / "o")
    assert code == 1
    assert "no.png is not there" in err

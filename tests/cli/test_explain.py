"""`featx explain` as it is typed."""

import pytest

from cli.main import main


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
    assert "network  onet; features, grad-cam for age, female" in told
    assert "would look at 2 images" in told
    assert not out.exists()
    code, told, err = featx(*given)
    assert code == 0, err
    assert "images   2 (1 with a face, 1 without, 0 unreadable)" in told
    assert len(list(out.glob("*/grad-cam.png"))) == 1
    code, _, err = featx(*given)
    assert code == 1
    assert "add --resume" in err
    assert featx(*given, "--resume")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--method", "attention"], "has no modules of attention"),
        (["--target", "mal"], "did you mean male"),
        (["--detector", "hair"], "did you mean haar"),
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

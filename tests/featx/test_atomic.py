import json

import pytest

from featx.atomic import write_json, write_text, writing
from featx.errors import FeatxError


def test_a_failure_leaves_the_former_file_and_no_other(tmp_path):
    path = tmp_path / "file.txt"
    write_text(path, "former")

    def fail():
        with writing(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert path.read_text() == "former"
    assert list(tmp_path.iterdir()) == [path]


def test_folders_are_made_and_the_mode_is_the_usual(tmp_path):
    path = tmp_path / "new" / "file.json"
    write_json(path, {"ü": 1})
    assert json.loads(path.read_text("utf-8")) == {"ü": 1}
    (tmp_path / "plain").touch()
    assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_nan_is_refused_for_json_has_none(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "x.json", float("nan"))


def test_an_unwritable_place_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(FeatxError, match="cannot write"):
        write_text(tmp_path / "file" / "below", "x")

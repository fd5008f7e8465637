import json
import os
import subprocess
import sys

import pytest

from featx.atomic import remove_leftovers, write_json, write_text, writing
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


def test_only_the_leftovers_of_dead_processes_are_removed(tmp_path):
    code = (
        "import os, sys\nfrom pathlib import Path\nfrom featx.atomic import writing\n"
        "with writing(Path(sys.argv[1]) / 'killed.csv') as temporary:\n    os._exit(9)\n"
    )
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path)]).returncode == 9
    (killed,) = tmp_path.glob(".killed.csv.*.partial")
    place, _, rest = killed.name.removeprefix(".killed.csv.").partition("-")
    elsewhere = f".elsewhere.csv.{'0' * 8 if place != '0' * 8 else '1' * 8}-{rest}"
    for name in (elsewhere, ".unknown.partial", "f.h5.partial"):
        (tmp_path / name).touch()
    with writing(tmp_path / "own.csv") as own:
        running = own.name.replace(f"-{os.getpid()}.", f"-{os.getppid()}.")
        (tmp_path / running).touch()
        remove_leftovers(tmp_path)
        left = {path.name for path in tmp_path.iterdir()}
        assert left == {own.name, running, elsewhere, ".unknown.partial", "f.h5.partial"}


def test_colleagues_may_read_what_a_writer_put_in_place_of_the_temporary(tmp_path):
    with writing(tmp_path / "network") as temporary:
        other = tmp_path / "other"
        other.write_text("weights")
        other.chmod(0o600)  # as safetensors does
        other.replace(temporary)
    plain = tmp_path / "plain"
    plain.touch()
    assert (tmp_path / "network").stat().st_mode == plain.stat().st_mode


def test_the_first_file_that_is_written_into_a_folder_removes_what_a_killed_process_left(tmp_path):
    code = (
        "import os, sys\nfrom featx.atomic import writing\n"
        "with writing(sys.argv[1]):\n    os._exit(1)\n"
    )
    other = tmp_path / "figures" / "other.png"
    subprocess.run([sys.executable, "-c", code, other], check=False)
    (left,) = other.parent.iterdir()
    assert left.name.endswith(".partial")
    write_text(other.parent / "one.svg", "one")
    assert [path.name for path in other.parent.iterdir()] == ["one.svg"]


def test_a_name_that_is_no_utf8_is_written_and_read_again(tmp_path):
    named = os.fsdecode(b"M\xfcnchen")
    write_json(tmp_path / "x.json", [named])
    assert json.loads((tmp_path / "x.json").read_text("utf-8")) == [named]

import pytest
from click.testing import CliRunner

from cli import main as program
from cli.options import Duration
from featx.errors import FeatxError


def run(capsys, *arguments):
    with pytest.raises(SystemExit) as ended:
        program.main(list(arguments))
    captured = capsys.readouterr()
    return ended.value.code, captured.out, captured.err


def test_help_lists_every_command_and_each_can_be_loaded(capsys):
    code, out, _ = run(capsys, "--help")
    assert code == 0
    for name in program.COMMANDS:
        assert f"  {name}" in out
        command = program.group.get_command(None, name)
        assert command.name == name
        assert CliRunner().invoke(command, ["--help"]).exit_code == 0


def test_a_mistyped_command_is_told_what_is_near(capsys):
    code, _, err = run(capsys, "extrakt")
    assert code == 2
    assert "did you mean extract" in err


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (FeatxError("row 3 is wrong; mend it"), 1, "featx: error: row 3 is wrong; mend it\n"),
        (ValueError("odd"), 1, "featx: unexpected ValueError: odd; -v shows where\n"),
        (
            ModuleNotFoundError("no", name="optuna.samplers"),
            1,
            "featx: error: this needs optuna.samplers, which is not installed: "
            "pip install 'featx[finetune]'\n",
        ),
        (KeyboardInterrupt(), 130, "featx: stopped; add --resume to go on from here\n"),
    ],
)
def test_errors_are_one_line_and_a_status(capsys, monkeypatch, error, code, told):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(program.group, "main", fail)
    assert run(capsys, "inspect", "x") == (code, "", told)


def test_a_traceback_only_when_asked_for(capsys, tmp_path):
    missing = str(tmp_path / "none.h5")
    _, _, quiet = run(capsys, "regress", missing, "--regressor", "mean", "-o", str(tmp_path / "o"))
    _, _, loud = run(
        capsys, "regress", missing, "--regressor", "mean", "-o", str(tmp_path / "o"), "-v"
    )
    assert len(quiet.splitlines()) == 1
    assert "Traceback" in loud


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("90s", 90), ("10m", 600), ("12h", 43200), ("1.5h", 5400)]
)
def test_durations(text, seconds):
    assert Duration().convert(text, None, None) == seconds


@pytest.mark.parametrize("text", ["", "h", "5x", "-3m", "0", "inf", "nan"])
def test_what_is_no_duration(text):
    with pytest.raises(Exception, match="is not a duration"):
        Duration().convert(text, None, None)

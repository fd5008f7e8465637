"""Finding and building the environment, with a stand-in for uv; the real build is marked automl."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from featx.errors import FeatxError
from regress.regressors.auto_sklearn import environment, uv_settings

ROOT = Path(environment.__file__).parents[3]

#: A uv whose environments hold a script that answers the probe; it keeps count in $CALLS.
FAKE_UV = """#!/bin/sh
echo "$1 $2 $*" >> "$CALLS"
[ -n "$FAIL" ] && [ "$1" = "$FAIL" ] && { echo "error: $COMPLAINT" >&2; exit 2; }
if [ "$1" = venv ]; then
  for folder; do :; done
  mkdir -p "$folder/bin"
  cat > "$folder/bin/python" <<END
#!/bin/sh
echo '["3.9.99", "${ANSWER:-0.15.0}"]'
END
  chmod +x "$folder/bin/python"
else
  sleep "${PAUSE:-0}"
fi
"""


@pytest.fixture
def fake_uv(tmp_path, monkeypatch):
    uv = tmp_path / "tools" / "uv"
    uv.parent.mkdir()
    uv.write_text(FAKE_UV)
    uv.chmod(0o755)
    calls = tmp_path / "calls"
    monkeypatch.setenv("CALLS", str(calls))
    monkeypatch.setattr(uv_settings, "binary", lambda: str(uv))
    monkeypatch.setattr(environment, "python39", lambda: "/somewhere/python3.9")
    return calls


def quiet(text: str) -> None:
    pass


def test_location_follows_the_argument_the_variable_and_the_cache(tmp_path, monkeypatch):
    monkeypatch.delenv(environment.VARIABLE, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert environment.location().parent == tmp_path / "featx"
    assert environment.location().name.startswith("auto-sklearn-0.15.0-")
    monkeypatch.setenv(environment.VARIABLE, str(tmp_path / "mine"))
    assert environment.location() == tmp_path / "mine"
    assert environment.location(tmp_path / "given") == tmp_path / "given"


def test_it_is_built_once_with_the_pins_and_then_found(tmp_path, fake_uv):
    place = tmp_path / "env"
    assert environment.find(place) is None
    assert environment.status(place)["problem"] == "not built yet"
    told: list[str] = []
    python = environment.ensure(place, told.append)
    assert python == place / "bin" / "python" == environment.find(place)
    assert len(told) == 2
    venv, install = fake_uv.read_text().splitlines()
    assert "--python /somewhere/python3.9" in venv
    assert f"-r {environment.REQUIREMENTS}" in install
    environment.ensure(place, told.append)
    assert len(told) == 2
    assert len(fake_uv.read_text().splitlines()) == 2
    assert environment.status(place) == {
        "path": str(place),
        "complete": True,
        "python": "3.9.99",
        "autosklearn": "0.15.0",
        "problem": None,
    }


def test_a_half_built_environment_is_built_again(tmp_path, fake_uv):
    place = tmp_path / "env"
    environment.ensure(place, quiet)
    (place / environment._MARKER).unlink()
    (place / "remains").touch()
    assert environment.find(place) is None
    assert environment.status(place)["problem"] == "half built"
    environment.ensure(place, quiet)
    assert environment.find(place) is not None
    assert not (place / "remains").exists()


def test_other_pins_mean_another_build(tmp_path, fake_uv):
    place = tmp_path / "env"
    environment.ensure(place, quiet)
    marker = json.loads((place / environment._MARKER).read_text())
    (place / environment._MARKER).write_text(json.dumps({**marker, "requirements_sha256": "0"}))
    assert environment.find(place) is None
    environment.ensure(place, quiet)
    assert environment.find(place) is not None


def test_processes_that_ask_together_build_once(tmp_path, fake_uv):
    place = tmp_path / "env"
    code = (
        "import sys; from regress.regressors.auto_sklearn import environment as e\n"
        "from regress.regressors.auto_sklearn import uv_settings as u\n"
        "u.binary = lambda: sys.argv[2]; e.python39 = lambda: None\n"
        "print(e.ensure(sys.argv[1]))"
    )
    command = [sys.executable, "-c", code, str(place), uv_settings.binary()]
    variables = {**os.environ, "PAUSE": "2", "PYTHONPATH": str(ROOT)}
    asking = [
        subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    for process in asking:
        out, _ = process.communicate(timeout=120)
        assert process.returncode == 0
        assert out.splitlines()[-1] == str(place / "bin" / "python")
    assert len(fake_uv.read_text().splitlines()) == 2  # one venv, one install


@pytest.mark.parametrize(
    ("fails", "hint"), [("venv", "uv python install 3.9"), ("pip", "package index")]
)
def test_offline_is_one_clear_line_and_nothing_half_built_stays(
    tmp_path, fake_uv, monkeypatch, fails, hint
):
    monkeypatch.setenv("FAIL", fails)
    monkeypatch.setenv("COMPLAINT", "no route to host")
    with pytest.raises(FeatxError) as raised:
        environment.ensure(tmp_path / "env", quiet)
    text = str(raised.value)
    assert "no route to host" in text
    assert hint in text
    assert "\n" not in text
    assert not (tmp_path / "env").exists()


def test_an_installation_of_another_version_is_refused(tmp_path, fake_uv, monkeypatch):
    monkeypatch.setenv("ANSWER", "0.14.0")
    with pytest.raises(FeatxError, match=r"it has auto-sklearn 0\.14\.0"):
        environment.ensure(tmp_path / "env", quiet)
    assert not (tmp_path / "env").exists()


def test_a_folder_of_the_users_own_is_never_removed(tmp_path, fake_uv):
    place = tmp_path / "mine"
    place.mkdir()
    (place / "thesis.tex").write_text("years of work")
    with pytest.raises(FeatxError, match="is not an environment with auto-sklearn"):
        environment.ensure(place, quiet)
    assert environment.status(place)["complete"] is False
    assert (place / "thesis.tex").read_text() == "years of work"
    assert not fake_uv.exists()


def test_an_environment_of_the_users_own_is_used_as_it_is(tmp_path, fake_uv):
    python = tmp_path / "mine" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text('#!/bin/sh\necho \'["3.10.1", "0.15.0"]\'\n')
    python.chmod(0o755)
    assert environment.ensure(tmp_path / "mine", quiet) == python
    assert environment.status(tmp_path / "mine")["python"] == "3.10.1"
    assert not fake_uv.exists()


def test_where_it_may_not_be_built_it_is_used_without_a_lock_or_refused_in_one_line(
    tmp_path, fake_uv, monkeypatch
):
    place = tmp_path / "shared" / "env"
    monkeypatch.setenv(environment.BUILD_VARIABLE, "never")
    with pytest.raises(
        FeatxError, match=r"is not built yet, .*doctor --install auto-sklearn"
    ) as it:
        environment.ensure(place, quiet)
    assert "\n" not in str(it.value)
    assert not place.parent.exists()  # no lock file either
    assert not fake_uv.exists()
    monkeypatch.delenv(environment.BUILD_VARIABLE)
    environment.ensure(place, quiet)
    monkeypatch.setenv(environment.BUILD_VARIABLE, "never")
    monkeypatch.setattr(environment, "_locked", None)  # neither taken nor waited for
    assert environment.ensure(place, quiet) == place / "bin" / "python"
    python = tmp_path / "mine" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text('#!/bin/sh\necho \'["3.10.1", "0.15.0"]\'\n')
    python.chmod(0o755)
    assert environment.ensure(tmp_path / "mine", quiet) == python


def test_a_python_that_is_only_on_the_machine_that_built_is_named(tmp_path, fake_uv, monkeypatch):
    place = tmp_path / "env"
    environment.ensure(place, quiet)
    (place / "bin" / "python").unlink()
    (place / "bin" / "python").symlink_to("/only/there/python3.9")
    monkeypatch.setenv(environment.BUILD_VARIABLE, "never")
    with pytest.raises(FeatxError, match=r"/only/there/python3.9 is not on this machine"):
        environment.ensure(place, quiet)


def test_another_word_than_never_is_refused(tmp_path, fake_uv, monkeypatch):
    monkeypatch.setenv(environment.BUILD_VARIABLE, "no")
    with pytest.raises(FeatxError, match="FEATX_AUTOSKLEARN_BUILD is 'no': give never"):
        environment.ensure(tmp_path / "env", quiet)


def test_a_shim_that_leads_nowhere_is_passed_over_for_pyenvs_own(tmp_path, monkeypatch):
    shims, real = tmp_path / "shims", tmp_path / "root" / "versions" / "3.9.7" / "bin"
    shims.mkdir()
    real.mkdir(parents=True)
    (shims / "python3.9").write_text("#!/bin/sh\necho 'command not found' >&2; exit 127\n")
    (real / "python").write_text("#!/bin/sh\necho 3 9\n")
    (shims / "python3.9").chmod(0o755)
    (real / "python").chmod(0o755)
    monkeypatch.setenv("PATH", f"{shims}{os.pathsep}/bin{os.pathsep}/usr/bin")
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "root"))
    assert environment.python39() == str(real / "python")


def test_pips_settings_are_told_to_uv_unless_uv_has_its_own():
    pip = {
        "index-url": "https://mirror.example/simple",
        "extra-index-url": "https://a.example/simple\nhttps://b.example/simple",
        "find-links": "/wheels /more",
        "cert": "/etc/ca.pem",
        "no-color": "1",
    }
    assert uv_settings.translate(pip, {}) == {
        "UV_DEFAULT_INDEX": "https://mirror.example/simple",
        "UV_INDEX": "https://a.example/simple https://b.example/simple",
        "UV_INDEX_STRATEGY": "unsafe-best-match",
        "UV_FIND_LINKS": "/wheels,/more",
        "SSL_CERT_FILE": "/etc/ca.pem",
    }
    own = {"UV_INDEX_URL": "x", "UV_EXTRA_INDEX_URL": "y", "SSL_CERT_FILE": "z"}
    assert uv_settings.translate(pip, own) == {"UV_FIND_LINKS": "/wheels,/more"}


def test_pips_file_is_read_and_its_variables_outrank_it(tmp_path, monkeypatch):
    pytest.importorskip("pip")
    path = tmp_path / "pip.conf"
    path.write_text("[global]\nindex-url = https://file.example/simple\nfind-links = /from-file\n")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(path))
    monkeypatch.setenv("PIP_INDEX_URL", "https://variable.example/simple")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    settings = uv_settings.pip_settings()
    assert settings["index-url"] == "https://variable.example/simple"
    assert settings["find-links"] == "/from-file"


def test_uv_itself_is_found():
    done = subprocess.run([uv_settings.binary(), "--version"], capture_output=True, text=True)
    assert done.stdout.startswith("uv ")


@pytest.mark.automl
def test_the_real_environment_has_the_pins():
    python = environment.ensure()
    code = (
        "import json; from importlib.metadata import distributions;"
        "print(json.dumps({d.metadata['Name'].lower(): d.version for d in distributions()}))"
    )
    told = subprocess.run([python, "-I", "-c", code], capture_output=True, text=True, check=True)
    installed = {name.replace("_", "-"): v for name, v in json.loads(told.stdout).items()}
    lines = environment.REQUIREMENTS.read_text().splitlines()
    pins = dict(line.lower().split("==") for line in lines if "==" in line)
    assert len(pins) == 42
    assert {name: installed.get(name) for name in pins} == pins

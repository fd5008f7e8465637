"""uv's binary, and pip's configuration told in uv's terms."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys

from featx.errors import FeatxError

#: pip's setting -> uv's variable. `cert` becomes what OpenSSL and uv read.
_TRANSLATED = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "no-index": "UV_NO_INDEX",
    "cert": "SSL_CERT_FILE",
    "default-timeout": "UV_HTTP_TIMEOUT",
    "timeout": "UV_HTTP_TIMEOUT",
    "trusted-host": "UV_INSECURE_HOST",
}
#: Other names under which uv may have been told the same.
_SYNONYMS = {"UV_DEFAULT_INDEX": ("UV_INDEX_URL",), "UV_INDEX": ("UV_EXTRA_INDEX_URL",)}


def binary() -> str:
    """Return the path of uv's binary, from its package or from PATH."""
    try:
        import uv

        return os.fspath(uv.find_uv_bin())
    except (ImportError, FileNotFoundError):
        found = shutil.which("uv")
    if found is None:
        raise FeatxError("uv is not installed; run `pip install uv`")
    return found


def environment() -> dict[str, str]:
    """Return the variables for uv: ours, with pip's configuration where uv has none of its own."""
    variables = {name: v for name, v in os.environ.items() if not name.startswith("PYTHON")}
    for name in ("VIRTUAL_ENV", "CONDA_PREFIX", "UV_PYTHON", "UV_PROJECT_ENVIRONMENT"):
        variables.pop(name, None)
    variables.update(translate(pip_settings(), variables))
    # Without byte code every worker's import takes 15 s instead of 1 to 4.
    variables.update(UV_COMPILE_BYTECODE="1", UV_NO_PROGRESS="1")
    return variables


def pip_settings() -> dict[str, str]:
    """Return pip's settings from its files and variables, as pip itself lists them."""
    settings: dict[str, str] = {}
    try:
        listed = subprocess.run(
            [sys.executable, "-m", "pip", "config", "list", "--disable-pip-version-check"],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        listed = ""
    for line in listed.splitlines():
        name, found, value = line.partition("=")
        section, _, option = name.rpartition(".")
        if found and section in ("global", "install", ":env:"):
            try:
                settings[option] = str(ast.literal_eval(value))
            except (SyntaxError, ValueError):
                continue
    for name, value in os.environ.items():  # they outrank the files, and pip may be absent
        if name.startswith("PIP_"):
            settings[name[4:].lower().replace("_", "-")] = value
    return settings


def translate(settings: dict[str, str], variables: dict[str, str]) -> dict[str, str]:
    """Return pip's `settings` as variables for uv, without those already in `variables`."""
    translated: dict[str, str] = {}
    for option, name in _TRANSLATED.items():
        value = settings.get(option, "").strip()
        if value and not any(other in variables for other in (name, *_SYNONYMS.get(name, ()))):
            # pip separates by white space everywhere; uv takes commas for links.
            separator = "," if name == "UV_FIND_LINKS" else " "
            translated[name] = separator.join(value.split())
    if "UV_INDEX" in translated and "UV_INDEX_STRATEGY" not in variables:
        # pip takes the best version of all indexes; uv would only look into the first.
        translated["UV_INDEX_STRATEGY"] = "unsafe-best-match"
    return translated

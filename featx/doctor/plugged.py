"""What other packages bring, and what of it cannot be imported."""

from __future__ import annotations

import json
import subprocess
import sys

from featx.doctor.finding import Finding
from featx.plugins import GROUPS, find_plugin, plugin_names

#: Prints, as JSON, what is wrong with the plug-in of each kind and name; null where nothing is.
_LOAD = """
import json, sys
from featx.errors import FeatxError
from featx.plugins import find_plugin
def problem(kind, name):
    try:
        find_plugin(kind, name).load()
    except FeatxError as error:
        return str(error)
print("\\n" + json.dumps([problem(*each) for each in json.loads(sys.argv[1])]))
"""


def check_plugins() -> list[Finding]:
    """Import what other packages bring in a process of its own, and tell what cannot be."""
    named = [(kind, name) for kind in GROUPS for name in plugin_names(kind)]
    if not named:
        return []
    command = [sys.executable, "-c", _LOAD, json.dumps(named)]
    probe = subprocess.run(command, capture_output=True, text=True)
    if probe.returncode:
        lines = probe.stderr.strip().splitlines() or ["crashed"]
        return [Finding("plug-ins", False, lines[-1], "uninstall them one by one")]
    problems = json.loads(probe.stdout.splitlines()[-1])
    return [
        Finding(f"{kind} {name}", False, problem, "mend or uninstall the package")
        if problem
        else Finding(f"{kind} {name}", True, str(find_plugin(kind, name)))
        for (kind, name), problem in zip(named, problems, strict=True)
    ]

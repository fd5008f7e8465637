"""Known holes in what is installed: pip-audit, where its database can be reached.

    python -m tests.audit

`make lint` runs it. Without a network it says so and is content: whoever works on a train may
still lint, and CI, which has one, asks.
"""

from __future__ import annotations

import json
import subprocess
import sys

#: Holes that are known and don't reach featx: the advisory's id and why.
ANSWERED: dict[str, str] = {}


def main() -> int:
    """Print what is known; return 1 where some of it isn't answered, else 0."""
    words = ["--format", "json", "--progress-spinner", "off", "--skip-editable"]
    ignored = [word for name in ANSWERED for word in ("--ignore-vuln", name)]
    done = subprocess.run(
        [sys.executable, "-m", "pip_audit", *words, *ignored],
        capture_output=True,
        text=True,
        check=False,
    )
    try:
        packages = json.loads(done.stdout)["dependencies"]
    except ValueError:
        lines = done.stderr.strip().splitlines() or ["it said nothing"]
        print(f"pip-audit asked nobody: {lines[-1]}", file=sys.stderr)
        return 0
    holes = [(package, hole) for package in packages for hole in package.get("vulns", [])]
    for package, hole in holes:
        mended = ", ".join(hole["fix_versions"]) or "no release"
        print(f"{package['name']} {package['version']}: {hole['id']}, mended in {mended}")
    asked = sum("vulns" in package for package in packages)
    print(f"pip-audit: {asked} of {len(packages)} packages looked up, {len(holes)} known holes")
    return bool(holes)


if __name__ == "__main__":
    sys.exit(main())

"""featx run as a user runs it, and the scripts that it would submit."""

import os
import re
import subprocess
import sys

FEATX = (sys.executable, "-m", "cli.main")


def featx(*words, code=0, program=FEATX, **variables):
    """Run a command, with more variables, to its end, which must have the status `code`."""
    done = subprocess.run(
        [str(word) for word in (*program, *words)],
        capture_output=True,
        text=True,
        timeout=900,
        env=os.environ | variables,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done


def scripts(told):
    """Return the scripts that ``--dry-run`` printed, as many as it said."""
    found = re.split(r"(?m)^# script \d+ of (\d+).*\n", told)[1:]
    assert {int(count) for count in found[::2]} == {len(found) // 2}
    return found[1::2]


def assert_accepted(script, folder):
    """Let Slurm check a script without running it."""
    (folder / "job.sh").write_text(script)
    subprocess.run(["sbatch", "--test-only", folder / "job.sh"], check=True)

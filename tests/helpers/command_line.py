# SPDX-License-Identifier: Apache-2.0
"""The command line as a user meets it: a process of its own."""

import subprocess
import sys


def run(*arguments, stdin: str | None = None) -> subprocess.CompletedProcess:
    """The command as a user starts it."""
    return subprocess.run(
        [sys.executable, "-m", "ornstein.host.cli.main", *map(str, arguments)],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=300,
    )


def failure(*arguments, stdin: str | None = None) -> tuple[int, str]:
    """(exit code, the one line on standard error) of a command that must fail without a
    traceback.
    """
    result = run(*arguments, stdin=stdin)
    assert "Traceback" not in result.stderr
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("ornstein: "), result.stderr
    return result.returncode, lines[0]

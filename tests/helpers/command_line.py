# SPDX-License-Identifier: Apache-2.0
"""The command line as a user meets it: arguments and standard streams, and an exit code.

The command runs in this process, where its libraries are loaded already. That it runs in one of its
own as well is tested in ``tests/host/cli/test_main.py``.
"""

import subprocess
import sys
from contextlib import ExitStack
from tempfile import TemporaryFile
from unittest import mock

from ornstein.host.cli.app import remarks
from ornstein.host.cli.main import main


def run(*arguments, stdin: str | None = None) -> subprocess.CompletedProcess:
    """The command as a user starts it. Its standard streams are files."""
    command = ["ornstein", *map(str, arguments)]
    with ExitStack() as stack:
        given, output, errors = (stack.enter_context(TemporaryFile("w+")) for _ in range(3))
        given.write(stdin or "")
        given.seek(0)
        stack.enter_context(mock.patch.object(remarks, "quiet", False))
        stack.enter_context(
            mock.patch.multiple(sys, argv=command, stdin=given, stdout=output, stderr=errors)
        )
        try:
            main()
        except SystemExit as ended:
            code = ended.code or 0
        output.seek(0)
        errors.seek(0)
        return subprocess.CompletedProcess(command, code, output.read(), errors.read())


def failure(*arguments, stdin: str | None = None) -> tuple[int, str]:
    """(exit code, the one line on standard error) of a command that must fail without a
    traceback.
    """
    result = run(*arguments, stdin=stdin)
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("ornstein: "), result.stderr
    return result.returncode, lines[0]

# SPDX-License-Identifier: Apache-2.0
"""The process: closed streams, readers that go away, interrupts, and errors of the system."""

import errno
import os
import signal
import subprocess
import sys

import pytest

from helpers.command_line import failure
from ornstein.host.cli import main as cli
from ornstein.host.cli.exit_codes import EXIT_CODES, exit_code

COMMAND = [sys.executable, "-m", "ornstein.host.cli.main"]


def shell(line: str) -> subprocess.CompletedProcess:
    """Runs a line of bash in which $ORNSTEIN is the command; its exit code is the command's."""
    return subprocess.run(
        ["bash", "-c", f"set -o pipefail; {line}"],
        env=os.environ | {"ORNSTEIN": " ".join(COMMAND)},
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize("command", ["--help", "devices"])
def test_a_reader_that_goes_away_is_no_error(command):
    result = shell(f"$ORNSTEIN {command} | true")
    assert result.returncode in (0, cli.CUT_SHORT)
    assert result.stderr == ""
    # the pipe is closed before the command starts, so that all of its output is refused
    result = shell(f"{{ sleep 0.1; exec $ORNSTEIN {command}; }} > >(exec true)")
    assert result.returncode in (0, cli.CUT_SHORT)
    assert result.stderr == ""


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_standard_streams_are_no_error(closed):
    result = shell(f"$ORNSTEIN devices {closed}")
    assert result.returncode == 0
    assert "Traceback" not in result.stderr


def test_standard_output_that_cannot_be_written():
    result = shell("$ORNSTEIN devices > /dev/full")
    assert result.returncode == EXIT_CODES[OSError]
    assert result.stderr == (
        "ornstein: No space left on device; free some space, or name another place\n"
    )


def test_an_interrupt_while_the_command_is_loaded(tmp_path):
    """A module that a command loads waits until it is interrupted. It hears interrupts even if
    these tests do not, as in the background of a shell.
    """
    (tmp_path / "rich").mkdir()
    (tmp_path / "rich" / "__init__.py").write_text(
        "import time\nprint('loading', flush=True)\ntime.sleep(30)\n"
    )
    process = subprocess.Popen(
        [*COMMAND, "devices"],
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout and process.stdout.readline() == "loading\n"
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=20) == ("", "")
    assert process.returncode == cli.INTERRUPTED


def test_an_error_of_the_system_names_the_file_and_a_remedy(tmp_path):
    code, line = failure("devices", "--json", tmp_path)
    assert code == EXIT_CODES[OSError]
    assert line == f"ornstein: {tmp_path}: Is a directory; name a file in it"


def test_an_error_is_one_line_whatever_a_file_is_called():
    _, line = failure("inspect", "two\nlines\x1b[31m.program")
    assert r"two\nlines\x1b[31m.program" in line


def test_every_error_of_a_layer_has_a_code_and_others_have_none():
    assert exit_code(OSError(errno.ENOSPC, "No space left on device")) == 9
    assert all(exit_code(kind("x")) == code for kind, code in EXIT_CODES.items())
    assert exit_code(ZeroDivisionError()) is None

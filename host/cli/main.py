# SPDX-License-Identifier: Apache-2.0
"""The command line. Every error is one line; every layer has its exit code
(:data:`ornstein.host.cli.exit_codes.EXIT_CODES`).
"""

import errno
import os
import select
import signal
import sys
from contextlib import suppress

INTERRUPTED = 128 + signal.SIGINT
CUT_SHORT = 141
"""Exit code where nobody reads standard output any more: that of a program which SIGPIPE ends."""
_REMEDIES = {
    errno.ENOSPC: "free some space, or name another place",
    errno.EDQUOT: "free some space, or name another place",
    errno.EFBIG: "the limit of a file's size is reached; raise it, or name another place",
    errno.EACCES: "name a place that you may use",
    errno.EPERM: "name a place that you may use",
    errno.EROFS: "name a place that can be written",
    errno.EISDIR: "name a file in it",
    errno.ENOTDIR: "name a place whose folder exists",
    errno.ENOENT: "check the name, or make the folder",
}


def main() -> None:
    """Entry point of the ``ornstein`` command."""
    output = None
    try:
        _open_standard_streams()
        output = os.dup(1)
        code = _run()
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # what is left to do takes no time
        code = INTERRUPTED
    sys.exit(_flushed(code, output))


def _run() -> int | str | None:
    """Runs the command that the arguments name; returns the exit code."""
    # imported here, so that an interrupt at this point is handled like any other
    from ornstein.host.cli.app import app, errors

    try:
        app()
    except SystemExit as finished:
        return finished.code
    except Exception as error:
        from ornstein.host.cli.exit_codes import exit_code

        if (code := exit_code(error)) is None:
            raise
        line = _file_error(error) if isinstance(error, OSError) else str(error)
        # a name in a file may hold line breaks, and sequences that a terminal would obey
        shown = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line)
        errors.print(f"ornstein: {shown}", markup=False, highlight=False, soft_wrap=True)
        return code
    return 0


def _file_error(error: OSError) -> str:
    """Returns what an operating system's error says about a file, and what to do next."""
    if error.strerror is None:
        return str(error)
    name = f"{error.filename}: " if error.filename is not None else ""
    remedy = _REMEDIES.get(error.errno or 0)
    return f"{name}{error.strerror}{f'; {remedy}' if remedy else ''}"


def _open_standard_streams() -> None:
    """Puts the null device where a standard stream is closed.

    Otherwise the next file that is opened would take its number, and what a library writes to
    standard output would go into that file. Python's own stream stays None, so that a command can
    tell that it has none.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


def _flushed(code: int | str | None, output: int | None) -> int | str | None:
    """Writes what standard output still holds; returns the exit code, which is
    :data:`CUT_SHORT` if nobody reads it any more. ``output`` is a second number of the file that
    was standard output at the start.
    """
    if sys.stdout is None:
        return code
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        gone = True
    except (OSError, ValueError) as error:
        print(f"ornstein: standard output: {error}", file=sys.stderr)
        gone, code = False, code or 9
    else:
        gone = code == 1 and output is not None and _reader_is_gone(output)
    if not gone:
        return code
    with suppress(OSError):  # Python would complain when it closes the stream
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return CUT_SHORT


def _reader_is_gone(output: int) -> bool:
    """Whether a file is a pipe that nobody reads. The libraries of the command line put the null
    device in the place of such a standard output, and end the process with exit code 1.
    """
    try:
        watch = select.poll()
        watch.register(output, 0)
        return any(event & select.POLLERR for _, event in watch.poll(0))
    except (AttributeError, OSError, ValueError):  # no such call on this system, or no such file
        return False


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: Apache-2.0
"""The command line. Every error is one line; every layer has its exit code (:data:`EXIT_CODES`)."""

import sys

# importing a module of commands registers them
from ornstein.host.cli import (  # noqa: F401
    build,
    devices,
    flash,
    networks,
    programs,
    train,
    verify,
)
from ornstein.host.cli.app import app, errors
from ornstein.host.cli.exit_codes import EXIT_CODES
from ornstein.host.experiments.bench import command as bench  # noqa: F401
from ornstein.host.experiments.demo import command as demo  # noqa: F401
from ornstein.host.experiments.denoise import command as denoise  # noqa: F401
from ornstein.host.experiments.generate import command as generate  # noqa: F401
from ornstein.host.experiments.hierarchy import command as hierarchy  # noqa: F401
from ornstein.host.experiments.images import command as images  # noqa: F401
from ornstein.host.experiments.noise import command as noise  # noqa: F401
from ornstein.host.experiments.paper import command as paper  # noqa: F401
from ornstein.host.experiments.score import command as score  # noqa: F401
from ornstein.host.experiments.studies import command as studies  # noqa: F401


def main() -> None:
    """Entry point of the ``ornstein`` command."""
    try:
        app()
    except tuple(EXIT_CODES) as error:
        code = next(code for kind, code in EXIT_CODES.items() if isinstance(error, kind))
        errors.print(f"ornstein: {error}", markup=False, highlight=False, soft_wrap=True)
        sys.exit(code)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()

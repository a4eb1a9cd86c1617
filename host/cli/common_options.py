# SPDX-License-Identifier: Apache-2.0
"""Options that every command has: how much is said, and values of options from a file."""

import logging
import tomllib
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand
from typer.main import get_command_from_info
from typer.models import CommandInfo

CONFIG_VARIABLE = "ORNSTEIN_CONFIG"
_PANEL = "Options of every command"
_LEVELS = logging.WARNING, logging.INFO, logging.DEBUG


def _set_quiet(wanted: bool) -> None:
    from ornstein.host.cli.app import remarks

    remarks.quiet = wanted


def _set_level(count: int) -> None:
    from ornstein.host.cli.app import errors

    logger = logging.getLogger("ornstein")
    logger.setLevel(_LEVELS[min(count, len(_LEVELS) - 1)])
    logger.handlers = [_ConsoleHandler(errors)] if count else []


class _ConsoleHandler(logging.Handler):
    """Prints messages on a console, as they are."""

    def __init__(self, console: Any):
        super().__init__()
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        self._console.print(record.getMessage(), highlight=False, soft_wrap=True)


def _use_file(ctx: typer.Context, path: Path | None) -> None:
    if path is not None and not ctx.resilient_parsing:
        ctx.default_map = read_config(path, ctx.command)


def read_config(path: Path, command: Any) -> dict[str, Any]:
    """Returns the values that a TOML file gives to parameters of a command, by their names.

    The file has one table for each command that it sets options of, and in it the options by their
    names, such as ``seed = 3`` in the table ``[run]``.

    Raises
    ------
    typer.BadParameter
        The file cannot be read, or names a command or an option that there is not.
    """
    from ornstein.host.cli.commands import COMMANDS

    try:
        with path.open("rb") as file:
            document = tomllib.load(file)
    except OSError as error:
        raise typer.BadParameter(f"{path} cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise typer.BadParameter(f"{path} is no TOML: {error}") from None
    for name, table in document.items():
        if name not in COMMANDS or not isinstance(table, dict):
            raise typer.BadParameter(
                f"{path}: {name} is no table of a command{_nearest(name, COMMANDS)}; options of "
                "the command run stand in the table [run]"
            )
    names = {
        option.lstrip("-"): parameter.name
        for parameter in command.params
        for option in (*parameter.opts, *parameter.secondary_opts)
        if option.startswith("--") or not option.startswith("-")
    }
    values = {}
    for key, value in document.get(command.name, {}).items():
        if key not in names or key in ("config", "help"):
            raise typer.BadParameter(
                f"{path}: {command.name} has no option {key}{_nearest(key, names)}"
            )
        values[names[key]] = value
    return values


def _nearest(name: str, names: Any) -> str:
    found = get_close_matches(name, list(names), n=1)
    return f" (did you mean {found[0]}?)" if found else ""


def _template(
    quiet: Annotated[
        bool,
        typer.Option(
            "--quiet",
            "-q",
            callback=_set_quiet,
            is_eager=True,
            help="Say nothing but answers, warnings and errors.",
            rich_help_panel=_PANEL,
        ),
    ] = False,
    verbose: Annotated[
        int,
        typer.Option(
            "--verbose",
            "-v",
            count=True,
            callback=_set_level,
            is_eager=True,
            help="Say on standard error what is done; -vv says more.",
            show_default=False,
            rich_help_panel=_PANEL,
        ),
    ] = 0,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            callback=_use_file,
            is_eager=True,
            envvar=CONFIG_VARIABLE,
            help="TOML file with values of options; those given here come first.",
            rich_help_panel=_PANEL,
        ),
    ] = None,
) -> None:
    """Stands for every command."""


def add_common_options(command: TyperCommand) -> None:
    """Adds the options of this module to a command."""
    template = get_command_from_info(
        CommandInfo(callback=_template), pretty_exceptions_short=False, rich_markup_mode="rich"
    )
    for parameter in template.params:
        parameter.expose_value = False
        command.params.append(parameter)

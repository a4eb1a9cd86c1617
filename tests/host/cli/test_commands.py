# SPDX-License-Identifier: Apache-2.0
"""The table of commands: it names them all, and says what they say of themselves."""

import inspect
from importlib.metadata import version
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ornstein import host
from ornstein.host.cli.app import app
from ornstein.host.cli.commands import COMMANDS, command_words, load_command


@pytest.mark.parametrize("name", COMMANDS)
def test_the_summary_is_the_docstrings_first_paragraph(name):
    command = load_command(name)
    first = (inspect.getdoc(command.callback) or "").split("\n\n")[0]
    assert COMMANDS[name].summary == " ".join(first.split())
    assert command.epilog and f"ornstein {name}" in command.epilog


def test_every_module_of_commands_is_in_the_table():
    folder = Path(host.__file__).parent
    modules = {
        ".".join(("ornstein.host", *file.relative_to(folder).with_suffix("").parts))
        for file in folder.rglob("*.py")
        if "\n@app.command(" in file.read_text()
    }
    assert modules == {place.module for place in COMMANDS.values()}
    for name in COMMANDS:
        load_command(name)
    assert len(app.registered_commands) == len(COMMANDS)


def test_the_words_of_a_command_give_its_values_again(tmp_path):
    """Arguments come first, flags and repeated options are there, paths are not."""
    words = ["--rank", "16", "--rank", "32", "--seed", "3"]
    study = {"name": "mixing", "listing": False, "output": tmp_path, "seed": 3, "seeds": None}
    assert command_words(load_command("study"), study) == ["mixing", "--seed", "3"]
    images = {"seed": 3, "rank": [16, 32], "inputs": tmp_path}
    assert command_words(load_command("score-images"), images) == words
    benchmark = {"benchmark": True, "refit": False, "gateware": False, "seed": 3, "skip": ()}
    words = ["--benchmark", "--no-gateware", "--seed", "3"]
    assert command_words(load_command("denoise"), benchmark) == words


def test_help_lists_every_command_once():
    result = CliRunner().invoke(app, ["--help"])
    words = [line.split()[1:2] for line in result.output.splitlines()]
    assert result.exit_code == 0
    assert [name for row in words for name in row if name in COMMANDS] == list(COMMANDS)


def test_a_misspelt_command_is_told_the_nearest():
    result = CliRunner().invoke(app, ["inspct"])
    assert result.exit_code == 2 and "Did you mean 'inspect'" in result.output


def test_version():
    result = CliRunner().invoke(app, ["--version"])
    assert result.exit_code == 0 and result.output == f"ornstein {version('ornstein')}\n"

# SPDX-License-Identifier: Apache-2.0
"""Options of every command: a file of values, and how much is said."""

import json
import logging

import numpy as np
import pytest
from typer.testing import CliRunner

from helpers.programs import toy, toy_inputs
from ornstein.hdl.config import TINY
from ornstein.host.cli.app import app, errors, remarks, screen
from ornstein.host.cli.commands import COMMANDS, load_command
from ornstein.host.compile.compiler import compile_problem
from ornstein.host.compile.program_file import save_program


@pytest.fixture(autouse=True)
def as_before():
    yield
    remarks.quiet = False
    logging.getLogger("ornstein").handlers = []


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("options")
    save_program(compile_problem(toy(), TINY, toy_inputs()), path / "toy.program")
    np.save(path / "inputs.npy", toy_inputs(3))
    return path


def invoke(*arguments, **options):
    return CliRunner().invoke(app, [str(word) for word in arguments], **options)


def run(folder, *arguments, **options) -> dict:
    """The report of ``ornstein run``."""
    common = "--input", folder / "inputs.npy", "--output", folder / "o.npy"
    result = invoke(
        "run", folder / "toy.program", *common, "--json", folder / "run.json", *arguments, **options
    )
    assert result.exit_code == 0, result.output
    return json.loads((folder / "run.json").read_text())


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_them(name):
    options = {option for parameter in load_command(name).params for option in parameter.opts}
    assert {"--quiet", "-q", "--verbose", "-v", "--config"} <= options


def test_a_file_gives_values_and_the_command_line_comes_first(folder):
    (folder / "ornstein.toml").write_text(
        '[run]\ndevice = "model:tiny"\nseed = 7\nclip = true\n\n[demo]\nseed = 9\n'
    )
    config = "--config", folder / "ornstein.toml"
    report = run(folder, *config)
    assert report["device"] == "model:tiny" and report["seed"] == 7
    assert "clipped_inputs" in report
    report = run(folder, *config, "--seed", "8", "--device", "float")
    assert report["device"] == "float" and report["seed"] == 8
    report = run(folder, env={"ORNSTEIN_CONFIG": str(folder / "ornstein.toml")})
    assert report["device"] == "model:tiny"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("[run]\nsed = 3\n", "run has no option sed (did you mean seed?)"),
        ("[rum]\nseed = 3\n", "rum is no table of a command (did you mean run?)"),
        ("seed = 3\n", "seed is no table of a command"),
        ("[run]\nconfig = 'x'\n", "run has no option config"),
        ("[run\n", "is no TOML"),
        ("[run]\nseed = 'x'\n", "Invalid value for '--seed'"),
        (None, "cannot be read"),
    ],
)
def test_what_is_wrong_in_a_file_is_named(folder, tmp_path, content, words):
    if content is not None:
        (tmp_path / "x.toml").write_text(content)
    result = invoke("run", folder / "toy.program", "--config", tmp_path / "x.toml")
    assert result.exit_code == 2
    shown = "".join(result.output.replace("│", "").split())
    assert "".join(words.split()) in shown


def test_quiet_says_only_answers(folder):
    arguments = "run", folder / "toy.program", "--device", "float", "--input"
    result = invoke(*arguments, folder / "inputs.npy", "--key", "none")
    assert "note: --key has no effect" in result.stderr
    result = invoke(*arguments, folder / "inputs.npy", "--key", "none", "-q")
    assert result.stderr == "" and result.stdout.count("\n") == 3
    assert invoke("devices", "-q").output == invoke("devices").output != ""
    inspected = "inspect", folder / "toy.program"
    page = "--html", folder / "toy.html"
    assert invoke(*inspected, *page).output.endswith(f"Wrote {folder / 'toy.html'}\n")
    assert invoke(*inspected, *page, "-q").output == invoke(*inspected).output


def test_verbose_says_what_is_done(folder):
    arguments = "run", folder / "toy.program", "--device", "float", "--input"
    result = invoke(*arguments, folder / "inputs.npy", "-v")
    assert "opened device float in " in result.stderr
    assert "3 inputs in " in result.stderr
    assert "opened device" not in invoke(*arguments, folder / "inputs.npy").stderr


def test_names_are_never_markup(capsys):
    for console in (screen, errors):
        console.print("layer [bold]x[/y] [/]", soft_wrap=True)
    shown = capsys.readouterr()
    assert shown.out == shown.err == "layer [bold]x[/y] [/]\n"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("ornstein ins", ["inspect"]),
        ("ornstein run --cl", ["--clip"]),
        ("ornstein run --device model:t", ["model:tiny"]),
    ],
)
def test_shell_completion(words, expected):
    result = invoke(
        env={
            "_ROOT_COMPLETE": "complete_bash",
            "COMP_WORDS": words,
            "COMP_CWORD": str(len(words.split()) - 1),
        },
    )
    assert result.output.split() == expected

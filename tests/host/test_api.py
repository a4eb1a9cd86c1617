# SPDX-License-Identifier: Apache-2.0
"""The public API: every name is there, loads nothing before it is used, and its example runs."""

import subprocess
import sys
import textwrap

import numpy as np
import pytest

import ornstein
import ornstein.host as api
from ornstein.hdl.config import TINY


def test_every_public_name_is_there():
    assert set(dir(api)) == set(api._MODULES)
    for name in api.__all__:
        assert getattr(api, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = api.nothing


def test_the_package_gives_the_same_names():
    assert dir(ornstein) == dir(api)
    assert ornstein.sample is api.sample and ornstein.linalg is api.linalg
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = ornstein.nothing


def test_importing_the_api_loads_nothing():
    code = (
        "import sys, ornstein.host; print([name for name in sys.modules"
        " if name.startswith('ornstein.') and name != 'ornstein.host' or name == 'numpy'])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_help_loads_no_command_and_no_numbers():
    code = (
        "import sys, ornstein.host.cli.main as cli; sys.argv = ['ornstein', '--help']\n"
        "try: cli.main()\n"
        "finally: print('loaded:', sorted(name for name in sys.modules"
        " if name.startswith('ornstein.') or name == 'numpy'))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.splitlines()[-1] == (
        "loaded: ['ornstein.host', 'ornstein.host.cli', 'ornstein.host.cli.app', "
        "'ornstein.host.cli.commands', 'ornstein.host.cli.main']"
    )


def test_no_command_loads_a_compiler_or_plots_before_it_runs():
    code = (
        "import sys; from ornstein.host.cli.commands import COMMANDS, load_command\n"
        "for name in COMMANDS: load_command(name)\n"
        "print({'numba', 'matplotlib'} & set(sys.modules))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"


def test_the_example_of_the_docstring_runs():
    example = textwrap.dedent(api.__doc__.split("::\n")[1].split("\nFor an energy")[0])
    names = {}
    exec(example.replace('"rtl"', '"model"'), names)
    model = names["model"]
    errors = names["answers"] - model.y_test
    spread = model.y_test - model.y_train.mean(axis=0)
    assert names["answers"].shape == model.y_test.shape
    assert 1 - np.sum(errors**2) / np.sum(spread**2) > 0.95


def test_an_energy_of_ones_own_runs():
    from ornstein import Coupling, Energy, Module, Problem, Stage, compile_problem, open_device

    factors = (np.array([[1.0], [0.0]]), np.array([[1.0]]))
    mix = np.array([[0.0, -0.05], [-0.05, 0.0]])[..., None]
    energy = Energy(
        (Module("input", 2), Module("output", 1)), (Coupling(("input", "output"), factors, mix),)
    )
    stages = (Stage(200, 0.0), Stage(16, 0.0, accumulate=True))
    problem = Problem("example", (energy,), stages, entry="bias", target="output")
    biases = np.array([[0.05, 0.1, 0.0]])
    program = compile_problem(problem, TINY, biases)
    with open_device("model:tiny") as device:
        device.load(program)
        outputs = device.run(biases)
    expected = problem.decode(energy.mean(biases))
    np.testing.assert_allclose(problem.decode(outputs.mean), expected, atol=0.01)
    assert abs(expected).min() > 0.05

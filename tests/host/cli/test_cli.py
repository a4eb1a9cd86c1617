# SPDX-License-Identifier: Apache-2.0
"""The command line: what each command writes, and that every failure is one line with its exit
code.
"""

import json

import numpy as np
import pytest

from helpers.command_line import failure, run
from helpers.energies import pair_energy
from ornstein.hdl.config import TINY
from ornstein.host.cli import exit_codes
from ornstein.host.compile.compiler import compile_problem
from ornstein.host.compile.program_file import save_program
from ornstein.host.physics.problem import BIAS, Problem
from ornstein.sim.stages import Stage


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A folder with a small program for the tiny fabric and inputs for it."""
    folder = tmp_path_factory.mktemp("cli")
    rng = np.random.default_rng(5)
    energy = pair_energy(*rng.normal(size=(2, 60, 8)), rank=2)
    stages = Stage(30, 0.0), Stage(8, 0.0, accumulate=True)
    problem = Problem("small", (energy,), stages, dt=1.0, entry=BIAS, target="decoder")
    inputs = rng.normal(scale=0.1, size=(7, energy.units))
    save_program(compile_problem(problem, TINY, inputs), folder / "small.program")
    np.save(folder / "inputs.npy", inputs)
    np.savez(folder / "inputs.npz", first=inputs, second=inputs[:2])
    np.savetxt(folder / "inputs.csv", inputs, delimiter=",")
    return folder


@pytest.mark.parametrize(
    "command",
    [
        "demo",
        "train",
        "generate",
        "learn",
        "compile",
        "inspect",
        "load",
        "run",
        "devices",
        "doctor",
        "build",
        "bench",
        "flash",
        "selftest",
    ],
)
def test_every_command_has_help_with_an_example(command):
    result = run(command, "--help")
    assert result.returncode == 0
    assert f"ornstein {command}" in result.stdout


def test_outputs_do_not_depend_on_the_form_of_the_input(small):
    csv = (small / "inputs.csv").read_text()
    answers = [
        run(
            *("run", small / "small.program", "--device", "model:tiny", "--input", *source),
            stdin=stdin,
        ).stdout
        for source, stdin in (
            ([small / "inputs.npy"], None),
            ([small / "inputs.npz", "--key", "first"], None),
            (["-"], csv),
        )
    ]
    assert answers[0].count("\n") == 7
    assert len(set(answers)) == 1


def test_gateware_and_model_answer_alike(small, tmp_path):
    results = {}
    for device in ("rtl:tiny", "model:tiny"):
        output, report = tmp_path / "out.npy", tmp_path / "out.json"
        result = run(
            "run",
            small / "small.program",
            "--device",
            device,
            "--input",
            small / "inputs.npy",
            "--output",
            output,
            "--what",
            "mean",
            "--json",
            report,
        )
        assert result.returncode == 0, result.stderr
        results[device] = np.load(output)
        assert json.loads(report.read_text())["inputs"] == 7
    assert np.array_equal(results["rtl:tiny"], results["model:tiny"])


def test_load_reads_back_what_it_wrote(small):
    result = run("load", small / "small.program", "--device", "rtl:tiny")
    assert result.returncode == 0, result.stderr
    assert "elements read back equal" in result.stdout


def test_inspect_shows_the_range_report(small, tmp_path):
    result = run("inspect", small / "small.program", "--json", tmp_path / "program.json")
    assert "time step" in result.stdout
    document = json.loads((tmp_path / "program.json").read_text())
    assert {"time step", "state", "temperature"} <= {row["name"] for row in document["ranges"]}


def test_devices_lists_uris_and_fabrics():
    result = run("devices")
    assert "rtl" in result.stdout and "reference" in result.stdout


def test_unknown_device(small):
    code, line = failure(
        "run", small / "small.program", "--device", "abacus", "--input", small / "inputs.npy"
    )
    assert code == exit_codes.EXIT_CODES[exit_codes.DeviceError]
    assert "abacus" in line and "rtl" in line


def test_port_that_is_not_there(small):
    code, line = failure(
        "run",
        small / "small.program",
        "--device",
        "serial:no-such-port",
        "--input",
        small / "inputs.npy",
    )
    assert code == exit_codes.EXIT_CODES[exit_codes.LinkError]
    assert "no-such-port" in line


def test_program_for_another_fabric(small):
    code, line = failure(
        "run", small / "small.program", "--device", "model:wide", "--input", small / "inputs.npy"
    )
    assert code == exit_codes.EXIT_CODES[exit_codes.ProgramError]
    assert "rank_lanes" in line


@pytest.mark.parametrize("content", [b"", b"not a program", b"\x00" * 64])
def test_foreign_program_file(tmp_path, content):
    path = tmp_path / "foreign.program"
    path.write_bytes(content)
    code, line = failure("inspect", path)
    assert code == exit_codes.EXIT_CODES[exit_codes.ProgramError]
    assert "foreign.program" in line


def test_truncated_program_file(small, tmp_path):
    path = tmp_path / "cut.program"
    path.write_bytes((small / "small.program").read_bytes()[:-100])
    assert failure("inspect", path)[0] == exit_codes.EXIT_CODES[exit_codes.ProgramError]


@pytest.mark.parametrize(
    "text, word",
    [
        ("1,2,3\n", "has 3 numbers; the program takes 16"),
        ("1,x\n", "line 1"),
        ("nan," * 15 + "1\n", "finite"),
        ("1e9," * 15 + "1\n", "there; --clip takes the nearest value that it can hold"),
        ("", "no inputs in standard input"),
        ("0," * 15 + "0\n" + "0," * 14 + "0\n", "line 2, row 1 (from 0): has 15 numbers"),
    ],
)
def test_bad_inputs(small, text, word):
    code, line = failure("run", small / "small.program", "--device", "model:tiny", stdin=text)
    assert code == exit_codes.EXIT_CODES[exit_codes.InputError]
    assert word in line


def test_missing_input_file(small):
    code, line = failure(
        "run", small / "small.program", "--device", "model:tiny", "--input", "nowhere.npy"
    )
    assert code == exit_codes.EXIT_CODES[exit_codes.InputError]
    assert "nowhere.npy" in line


def test_missing_model(tmp_path):
    code, _ = failure("compile", "--model", tmp_path / "nothing", "--output", tmp_path / "x")
    assert code == exit_codes.EXIT_CODES[exit_codes.ModelFileError]
    assert not (tmp_path / "x").exists()


def test_rank_one_is_refused_and_names_the_eigenvalue(tmp_path):
    code, line = failure("compile", "--recipe", "full", "--rank", "1", "--output", tmp_path / "x")
    assert code == exit_codes.EXIT_CODES[exit_codes.EnergyError]
    assert "eigenvalue" in line and "-0.00" in line


def test_unstable_time_step(tmp_path):
    code, line = failure("compile", "--recipe", "aligned", "--dt", "9", "--output", tmp_path / "x")
    assert code == exit_codes.EXIT_CODES[exit_codes.TimeStepError]
    assert "dt = 9" in line


@pytest.mark.parametrize("tolerance", ("0", "1.5", "nan"))
def test_a_tolerance_out_of_range(tmp_path, tolerance):
    code, line = failure("compile", "--tolerance", tolerance, "--output", tmp_path / "x")
    assert code == exit_codes.EXIT_CODES[exit_codes.TimeStepError]
    assert "must be between 0 and 1" in line


def test_unknown_board(tmp_path):
    code, line = failure("build", "abacus", "--output", tmp_path)
    assert code == exit_codes.EXIT_CODES[exit_codes.BuildError]
    assert "abacus" in line and "icebreaker" in line


def test_a_sound_device_passes_its_self_test(tmp_path):
    result = run("selftest", "--device", "rtl:tiny", "--json", tmp_path / "selftest.json")
    assert result.returncode == 0, result.stderr
    checks = json.loads((tmp_path / "selftest.json").read_text())["checks"]
    assert len(checks) == result.stdout.count("ok") == 7 and all(check["ok"] for check in checks)


def test_the_model_is_no_hardware():
    code, line = failure("selftest", "--device", "model:tiny")
    assert code == exit_codes.EXIT_CODES[exit_codes.DeviceError]
    assert "no hardware to test" in line


def test_wrong_usage():
    assert run("run").returncode == 2
    assert run("compile", "--integrator", "rk4").returncode == 2


def test_output_that_cannot_be_written(small):
    code, _ = failure(
        "run",
        small / "small.program",
        "--device",
        "model:tiny",
        "--input",
        small / "inputs.npy",
        "--output",
        small / "no" / "folder.csv",
    )
    assert code == exit_codes.EXIT_CODES[OSError]

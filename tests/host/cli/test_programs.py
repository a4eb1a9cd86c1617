# SPDX-License-Identifier: Apache-2.0
"""The commands on programs: every figure that they print is that of the program or the run."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from helpers.programs import toy, toy_inputs
from ornstein.hdl.config import REFERENCE, TINY
from ornstein.host.cli import programs
from ornstein.host.compile.compiler import compile_problem
from ornstein.host.compile.program import AccuracyCheck, FieldRange, InputError, Program
from ornstein.host.compile.program_file import load_program, save_program
from ornstein.host.devices.device import DeviceError, open_device
from ornstein.host.devices.model import ModelDevice
from ornstein.host.files.replace import OutputError
from ornstein.host.models import recipes
from ornstein.host.models.model_file import TrainedModel
from ornstein.host.physics.problem import BIAS, STOCHASTIC, Problem
from ornstein.sim.energy import Energy, Module
from ornstein.sim.stages import EM, Stage

DATA = Path(__file__).parents[2] / "data"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two programs and inputs for them."""
    path = tmp_path_factory.mktemp("programs")
    inputs = toy_inputs(6)
    stages = Stage(30, 0.0), Stage(8, 0.02, accumulate=True)
    first = compile_problem(toy(target="b", stages=stages), TINY, inputs)
    save_program(first, path / "first.program")
    other = toy(
        name="other",
        stages=(Stage(5, 0.5, accumulate=True, thin=2),),
        dt=0.5,
        integrator=EM,
        rounding=STOCHASTIC,
    )
    save_program(compile_problem(other, REFERENCE, inputs), path / "second.program")
    np.save(path / "inputs.npy", inputs)
    return path


@pytest.mark.parametrize(
    ("name", "fabric", "units", "schedule", "rest"),
    [
        (
            "first",
            "tiny",
            8,
            "30 steps at kT = 0, then 8 steps at kT = 0.02 averaged",
            "LM, dt = 1, rounding nearest",
        ),
        (
            "second",
            "reference",
            8,
            "5 steps at kT = 0.5 averaged",
            "EM, dt = 0.5, rounding stochastic",
        ),
    ],
)
def test_inspect_describes_the_program(folder, capsys, name, fabric, units, schedule, rest):
    program = load_program(folder / f"{name}.program")
    programs.inspect(folder / f"{name}.program", json_file=folder / "inspect.json")
    first, *_ = capsys.readouterr().out.splitlines()
    head, _, last = first.partition("; ")
    assert head == (
        f"{program.name} for fabric {fabric}: {units} units, {program.layout.chains} inputs at "
        f"once, {schedule}"
    )
    # the time step is rounded to what the leak can hold
    integrator, dt, rounding = last.split(", ")
    expected = rest.split(", ")
    assert (integrator, rounding) == (expected[0], expected[2])
    assert float(dt.removeprefix("dt = ")) == pytest.approx(program.dt, rel=1e-5)
    assert program.dt == pytest.approx(float(expected[1].removeprefix("dt = ")), rel=0.01)
    document = json.loads((folder / "inspect.json").read_text())
    assert document["words"] == {
        "factor": len(program.factor),
        "descriptors": len(program.descriptors),
    }
    assert document["dt"] == program.dt and document["state_lsb"] == program.state_lsb
    assert document["layout"]["chains"] == program.layout.chains
    assert [stage["steps"] for stage in document["stages"]] == [
        stage.steps for stage in program.problem.stages
    ]


def test_inspect_shows_every_column_of_the_range_report(folder, capsys):
    program = load_program(folder / "first.program")
    row = FieldRange("field", -1.25, 2.5, 13, 0.125, 0.0123, 0.3, 0.29)
    changed = replace(
        program, ranges=(row, replace(row, name="more", bits=9, clipped=0, realised=None))
    )
    save_program(changed, folder / "ranges.program")
    programs.inspect(folder / "ranges.program")
    lines = [line.replace("│", " ").split() for line in capsys.readouterr().out.splitlines()]
    field = next(line for line in lines if line[:1] == ["field"] and line[1] != "range")
    more = next(line for line in lines if line[:1] == ["more"])
    assert field[1:] == ["-1.25", "to", "2.5", "13", "0.125", "1.23%", "0.3", "0.29"]
    assert more[1:] == ["-1.25", "to", "2.5", "9", "0.125", "0.00%", "0.3", "-"]


def test_what_a_program_holds_less_well_is_said_on_standard_error(folder, capsys):
    """By every command that takes a program: a line a warning, and nothing for a sound one."""
    checks = (
        AccuracyCheck.of("figure", 0.25, 0.1, "the figure is [far] off"),
        AccuracyCheck.of("other", 9.0, 8.0, "too few", least=True),
    )
    path = folder / "warned.program"
    save_program(replace(load_program(folder / "first.program"), checks=checks), path)
    np.save(folder / "one.npy", np.load(folder / "inputs.npy")[:1])
    line = "warning: toy: the figure is [far] off\n"
    programs.inspect(path, json_file=folder / "warned.json")
    shown = capsys.readouterr()
    assert shown.err == line
    words = [text.replace("│", " ").split() for text in shown.out.splitlines()]
    assert ["figure", "0.25", "at", "most", "0.1"] in words
    assert ["other", "9", "at", "least", "8"] in words
    assert json.loads((folder / "warned.json").read_text())["warnings"] == [
        "the figure is [far] off"
    ]
    programs.load(path, "model:tiny")
    assert capsys.readouterr().err == line
    programs.run(path, "model:tiny", str(folder / "one.npy"))
    assert line in capsys.readouterr().err
    programs.inspect(folder / "first.program")
    assert capsys.readouterr().err == ""


def elements(program: Program) -> int:
    """Elements of the program's memories, and the bank offset."""
    words = program.factor, program.constants, program.descriptors
    factor, constants, descriptors = (array.size for array in words)
    return factor + constants + descriptors // 2 + len(program.activation) + 1


@pytest.mark.parametrize(("name", "fabric"), [("first", "tiny"), ("second", "reference")])
@pytest.mark.parametrize("scheme", ["rtl", "model"])
def test_load_prints_how_many_elements_it_compared(folder, capsys, name, fabric, scheme):
    device = f"{scheme}:{fabric}"
    program = load_program(folder / f"{name}.program")
    programs.load(folder / f"{name}.program", device, json_file=folder / "load.json")
    count = elements(program)
    expected = f"{program.name} is on {device}; {count} elements read back equal\n"
    assert capsys.readouterr().out == expected
    assert json.loads((folder / "load.json").read_text())["elements_verified"] == count


def test_load_claims_nothing_where_there_is_nothing_to_read_back(folder, capsys):
    programs.load(folder / "first.program", "float")
    assert capsys.readouterr().out == (
        "toy is on float; it has no memories that could be read back\n"
    )


def test_load_fails_where_a_memory_does_not_hold_the_program(folder, monkeypatch):
    def load_wrong(self, program):
        load_right(self, program)
        self._model.factor[1, 0] ^= 1

    load_right = ModelDevice.load
    monkeypatch.setattr(ModelDevice, "load", load_wrong)
    with pytest.raises(DeviceError, match="in element 2 of FACTOR; load the program again"):
        programs.load(folder / "first.program", "model:tiny")


def test_run_reports_its_inputs_seed_and_counters(folder):
    program, inputs = load_program(folder / "first.program"), np.load(folder / "inputs.npy")
    with open_device("rtl:tiny") as device:
        device.load(program)
        expected = device.run(inputs, seed=5)
    np.save(folder / "few.npy", inputs[:3])
    for name, count in (("inputs", 6), ("few", 3)):
        programs.run(
            folder / "first.program",
            "rtl:tiny",
            str(folder / f"{name}.npy"),
            output=str(folder / "answer.npy"),
            seed=5,
            json_file=folder / "run.json",
        )
        report = json.loads((folder / "run.json").read_text())
        assert report["inputs"] == count and report["seed"] == 5
        if count == 6:
            assert {name: report[name] for name in expected.counters} == expected.counters
        else:
            assert 0 < report["issued"] < expected.counters["issued"]
        np.testing.assert_array_equal(
            np.load(folder / "answer.npy"), program.problem.decode(expected.mean)[:count]
        )


@pytest.mark.parametrize("what", ["prediction", "mean", "second"])
@pytest.mark.parametrize("device", ["rtl:tiny", "model:tiny", "float"])
def test_run_writes_what_was_asked_for(folder, what, device):
    program, inputs = load_program(folder / "first.program"), np.load(folder / "inputs.npy")
    with open_device(device) as opened:
        opened.load(program)
        outputs = opened.run(inputs, seed=2)
    programs.run(
        folder / "first.program",
        device,
        str(folder / "inputs.npy"),
        output=str(folder / "answer.npy"),
        what=what,
        seed=2,
    )
    expected = {
        "prediction": program.problem.decode(outputs.mean),
        "mean": outputs.mean,
        "second": outputs.second,
    }
    np.testing.assert_array_equal(np.load(folder / "answer.npy"), expected[what])


def test_run_warns_of_as_many_words_as_saturated(folder, capsys):
    """Inputs that push a unit beyond its format are counted; an input of zeros is not."""
    energy = Energy((Module("a", 3),), j2=0.1)
    problem = Problem("pushed", (energy,), (Stage(10, 0.0, accumulate=True),), dt=1.0, entry=BIAS)
    program = compile_problem(problem, TINY, np.full((1, 3), 0.5))
    save_program(program, folder / "pushed.program")
    limit = 32767 * program.input_lsb[0]
    for rows, saturates in (
        ([[limit, 0.0, 0.0]], True),
        ([[limit, 0.0, -limit]] * 2, True),
        ([[0.0, 0.0, 0.0]], False),
    ):
        with open_device("model:tiny") as device:
            device.load(program)
            counters = device.run(rows).counters
        count = counters["rank_saturations"] + counters["state_saturations"]
        assert bool(count) == saturates
        np.save(folder / "rows.npy", rows)
        programs.run(
            folder / "pushed.program",
            "model:tiny",
            str(folder / "rows.npy"),
            output=str(folder / "answer.npy"),
        )
        warning = f"warning: {count} words saturated; compile with calibration data closer to"
        assert (warning in capsys.readouterr().err) == saturates


def test_run_names_the_row_of_the_file_and_clips(folder, capsys):
    """A value that the program cannot hold is named with its row; --clip takes the nearest."""
    rows = toy_inputs(90)
    program = load_program(folder / "first.program")
    rows[80, 3] = 1e6
    np.save(folder / "outlier.npy", rows)
    arguments = folder / "first.program", "model:tiny", str(folder / "outlier.npy")
    answer = folder / "clipped.npy"
    with pytest.raises(
        InputError,
        match=r"outlier\.npy, row 80 \(from 0\): is 1e\+06 at position 3; .*; --clip takes",
    ):
        programs.run(*arguments, output=str(answer))
    assert not answer.exists()
    programs.run(*arguments, output=str(answer), clip=True, json_file=folder / "clipped.json")
    assert "note: --clip changed 1 of 90 inputs, row 80 (from 0) first" in capsys.readouterr().err
    assert json.loads((folder / "clipped.json").read_text())["clipped_inputs"] == 1
    rows[80, 3] = program.input_limits()[1][3]
    np.save(folder / "outlier.npy", rows)
    expected = np.load(answer)
    programs.run(*arguments, output=str(answer), clip=True)
    assert "note: --clip had no effect" in capsys.readouterr().err
    np.testing.assert_array_equal(np.load(answer), expected)


def test_run_never_writes_over_what_it_reads(folder):
    rows = toy_inputs(6)
    np.save(folder / "own.npy", rows)
    (folder / "link.npy").unlink(missing_ok=True)
    (folder / "link.npy").symlink_to(folder / "own.npy")
    for output in ("own.npy", "link.npy"):
        with pytest.raises(OutputError, match="is the file that is read"):
            programs.run(
                folder / "first.program",
                "model:tiny",
                str(folder / "own.npy"),
                output=str(folder / output),
            )
    np.testing.assert_array_equal(np.load(folder / "own.npy"), rows)


@pytest.mark.parametrize("device", ["rtl:tiny", "model:tiny"])
def test_run_answers_a_live_stream_job_by_job(folder, device):
    """Each job is answered before the inputs of the next one are there."""
    program = load_program(folder / "first.program")
    chains, rows = program.layout.chains, toy_inputs(3 * program.layout.chains)
    command = [sys.executable, "-m", "ornstein.host.cli.main", "run", folder / "first.program"]
    with subprocess.Popen(
        [*command, "--device", device], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin and process.stdout
        answers = []
        for first in range(0, len(rows), chains):
            np.savetxt(process.stdin, rows[first : first + chains], delimiter=",", fmt="%.17g")
            process.stdin.flush()
            answers += [process.stdout.readline() for _ in range(chains)]
        process.stdin.close()
        assert process.stdout.read() == "" and process.wait(timeout=30) == 0
    np.save(folder / "rows.npy", rows)
    programs.run(
        folder / "first.program",
        device,
        str(folder / "rows.npy"),
        output=str(folder / "rows.csv"),
    )
    assert "".join(answers) == (folder / "rows.csv").read_text()


def compiled(tmp_path, capsys, **options):
    """Compile the default model; returns what is shown, and the JSON."""
    programs.compile_command(
        output=tmp_path / "net.program", json_file=tmp_path / "net.json", **options
    )
    return capsys.readouterr(), json.loads((tmp_path / "net.json").read_text())


def test_compile_shows_honest_scores(tmp_path, capsys):
    shown, document = compiled(tmp_path, capsys)
    names = [row["name"] for row in document["scores"]]
    assert names == ["constant mean", "linear map of rank 16", "ridge regression",
                     "ours, aligned skip"]  # fmt: skip
    assert document["rank"] == 16
    for row in document["scores"]:
        assert f"{row['centred_cosine']:.4f}" in shown.out
    assert "note:" not in shown.err


@pytest.mark.parametrize(
    ("options", "note"),
    [
        ({"rank": 100}, "--rank 100 acts as 64"),
        (
            {
                "rank": 8,
                "recipe": recipes.FULL,
                "model": DATA / "terrain_l32.safetensors",
                "activations": [DATA / "terrain_l32.npz"],
            },
            "--rank 8 changes the answers of recipe full by",
        ),
        ({"integrator": EM}, "--integrator em has no effect at kT = 0"),
        ({"samples": 3}, "--samples averages nothing but rounding at kT = 0"),
    ],
)
def test_options_without_effect_say_so(tmp_path, capsys, options, note):
    assert f"note: {note}" in compiled(tmp_path, capsys, **options)[0].err


def test_compile_leaves_outliers_out_of_the_fit(tmp_path, capsys):
    """One entry + 1000 took the score of the full recipe from 0.994 to 0.14."""
    model = TrainedModel.load()
    x = model.x_train.copy()
    x[90, 26] += 1000
    arrays = {"x_train": x} | {
        name: getattr(model, name) for name in ("y_train", "x_test", "y_test")
    }
    np.savez(tmp_path / "spoilt.npz", **arrays)
    output, json_file = tmp_path / "full.program", tmp_path / "full.json"
    programs.compile_command(
        recipe=recipes.FULL,
        activations=[tmp_path / "spoilt.npz"],
        rank=recipes.RANK,
        output=output,
        json_file=json_file,
    )
    shown = capsys.readouterr().err
    assert shown == (
        "warning: 1 of 1,733 training samples reach more than 4 times as far as the rest; fit and "
        "ranges leave them out\n"
    )
    rows = json.loads(json_file.read_text())["scores"]
    assert rows[-1]["centred_cosine"] > 0.993

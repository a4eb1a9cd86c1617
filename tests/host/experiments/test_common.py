# SPDX-License-Identifier: Apache-2.0
"""The runner against the integer model, and results in tables and files."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest

from ornstein.hdl.config import TINY, WIDE
from ornstein.host.compile.program import ProgramError
from ornstein.host.devices.comparison import ModelMismatchError
from ornstein.host.devices.fabric import FabricDevice
from ornstein.host.experiments.common import Experiment, Runner, documents, write_csv
from ornstein.host.physics.problem import BIAS, Problem, equilibrium
from ornstein.host.physics.timestep import choose_time_step
from ornstein.sim.energy import Energy, Module


@pytest.fixture
def two_units():
    """A problem of two units at a temperature, and four inputs."""
    energy = Energy((Module("encoder", 1), Module("decoder", 1)))
    stages = equilibrium(choose_time_step([energy], dt=1.0), kT=0.1, samples=8)
    return Problem("two", (energy,), stages, dt=1.0, entry=BIAS), np.array([[0.1, 0.2]] * 4)


@pytest.fixture
def broken_gateware(monkeypatch):
    """Gateware that gets the first sum of its first answer wrong."""
    run = FabricDevice.run

    def wrong(*arguments, **options):
        outputs = run(*arguments, **options)
        outputs.sums[0, 0] += 1
        return outputs

    monkeypatch.setattr(FabricDevice, "run", wrong)


# ---- the runner ----------------------------------------------------------------------------------


def test_gateware_answers_all_inputs_and_the_model_agrees(two_units):
    problem, inputs = two_units
    with Runner("rtl:tiny", 3) as runner:
        run = runner.run(problem, inputs)
    assert (run.compared, runner.compared, runner.confirmed) == (4, 4, ["rtl:tiny"])
    assert run.cycles == run.outputs.counters["cycles"] == runner.cycles
    assert run.cycles_per_input == run.cycles / 4
    assert run.saturations == 0
    np.testing.assert_array_equal(run.answers, run.outputs.mean)


def test_gateware_confirms_the_first_inputs_of_the_model(two_units):
    problem, inputs = two_units
    with Runner("rtl:tiny", 3, gateware_inputs=2) as runner:
        first = runner.run(problem, inputs)
        second = runner.run(problem, inputs)
    assert first.compared == 2 and runner.compared == 4 and len(first.outputs.sums) == 4
    assert runner.cycles == first.cycles + second.cycles
    assert first.cycles_per_input == first.cycles / 2
    assert runner.confirmed == ["rtl:tiny"]
    with Runner("model:tiny", 3) as model:
        run = model.run(problem, inputs)
    np.testing.assert_array_equal(run.outputs.sums, first.outputs.sums)
    assert run.cycles is run.cycles_per_input is None and run.compared == 0


@pytest.mark.parametrize("gateware_inputs", [None, 2])
def test_gateware_that_differs_is_an_error(two_units, broken_gateware, gateware_inputs):
    problem, inputs = two_units
    with (
        Runner("rtl:tiny", 3, gateware_inputs=gateware_inputs) as runner,
        pytest.raises(ModelMismatchError, match=r"two: .*differ.*sums: 1 of .*run ornstein doctor"),
    ):
        runner.run(problem, inputs)
    assert runner.compared == 0


def test_what_does_not_fit_runs_on_the_fallback(two_units):
    problem, _ = two_units
    modules = (Module("encoder", 100), Module("decoder", 100))
    large = replace(problem, energies=(Energy(modules),))
    inputs = np.full((1, 200), 0.01)
    with Runner("model:tiny", fallback=WIDE) as runner:
        assert runner.fabric == TINY
        run = runner.run(large, inputs)
        assert run.program.config == WIDE and run.device == "model:wide"
        assert runner.run(problem, inputs[:, :2]).device == "model:tiny"
    with Runner("model:tiny") as runner, pytest.raises(ProgramError):
        runner.run(large, inputs)


def test_float64_has_neither_bits_nor_a_clock(two_units):
    problem, inputs = two_units
    with Runner("float", 1, fabric=TINY, gateware_inputs=2) as runner:
        run = runner.run(problem, inputs)
    assert not runner.bit_exact and run.program.config == TINY
    assert run.outputs.sums is None and run.saturations is None and len(run.answers) == 4
    assert runner.compared == 0 and run.cycles is None


def test_progress_counts_the_inputs(two_units):
    problem, inputs = two_units
    told = []
    with Runner("model:tiny", gateware_inputs=1) as runner:
        runner.run(problem, inputs, progress=told.append)
    assert sum(told) == len(inputs)


# ---- results -------------------------------------------------------------------------------------


@pytest.fixture
def experiment():
    experiment = Experiment("A", "Title")
    experiment.add("row", "quantity", float64=np.float32(0.5), gateware=None, note="because")
    experiment.add("other", "quantity", reference=2, subject="net", case=4)
    return experiment


def test_results_are_found_by_their_keys(experiment):
    assert experiment.find("quantity").float64 == 0.5
    assert experiment.find("quantity", "net").reference == 2
    assert experiment.find("quantity", case=4).row == "other"
    assert [result.row for result in experiment.select("quantity")] == ["row", "other"]
    for keys in (("nothing",), ("quantity", "other"), ("quantity", "net", 5)):
        with pytest.raises(KeyError):
            experiment.find(*keys)


def test_results_are_plain_numbers_in_json_and_csv(tmp_path, experiment):
    found = documents([experiment])
    assert json.loads(json.dumps(found)) == found
    assert found[0] == {
        "experiment": "A",
        "row": "row",
        "quantity": "quantity",
        "paper": None,
        "float64": 0.5,
        "gateware": None,
        "error": None,
        "note": "because",
    }
    assert (found[1]["paper"], found[1]["row"]) == (2.0, "other")
    assert list(documents([experiment], "prototype")[1])[3] == "prototype"
    write_csv(tmp_path / "results.csv", [experiment])
    with (tmp_path / "results.csv").open() as file:
        assert list(csv.DictReader(file)) == [
            {key: "" if value is None else str(value) for key, value in row.items()}
            for row in found
        ]

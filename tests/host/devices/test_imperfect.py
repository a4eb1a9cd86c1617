# SPDX-License-Identifier: Apache-2.0
"""An imperfect chip: it is the ideal device where it has no imperfections, and the same chip
whenever it is opened and on every device.
"""

import numpy as np
import pytest

from helpers.programs import toy, toy_energy, toy_inputs
from ornstein.hdl.config import REFERENCE, TINY
from ornstein.host.compile.compiler import compile_problem
from ornstein.host.compile.coupling_memory import AdjustableCouplings, factor_places
from ornstein.host.compile.program import ProgramError
from ornstein.host.devices.device import DeviceError, Selection, open_device
from ornstein.host.devices.imperfect import ImperfectDevice, open_imperfect
from ornstein.host.devices.imperfections import Chip, Connections, ConverterErrors, NoiseErrors
from ornstein.host.physics.problem import STATE
from ornstein.sim.energy import Energy
from ornstein.sim.stages import Stage

MISMATCHED = Chip(seed=7, connections=Connections(mismatch=0.2))
STAGES = Stage(200), Stage(1, accumulate=True)


@pytest.fixture(scope="module")
def program():
    return compile_problem(toy(stages=STAGES), TINY, toy_inputs())


def answers(uri, chip, program, inputs=None, **options):
    with open_imperfect(uri, chip) as device:
        device.load(program)
        return device.run(toy_inputs() if inputs is None else inputs, **options)


def test_without_imperfections_it_is_the_ideal_device(program):
    with open_device("model:tiny") as device:
        device.load(program)
        expected = device.run(toy_inputs(), seed=3)
    assert np.array_equal(answers("model:tiny", Chip(seed=1), program, seed=3).sums, expected.sums)


def test_a_file_in_the_uri_names_the_chip(program, tmp_path):
    (tmp_path / "chip7.toml").write_text("seed = 7\n[connections]\nmismatch = 0.2\n")
    uri = f"model:tiny?imperfections={tmp_path / 'chip7.toml'}"
    with open_device(uri) as device:
        assert device.uri == uri and device.config == TINY
        device.load(program)
        assert device.verify() > 0
        found = device.run(toy_inputs())
    assert np.array_equal(found.mean, answers("model:tiny", MISMATCHED, program).mean)
    other = Chip(seed=8, connections=Connections(mismatch=0.2))
    assert not np.array_equal(found.mean, answers("model:tiny", other, program).mean)


def test_the_program_does_not_see_it(program):
    with open_imperfect("model:tiny", MISMATCHED) as device:
        device.load(program)
        assert device.program is program


@pytest.fixture(scope="module")
def large():
    """Some hundred connections."""
    energy = Energy.from_precision(np.cov(np.random.default_rng(3).normal(size=(20, 60))) / 5)
    return compile_problem(toy(energies=(energy,), stages=STAGES), REFERENCE)


def image_of(chip, program):
    """The factor memory that a chip holds, in one row."""
    with open_imperfect("model", chip) as device:
        assert isinstance(device, ImperfectDevice)
        device.load(program)
        assert device.inner.program is not None
        return device.inner.program.factor.ravel().astype(float)


def places_of(program):
    return np.concatenate([place.ravel() for place in factor_places(program).values()])


def test_every_connection_varies_by_itself_and_only_connections_do(large):
    held, image = image_of(MISMATCHED, large), large.factor.ravel()
    places = places_of(large)
    others = np.setdiff1d(np.arange(len(image)), places)
    assert np.array_equal(held[others], image[others])
    strong = places[(np.abs(image[places]) > 100) & (np.abs(held[places]) < 2047)]
    ratios = held[strong] / image[strong] - 1
    assert len(ratios) > 200 and len(np.unique(ratios.round(3))) > len(ratios) / 2
    assert ratios.std() == pytest.approx(0.2, rel=4 / np.sqrt(2 * len(ratios)))


def test_connections_are_lost_as_often_as_they_should_be(large):
    places, image = places_of(large), large.factor.ravel()
    for kind in ("dead", "stuck"):
        held = image_of(Chip(connections=Connections(**{kind: 0.2})), large)
        changed = (held != image)[places]
        assert changed.mean() == pytest.approx(0.2, abs=4 * np.sqrt(0.16 / changed.size))
        assert np.count_nonzero(held[places][changed]) == (kind == "stuck") * changed.sum()


def test_float_and_fabric_are_the_same_chip():
    """The fabric rounds the factors of the chip to its bits; the float device does not."""
    weak = compile_problem(
        toy(energies=(toy_energy(across=0.05),), stages=STAGES), TINY, toy_inputs()
    )
    weak = AdjustableCouplings.of(weak)
    program = weak.with_factors({side: 0.7 * factor for side, factor in weak.factors().items()})
    exact, model = (answers(uri, MISMATCHED, program).mean for uri in ("float:exact", "model:tiny"))
    ideal = answers("float:exact", Chip(), program).mean
    assert np.abs(model - exact).max() < 0.1 * np.abs(ideal - exact).max()


def test_connections_drift_with_the_inputs_that_were_answered(program):
    chip = Chip(connections=Connections(drift=0.5))
    inputs = toy_inputs(8)
    with open_imperfect("model:tiny", chip) as device:
        device.load(program)
        first = device.run(inputs)
        for _ in range(50):
            device.run(inputs)
        later = device.run(inputs)
    aged = Chip(age=51 * 8, connections=Connections(drift=0.5))
    assert np.array_equal(first.mean, answers("model:tiny", Chip(), program, inputs).mean)
    assert not np.array_equal(later.mean, first.mean)
    assert np.array_equal(later.mean, answers("model:tiny", aged, program, inputs).mean)


def test_reads_have_so_many_levels_whatever_is_selected(program):
    chip = Chip(read_converter=ConverterErrors(bits=6, offset=0.01, noise=0.001))
    every = answers("model:tiny", chip, program)
    step = 32768 * program.state_lsb / 32
    assert np.abs(every.mean / step - np.rint(every.mean / step)).max() < 0.01
    assert every.sums is None
    some = answers("model:tiny", chip, program, selection=Selection(module="b"))
    assert np.array_equal(some.mean, every.mean[:, 5:])


def test_a_module_s_converters_can_have_a_range_of_their_own(program):
    chip = Chip(read_converter=ConverterErrors(bits=6, ranges={"b": 2.0}))
    found = answers("model:tiny", chip, program).mean[:, 5:]
    assert np.array_equal(found * 16, np.rint(found * 16)) and np.abs(found).max() <= 2.0
    unknown = Chip(read_converter=ConverterErrors(ranges={"c": 2.0}))
    with pytest.raises(ProgramError, match=r"has no module 'c', .* it has a, b"):
        answers("model:tiny", unknown, program)


def test_biases_pass_their_converters():
    inputs = toy_inputs()
    biased = compile_problem(toy(stages=STAGES), TINY, inputs)
    coarse = Chip(bias_converter=ConverterErrors(bits=3))
    assert not np.array_equal(
        answers("model:tiny", coarse, biased, inputs).mean,
        answers("model:tiny", Chip(), biased, inputs).mean,
    )


def test_only_biases_that_are_inputs_pass_converters():
    chip = Chip(bias_converter=ConverterErrors(bits=8))
    states = compile_problem(toy(stages=STAGES, entry=STATE), TINY, toy_inputs())
    with pytest.raises(ProgramError, match=r"leave out the table \[bias_converter\]"):
        answers("model:tiny", chip, states)


def test_unequal_temperatures_exist_on_the_float_device_alone(program):
    chip = Chip(noise=NoiseErrors(spread=1.0))
    with pytest.raises(DeviceError, match=r"white and of one temperature.*use the device float"):
        open_imperfect("model:tiny", chip)
    hot = compile_problem(
        toy(stages=(Stage(50, 0.05), Stage(400, 0.05, accumulate=True))), TINY, toy_inputs()
    )
    inputs = np.zeros_like(toy_inputs(16))
    spreads = [
        (outputs.second - outputs.mean**2).mean(axis=0)
        for outputs in (answers("float", made, hot, inputs) for made in (Chip(), chip))
    ]
    ratios = spreads[1] / spreads[0]
    assert ratios.max() > 2 * ratios.min()

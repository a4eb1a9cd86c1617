# SPDX-License-Identifier: Apache-2.0
"""Devices: results against theory, independence of blocks, selections, and refusals."""

from dataclasses import replace

import numpy as np
import pytest

from helpers.fake_device import FakeDevice, FakeTransport
from helpers.programs import toy, toy_energy, toy_inputs
from ornstein.hdl.config import PRESETS, REFERENCE, TINY, WIDE
from ornstein.hdl.protocol import Opcode
from ornstein.hdl.regmap import Space
from ornstein.host.compile.compiler import compile_problem
from ornstein.host.compile.program import InputError, ProgramError, job_issues
from ornstein.host.devices.device import (
    Device,
    DeviceError,
    Outputs,
    Selection,
    open_device,
    prediction_only,
)
from ornstein.host.devices.fabric import FabricDevice
from ornstein.host.devices.frames import Request
from ornstein.host.devices.link import LinkError
from ornstein.host.models.model_file import TrainedModel
from ornstein.host.models.recipes import ours_full
from ornstein.host.physics.problem import BIAS, NEAREST, STATE, STOCHASTIC, Problem, equilibrium
from ornstein.host.physics.timestep import choose_time_step
from ornstein.sim.energy import Coupling, Energy, EnergyError, Module
from ornstein.sim.reference import covariance_error, mean_error, stationary_covariance
from ornstein.sim.stages import EM, LM, Stage

SEED = 20265


@pytest.fixture(scope="module")
def program():
    return compile_problem(toy(), TINY, toy_inputs())


# ---- opening -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "uri", ["", "verilog", "rtl:huge", "model:huge", "float:almost", "serial:"]
)
def test_unknown_devices(uri):
    with pytest.raises(DeviceError, match="no device is called") as caught:
        open_device(uri)
    message = str(caught.value)
    assert repr(uri) in message and "\n" not in message
    assert all(
        name in message for name in ("rtl[:FABRIC]", "model", "float", "serial:PORT", *PRESETS)
    )


def test_a_port_that_is_not_there():
    with pytest.raises(LinkError, match="cannot open the serial port /dev/nothing-here"):
        open_device("serial:/dev/nothing-here")


@pytest.mark.parametrize(
    ("uri", "config"),
    [
        ("model", REFERENCE),
        ("model:tiny", TINY),
        ("model:wide", WIDE),
        ("float", None),
        ("float:exact", None),
    ],
)
def test_devices_know_their_name_and_fabric(uri, config):
    with open_device(uri) as device:
        assert (device.uri, device.config, device.program) == (uri, config, None)


@pytest.mark.parametrize("uri", ["rtl:tiny", "model:tiny", "float", "float:exact"])
def test_every_device_runs_the_same_program(device, program, uri):
    """Shapes are those of the program; seeds decide the noise; a warm start needs no other call."""
    one = device(uri)
    one.load(program)
    outputs = one.run(toy_inputs(), seed=2)
    assert outputs.mean.shape == outputs.second.shape == (3, 8)
    assert outputs.samples.shape == (3, 0, 8)
    np.testing.assert_array_equal(one.run(toy_inputs(), seed=2).mean, outputs.mean)
    assert one.run(toy_inputs(), seed=2, warm=True).mean.shape == (3, 8)
    assert one.verify() >= 0
    fine = np.abs(outputs.mean - program.problem.energy.mean(toy_inputs()))
    assert (
        fine.max()
        < 6 * mean_error(program.problem.energy.matrix(), kT=0.01, dt=1.0, samples=20).max()
    )


@pytest.mark.parametrize("uri", ["rtl:tiny", "model:tiny", "float"])
def test_nothing_runs_before_a_program_is_loaded(uri):
    with (
        open_device(uri) as one,
        pytest.raises(DeviceError, match=f"no program is loaded on device '{uri}'; load one"),
    ):
        one.run(toy_inputs())


@pytest.mark.parametrize("uri", ["rtl:tiny", "model:tiny", "float"])
def test_no_inputs(device, program, uri):
    one = device(uri)
    one.load(program)
    with pytest.raises(DeviceError, match="no inputs to run"):
        one.run(np.zeros((0, 8)))


EVERY_DEVICE = "rtl:tiny", "model:tiny", "float", "float:exact"


def assert_same(found: Outputs, expected: Outputs):
    """Every bit of the results; the counters of one block depend on the blocks after it."""
    for name in ("mean", "second", "samples", "sums", "squares"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name), err_msg=name)


@pytest.fixture(scope="module")
def sampling():
    """A program that streams samples."""
    stages = Stage(20, 0.01), Stage(12, 0.01, accumulate=True, thin=3)
    return compile_problem(toy(stages=stages), TINY, toy_inputs())


@pytest.mark.parametrize("warm", [False, True])
@pytest.mark.parametrize("uri", EVERY_DEVICE)
def test_blocks_do_not_matter(device, sampling, uri, warm):
    """All blocks but the last hold a multiple of two inputs, as many as the program has chains."""
    one = device(uri)
    one.load(sampling)
    assert sampling.layout.chains == 2
    inputs = toy_inputs(17)
    results = []
    for first_rows in ([], [2], [8, 8, 10], [2, 4, 10, 16]):
        one.run(inputs[:2], seed=9)  # warm runs begin from the same states
        blocks = np.split(inputs, first_rows)
        parts = list(one.stream(blocks, seed=3, warm=warm))
        assert [len(part.mean) for part in parts] == [len(block) for block in blocks if len(block)]
        results.append(Outputs.join(parts))
    for other in results[1:]:
        assert_same(other, results[0])
    if uri != "float:exact":
        assert results[0].samples.shape == (17, 4, 8)


def test_the_noise_of_an_input_is_its_own(device, sampling):
    """The float device's noise differs between inputs and seeds, and is that of the index."""
    one = device("float")
    one.load(sampling)
    same = np.repeat(toy_inputs(1), 5, axis=0)
    mean = one.run(same, seed=3).mean
    assert len(np.unique(mean, axis=0)) == 5
    assert not (one.run(same, seed=4).mean == mean).any()
    np.testing.assert_array_equal(one.run(same[:2], seed=3).mean, mean[:2])


@pytest.mark.parametrize("uri", ["rtl:tiny", "model:tiny", "float"])
def test_a_warm_run_starts_where_the_last_one_stopped(device, uri):
    """At kT = 0 two runs of ten steps are one of twenty, in every chain."""
    stages = Stage(9, 0.0), Stage(1, 0.0, accumulate=True)
    short = compile_problem(toy(stages=stages), TINY, toy_inputs())
    stages = Stage(19, 0.0), Stage(1, 0.0, accumulate=True)
    long = compile_problem(toy(stages=stages), TINY, toy_inputs())
    one, inputs = device(uri), toy_inputs(short.layout.chains)
    assert len(inputs) == long.layout.chains == 2
    one.load(long)
    expected = one.run(inputs).mean
    one.load(short)
    first = one.run(inputs).mean
    np.testing.assert_allclose(one.run(inputs, warm=True).mean, expected, atol=1e-3)
    assert np.abs(first - expected).max() > 0.05


# ---- what is read --------------------------------------------------------------------------------


@pytest.mark.parametrize("uri", ["rtl:tiny", "model:tiny", "float"])
def test_a_selection_is_a_part_of_everything(device, sampling, uri):
    one = device(uri)
    one.load(sampling)
    whole = one.run(toy_inputs(6), seed=3)
    for module, units in (("a", slice(0, 5)), ("b", slice(5, 8)), (None, slice(0, 8))):
        for second in (False, True):
            for samples in (False, True):
                selection = Selection(second=second, samples=samples, module=module)
                part = one.run(toy_inputs(6), seed=3, selection=selection)
                assert part.selection == selection and part.counters == whole.counters | {
                    "cycles": part.counters["cycles"]
                }
                np.testing.assert_array_equal(part.mean, whole.mean[:, units])
                kept = whole.samples[..., units] if samples else whole.samples[:, :0, units]
                np.testing.assert_array_equal(part.samples, kept)
                if second:
                    np.testing.assert_array_equal(part.second, whole.second[:, units])
                else:
                    assert part.second is None and part.squares is None


@pytest.mark.parametrize("uri", EVERY_DEVICE)
def test_the_prediction_needs_the_target_alone(device, uri):
    program = compile_problem(toy(target="b"), TINY, toy_inputs())
    one = device(uri)
    one.load(program)
    whole = one.run(toy_inputs(6), seed=3)
    part = one.run(toy_inputs(6), seed=3, selection=prediction_only(program.problem))
    assert part.mean.shape == (6, 3)
    expected = program.problem.decode(whole.mean)
    np.testing.assert_array_equal(part.prediction(program.problem), expected)
    np.testing.assert_array_equal(whole.prediction(program.problem), expected)


def test_a_fabric_reads_what_was_selected_and_no_more(device, monkeypatch):
    """On 4 inputs in two jobs: sums of 32 bits, squares of 48 bits, and twelve control registers of
    32 bits, twice before the jobs and once after each.
    """
    program = compile_problem(toy(target="b"), TINY, toy_inputs())
    one = device("rtl:tiny")
    one.load(program)
    assert program.layout.chains == 2
    read: list[tuple[int, int]] = []
    packet = Request.packet

    def recorded(request, sequence):
        if request.opcode == Opcode.READ:
            read.append((request.space, request.answer_bytes))
        return packet(request, sequence)

    monkeypatch.setattr(Request, "packet", recorded)
    for seconds in (None, 0.0):  # of a job: none is sent ahead of answers before that is known
        one.job_seconds = seconds
        read.clear()
        one.run(toy_inputs(4))
        sizes = {space: sum(size for at, size in read if at == space) for space, _ in read}
        assert sizes == {Space.SUM: 4 * 8 * 4, Space.SQUARE: 4 * 8 * 6, Space.CONTROL: 4 * 48}
        read.clear()
        one.job_seconds = seconds
        one.run(toy_inputs(4), selection=prediction_only(program.problem))
        sizes = {space: sum(size for at, size in read if at == space) for space, _ in read}
        assert sizes == {Space.SUM: 4 * 3 * 4, Space.CONTROL: 4 * 48}


@pytest.mark.parametrize("uri", EVERY_DEVICE)
def test_a_module_that_is_not_there(device, program, uri):
    one = device(uri)
    one.load(program)
    with pytest.raises(DeviceError, match="'toy' has no module 'c'; it has a, b"):
        one.run(toy_inputs(), selection=Selection(module="c"))


# ---- reading back --------------------------------------------------------------------------------


@pytest.mark.parametrize("uri", ["rtl:tiny", "model:tiny"])
def test_a_loaded_program_is_read_back(device, program, uri):
    """Every factor, constant, pair of descriptor words, activation entry, and the bank offset."""
    one = device(uri)
    one.load(program)
    elements = program.factor.size + program.constants.size + program.descriptors.size // 2 + 256
    assert one.verify() == elements + 1


@pytest.mark.parametrize("uri", ["float", "float:exact"])
def test_a_device_without_memories_compares_nothing(device, program, uri):
    one = device(uri)
    one.load(program)
    assert one.verify() == 0


@pytest.mark.parametrize(
    ("memory", "place", "element"),
    [
        ("factor", (3, 1), "7 of FACTOR"),
        ("descriptors", (1, 2), "5 of DESCRIPTOR"),
        ("activation", (200, 1), "200 of ACTIVATION"),
        ("bank_offset", None, "2 of CONTROL"),
    ],
)
def test_a_changed_word_of_the_model_is_found(program, memory, place, element):
    with open_device("model:tiny") as one:
        one.load(program)
        if place is None:
            one._model.bank_offset += 1
        else:
            getattr(one._model, memory)[place] += 1
        with pytest.raises(DeviceError, match=rf"'model:tiny' holds .* in element {element}; load"):
            one.verify()
        one.load(program)
        assert one.verify() > 0


def test_a_changed_constant_of_the_model_is_found():
    problem, inputs = toy(entry=STATE, offset=np.full(8, 0.1)), toy_inputs()
    program = compile_problem(problem, TINY, inputs)
    with open_device("model:tiny") as one:
        one.load(program)
        one._model.drive[program.layout.constant_word] += 1
        with pytest.raises(DeviceError, match="of DRIVE; load the program again"):
            one.verify()


def test_progress_tells_the_inputs_that_came_out(device, program):
    one = device("model:tiny")
    one.load(program)
    told = []
    outputs = one.run(toy_inputs(37), seed=3, progress=told.append)
    assert sum(told) == 37 and len(told) > 1
    np.testing.assert_array_equal(outputs.sums, one.run(toy_inputs(37), seed=3).sums)


@pytest.mark.parametrize("uri", ["rtl:tiny", "model:tiny", "float"])
@pytest.mark.parametrize("seed", [-1, 1.5])
def test_seeds_are_non_negative_integers(device, program, uri, seed):
    one = device(uri)
    one.load(program)
    with pytest.raises(DeviceError, match=f"seed must be a non-negative integer, not {seed}"):
        one.run(toy_inputs(), seed=seed)


def test_the_closed_form_is_for_harmonic_energies(device):
    exact = device("float:exact")
    exact.load(compile_problem(toy(energies=(toy_energy(j4=0.05),)), TINY, toy_inputs()))
    with pytest.raises(EnergyError, match="closed forms hold for j4 = 0"):
        exact.run(toy_inputs())


# ---- what is refused, and when -------------------------------------------------------------------


class Recording:
    """A device behind a line that counts the frames which are not reads."""

    def __init__(self, config):
        self.written = 0
        fake = FakeDevice(config)
        fake.events = 0xFF
        execute = fake._execute

        def watched(opcode, space, address, count, data):
            self.written += len(data) > 0
            return execute(opcode, space, address, count, data)

        fake._execute = watched
        self.device = FabricDevice(FakeTransport(fake), "recorded", timeout=0.2)


def test_a_program_for_other_lanes_is_refused_before_anything_is_written(program):
    line = Recording(TINY)
    line.device.load(program)
    assert line.written > 0
    line.written = 0
    with pytest.raises(ProgramError, match="compiled for rank_lanes = 8, but fabric 'tiny' has 2"):
        line.device.load(compile_problem(toy(), REFERENCE, toy_inputs()))
    small = Recording(replace(TINY, factor_depth=4))
    with pytest.raises(ProgramError, match="needs factor_depth >= 8, but fabric 'device' has 4"):
        small.device.load(program)
    assert line.written == small.written == 0


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (np.zeros((2, 7)), "inputs have shape"),
        (np.full((1, 8), np.nan), "is not finite"),
        (np.full((1, 8), 1e6), "takes .* there"),
    ],
)
def test_inputs_are_refused_before_anything_is_written(program, inputs, message):
    line = Recording(TINY)
    line.device.load(program)
    line.written = 0
    with pytest.raises(InputError, match=message):
        line.device.run(inputs)
    assert line.written == 0


@pytest.mark.parametrize("uri", ["rtl:tiny", "model:tiny", "float"])
def test_a_device_goes_on_after_a_refusal(device, program, uri):
    """In the middle of a stream, with a job under way: what follows is as if nothing had been
    asked.
    """
    one = device(uri)
    one.load(program)
    expected = one.run(toy_inputs(), seed=5).mean
    with pytest.raises(InputError):
        list(one.stream([toy_inputs(2), toy_inputs(2), np.full((1, 8), np.inf)]))
    np.testing.assert_array_equal(one.run(toy_inputs(), seed=5).mean, expected)
    if one.config:
        with pytest.raises(ProgramError):
            one.load(compile_problem(toy(), WIDE, toy_inputs()))
        np.testing.assert_array_equal(one.run(toy_inputs(), seed=5).mean, expected)


@pytest.mark.parametrize("uri", ["rtl:tiny", "model:tiny", "float"])
def test_a_block_without_inputs_ends_what_runs(device, program, uri):
    """Its outputs are given before the next block is asked for, and are as without it."""
    one = device(uri)
    one.load(program)
    expected = one.run(toy_inputs(9), seed=5).mean
    given = []

    def blocks():
        for first in (0, 4, 8):
            yield toy_inputs(9)[first : first + 4]
            yield np.zeros((0, 8))
            assert sum(map(len, given)) == min(first + 4, 9)

    for outputs in one.stream(blocks(), seed=5):
        given.append(outputs.mean)
    np.testing.assert_array_equal(np.concatenate(given), expected)


def test_the_number_of_a_refused_input_counts_from_the_beginning(device, program):
    one = device("model:tiny")
    one.load(program)
    inputs = toy_inputs(12)
    inputs[9, 2] = np.nan
    with pytest.raises(InputError, match="input 9 is not finite at position 2"):
        list(one.stream(np.split(inputs, 3)))


def test_a_stream_may_be_left(device, program):
    one = device("rtl:tiny")
    one.load(program)
    expected = one.run(toy_inputs(), seed=5).sums
    left = one.stream([toy_inputs(2), toy_inputs(2), toy_inputs(2)])
    next(left)
    left.close()
    np.testing.assert_array_equal(one.run(toy_inputs(), seed=5).sums, expected)


def test_issues_are_counted_before_the_run(device, program):
    """What the deadline rests on is what the gateware then counts: one job for every two
    inputs.
    """
    one = device("rtl:tiny")
    one.load(program)
    assert program.layout.chains == 2
    assert one.run(toy_inputs(4)).counters["issued"] == 2 * job_issues(program)


# ---- statistics ----------------------------------------------------------------------------------


def run(device: Device, problem, inputs, config=REFERENCE, seed=SEED):
    program = compile_problem(problem, config, inputs)
    device.load(program)
    print(f"seed {seed}")
    return program, device.run(inputs, seed=seed)


@pytest.fixture(scope="module")
def trained():
    """The energy of the demo: two modules of 64 units, a skip of rank 16 from trained weights."""
    return ours_full(TrainedModel.load()).energy


@pytest.mark.parametrize(
    ("integrator", "uri"), [(LM, "model"), (EM, "model"), (LM, "float"), (EM, "float")]
)
def test_stationary_covariance(device, trained, integrator, uri):
    """kT = 1, dt = 1: what Monte Carlo cannot tell apart aside, within 2 % of the discrete chain's
    covariance.

    Samples eleven steps apart hold exp(-2 * 11 * 0.15) = 4 % of the covariance in common: all but
    independent.
    """
    chains, kept, thin = 40, 150, 11
    stages = Stage(60, 1.0), Stage(kept * thin, 1.0, accumulate=True, thin=thin)
    problem = Problem("trained", (trained,), stages, 1.0, integrator=integrator, entry=BIAS)
    program, outputs = run(device(uri), problem, np.zeros((chains, 128)))
    law = stationary_covariance(trained.matrix(), kT=1.0, dt=program.dt, integrator=integrator)
    samples = outputs.samples.reshape(-1, 128)
    measured = np.linalg.norm(samples.T @ samples / len(samples) - law) / np.linalg.norm(law)
    floor = covariance_error(law, len(samples) * 0.9)
    print(f"measured {measured:.4f}, Monte Carlo floor {floor:.4f}")
    assert np.sqrt(max(0.0, measured**2 - floor**2)) < 0.02
    # the variances alone, averaged over all steps: far below the floor of the whole matrix
    assert (outputs.second.mean(axis=0) / law.diagonal()).mean() == pytest.approx(1, abs=0.01)
    if integrator == EM:  # and EM's is the larger one: the test can tell them apart
        exact = trained.covariance(1.0)
        assert (outputs.second.mean(axis=0) / exact.diagonal()).mean() > 1.04


@pytest.mark.parametrize("uri", ["model:tiny", "rtl:tiny", "float"])
@pytest.mark.parametrize("kT", [1.0, 0.01])
def test_means_within_four_standard_errors(device, uri, kT):
    inputs, samples = toy_inputs(6), 4000
    step = choose_time_step([toy_energy()], dt=1.0)
    problem = toy(stages=equilibrium(step, kT=kT, samples=samples))
    program, outputs = run(device(uri), problem, inputs, TINY)
    deviations = (outputs.mean - problem.energy.mean(inputs)) / mean_error(
        problem.energy.matrix(), kT=kT, dt=program.dt, samples=samples
    )
    # factors of 12 bits and a state of 16 shift the mean a little; at these samples the noise hides
    # that
    assert np.abs(deviations).max() < 4
    assert 0.6 < deviations.std() < 1.4


def test_the_quartic_term_narrows_the_state(device):
    """One unit in E = 0.1 z^2 + 0.05 z^4 at kT = 1, by the model, the float reference and the
    integral over exp(-E).
    """
    energy = Energy((Module("a", 16),), j2=0.1, j4=0.05)
    problem = Problem(
        "quartic",
        (energy,),
        (Stage(400, 1.0), Stage(20_000, 1.0, accumulate=True)),
        dt=0.1,
        entry=BIAS,
    )
    z = np.linspace(-8, 8, 4001)
    weight = np.exp(-(0.1 * z**2 + 0.05 * z**4))
    wanted = (z**2 * weight).sum() / weight.sum()
    for uri in ("model:reference", "float"):
        _, outputs = run(device(uri), problem, np.zeros((4, 16)))
        assert outputs.second.mean() == pytest.approx(wanted, rel=0.03), uri


@pytest.mark.parametrize("rounding", [NEAREST, STOCHASTIC])
def test_the_closed_form_at_zero_temperature(device, rounding):
    """To nearest, each unit stops within 0.5 / (dt lambda) LSB; stochastic rounding removes that
    dead band.

    The yardstick is the closed form of the *realised* factors, so that rounding is all that is
    left.
    """
    energy, inputs = toy_energy(), toy_inputs(8)
    problem = toy(stages=(Stage(2000), Stage(16_000, accumulate=True)), dt=0.25, rounding=rounding)
    program, outputs = run(device("model:tiny"), problem, inputs, TINY)
    exact = np.linalg.solve(
        program.matrices[0], program.encode(inputs).words[:, :, 0].T * program.input_lsb[:, None]
    ).T
    error = np.abs(outputs.mean - exact) / program.state_lsb
    smallest = np.linalg.eigvalsh(energy.matrix())[0]
    # projections are rounded too, to 16 bits; that is less than the bound leaves
    assert error.max() <= 0.5 / (program.dt * smallest) * np.sqrt(8)
    if rounding == STOCHASTIC:
        assert np.sqrt(np.mean(error**2)) < 1.0


def test_a_dead_band_holds_a_lone_unit_and_stochastic_rounding_frees_it(device):
    """lambda = 0.2, dt = 0.05: to nearest a unit may stop up to 50 LSB short, dithered it
    does not.
    """
    energy = Energy((Module("a", 16),), j2=0.1)
    inputs = np.linspace(-1, 1, 16)[None]
    short = {}
    for rounding in (NEAREST, STOCHASTIC):
        problem = Problem(
            "band",
            (energy,),
            (Stage(2000), Stage(8000, accumulate=True)),
            dt=0.05,
            rounding=rounding,
            entry=BIAS,
        )
        program, outputs = run(device("model:tiny"), problem, inputs, TINY)
        short[rounding] = np.abs(outputs.mean - 5 * inputs).max() / program.state_lsb
    bound = 0.5 / (program.dt * 0.2)
    assert bound / 2 < short[NEAREST] <= bound + 1
    assert short[STOCHASTIC] < bound / 5


def test_an_initial_state_relaxes_from_where_it_was(device):
    """Entry as state: z_n = (1 - dt lambda)^n z_0 towards the constant bias, on every device."""
    energy = Energy((Module("a", 4),), j2=0.1)
    offset = np.array([0.1, 0.0, -0.2, 0.3])
    start = np.array([[1.0, -1.0, 2.0, 0.5]])
    problem = Problem(
        "decay",
        (energy,),
        (Stage(3), Stage(1, accumulate=True, thin=1)),
        dt=1.0,
        entry=STATE,
        offset=offset,
    )
    for uri in ("rtl:tiny", "model:tiny", "float"):
        _, outputs = run(device(uri), problem, start, TINY)
        rest = 5 * offset
        np.testing.assert_allclose(
            outputs.mean, rest + (start - rest) * (1 - 0.2 * problem.dt) ** 4, atol=2e-3
        )
        np.testing.assert_allclose(outputs.samples[:, -1], outputs.mean, atol=1e-12)


def test_stages_change_energy_and_bias_set(device):
    """A nudge: relax under the first biases, then read under the second, with the couplings of
    another energy.
    """
    factor = np.eye(2)
    coupled = Energy((Module("a", 2),), (Coupling(("a",), (factor,), np.full((1, 1, 2), 0.3)),))
    plain = coupled.without_couplings()
    problem = Problem(
        "nudge",
        (plain, coupled),
        (Stage(100), Stage(100, energy=1, bias=1), Stage(1, energy=1, bias=1, accumulate=True)),
        dt=1.0,
        entry=BIAS,
        bias_sets=2,
    )
    inputs = np.array([[[1.0, -1.0], [0.5, 2.0]]])
    for uri in ("rtl:tiny", "model:tiny", "float"):
        one = device(uri)
        program = compile_problem(problem, TINY, inputs.reshape(1, 4))
        one.load(program)
        np.testing.assert_allclose(one.run(inputs).mean, coupled.mean(inputs[:, 1]), atol=6e-3)

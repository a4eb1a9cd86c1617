# SPDX-License-Identifier: Apache-2.0
"""The compiler: what it realises is what was asked for, within the bits; what it cannot realise it
refuses by name.
"""

from dataclasses import replace

import numpy as np
import pytest

from helpers.programs import random_case, random_program, toy, toy_energy, toy_inputs
from ornstein.hdl.config import ICEBREAKER, REFERENCE, TINY, WIDE, ConfigError
from ornstein.hdl.isa import Level, Operation, Pass
from ornstein.host.compile.compiler import compile_problem
from ornstein.host.compile.formats import FILL, TOP, FormatError
from ornstein.host.compile.program import ProgramError
from ornstein.host.devices.model import ModelDevice
from ornstein.host.physics.interface import Interface, Layer
from ornstein.host.physics.problem import Problem, ProblemError, with_time_steps
from ornstein.sim.energy import Coupling, Energy, Module
from ornstein.sim.stages import EM, LM, Stage

SEEDS = range(40)


def rows(program, prefix):
    return [row for row in program.ranges if row.name.startswith(prefix)]


def run(program, inputs, **options):
    device = ModelDevice(program.config)
    device.load(program)
    return device.run(inputs, **options)


# ---- how far it relaxes --------------------------------------------------------------------------


def test_the_program_knows_how_far_it_relaxes_before_the_first_read():
    """Steps, realised time step and quantized couplings against the spectrum of the realised M."""
    program = compile_problem(toy(), TINY, toy_inputs())
    found = program.relaxation
    before = [stage.steps for stage in program.problem.stages if not stage.accumulate]
    factor = np.abs(1 - program.dt * np.linalg.eigvalsh(program.matrices[0])).max()
    assert found.steps == sum(before) + 1
    assert found.tolerance == pytest.approx(max(factor**found.steps, 1e-12))


# ---- what is realised ----------------------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
def test_the_realised_matrix_is_the_requested_one_within_the_factor_bits(seed):
    """Factors and coefficients are rounded, all of a module on one scale: to 12 bits of its
    strongest.
    """
    program, _ = random_program(seed)
    for energy, matrix in zip(program.problem.energies, program.matrices, strict=True):
        strength = dict.fromkeys(energy.slices, 0.0)
        for coupling in energy.couplings:
            peaks = [np.abs(factor).max(axis=0) for factor in coupling.factors]
            for i, row in enumerate(coupling.modules):
                strength[row] += max(
                    (np.abs(coupling.mix[i, j]) * peaks[i] * peaks[j]).sum()
                    for j in range(len(peaks))
                )
        for row, place in energy.slices.items():
            error = np.abs(matrix - energy.matrix())[place].max()
            assert error <= 1e-12 + 4 / 2**11 * strength[row], row


@pytest.mark.parametrize("rank", [1, 4, 9, 16])
def test_the_realised_matrix_is_close(rank):
    """Dense random skips between 40 and 33 units: 12-bit factors err by less than 1e-3 of the
    coupling.
    """
    rng = np.random.default_rng(rank)
    print(f"seed {rank}")
    factors = tuple(np.linalg.qr(rng.normal(size=(units, rank)))[0] for units in (40, 33))
    mix = np.zeros((2, 2, rank))
    mix[0, 1] = mix[1, 0] = rng.uniform(-0.15, 0.15, rank)
    energy = Energy((Module("a", 40), Module("b", 33)), (Coupling(("a", "b"), factors, mix),))
    program = compile_problem(toy(energies=(energy,)), WIDE, rng.normal(size=(4, 73)))
    wanted = energy.matrix() - 0.2 * np.eye(73)
    assert np.linalg.norm(program.matrices[0] - energy.matrix()) < 1e-3 * np.linalg.norm(wanted)
    np.testing.assert_allclose(program.matrices[0], program.matrices[0].T, rtol=1e-12, atol=1e-16)


def test_dt_is_realised_in_steps_of_the_leak_and_reported():
    for dt in (0.33, 1.0, 2.5):
        program = compile_problem(toy(dt=dt), TINY, toy_inputs())
        (row,) = rows(program, "time step")
        assert (row.requested, row.realised, row.lsb) == (dt, program.dt, 5 / 1024)
        assert program.dt * 0.2 * 1024 == pytest.approx(round(dt * 0.2 * 1024))
        assert abs(program.dt - dt) <= row.lsb / 2
        leaks = {
            Level.unpack(words).leak for words in program.descriptors[1 : program.layout.levels]
        }
        assert leaks == {round(dt * 0.2 * 1024)}


@pytest.mark.parametrize("integrator", [LM, EM])
def test_temperatures_are_realised_within_the_amplitudes_step_and_reported(integrator):
    stages = tuple(Stage(5, kT, accumulate=True) for kT in (0.0, 1e-4, 0.5, 0.5, 1.0))
    program = compile_problem(toy(stages=stages, integrator=integrator), TINY, toy_inputs())
    reported = rows(program, "temperature")
    assert [row.requested for row in reported] == [0.0, 1e-4, 0.5, 1.0]
    for row in reported:
        assert row.realised == pytest.approx(row.requested, rel=1e-3)
    amplitudes = [
        Level.unpack(words).amplitude for words in program.descriptors[1 : program.layout.levels]
    ]
    assert amplitudes[0] == 0 and amplitudes[2] == amplitudes[3]
    assert amplitudes[4] / amplitudes[1] == pytest.approx(100, rel=1e-3)


def test_j4_is_realised_within_its_bits_and_reported():
    program = compile_problem(toy(energies=(toy_energy(j4=0.05),)), TINY, toy_inputs())
    (row,) = rows(program, "j4")
    assert row.requested == 0.05 and row.realised == pytest.approx(0.05, rel=1e-3)
    assert not rows(compile_problem(toy(), TINY, toy_inputs()), "j4")


def test_ranges_of_a_quartic_energy_are_those_its_dynamics_reaches():
    """With M indefinite there is no closed form to bound the states, which the quartic term holds
    between its wells.
    """
    energy = toy_energy(across=0.25, j4=0.2)
    assert energy.eigenvalues()[0] < 0
    program = compile_problem(toy(energies=(energy,)), TINY, toy_inputs())
    (row,) = rows(program, "state")
    outputs = run(program, toy_inputs())
    assert 1 < row.high < 3 and np.abs(outputs.mean).max() < row.high
    assert outputs.counters["state_saturations"] == outputs.counters["rank_saturations"] == 0


def test_a_quartic_energy_that_the_time_step_makes_unstable_is_refused():
    with pytest.raises(
        ProgramError,
        match=r"the quartic term overshoots, so that states diverge; lower dt = 3\.999",
    ):
        compile_problem(toy(energies=(toy_energy(j4=10.0),), dt=4.0), TINY, 10 * toy_inputs())


@pytest.mark.parametrize("seed", SEEDS)
def test_the_range_report_is_complete(seed):
    """A row for the time step, the state, each temperature, each module's bias, each layer and each
    coupling.
    """
    program, _ = random_program(seed)
    problem = program.problem
    names = [row.name for row in program.ranges]
    assert names.count("time step") == names.count("state") == 1
    assert names.count("temperature") == len({stage.kT for stage in problem.stages})
    assert names.count("j4") == bool(problem.energy.j4)
    assert len(rows(program, "coupling ")) == sum(
        len(energy.couplings) for energy in problem.energies
    )
    for module in problem.energy.modules:
        assert names.count(f"bias of {module.name}") == 1
    assert names.count("input, centred and scaled") == (problem.interface is not None)
    for row in program.ranges:
        assert (
            np.isfinite([row.low, row.high, row.lsb]).all()
            and row.low <= row.high
            and row.lsb >= 0
            and row.bits > 0
        )
        assert (row.requested is None) == (row.realised is None)
        if row.name in ("time step", "temperature", "j4"):
            assert row.clipped is None, "no calibration value is held in this format"
        elif not row.name.startswith(("bias of ", "coupling ")):
            assert row.clipped == 0.0, "formats follow the calibration inputs"
    for index, energy in enumerate(problem.energies):
        # A quartic energy that no stage uses visits no states.
        reached = not energy.j4 or any(stage.energy == index for stage in problem.stages)
        suffix = f" of energy {index}" if index else ""
        for coupling in energy.couplings:
            name = f"coupling {'-'.join(coupling.modules)}{suffix}"
            assert {row.clipped for row in program.ranges if row.name == name} == {
                0.0 if reached else None
            }


# ---- formats -------------------------------------------------------------------------------------


def test_the_state_leaves_room_for_the_mean_and_six_deviations():
    energy, inputs = toy_energy(), toy_inputs()
    for kT in (0.0, 1e-3, 1.0):
        program = compile_problem(toy(stages=(Stage(9, kT, accumulate=True),)), TINY, inputs)
        reach = 1.25 * np.abs(energy.mean(inputs)).max() + 6 * np.sqrt(
            energy.covariance(kT).diagonal().max()
        )
        full = TOP * program.state_lsb
        assert reach <= FILL * full and full / 2 * FILL < reach  # no bit is left unused


def test_formats_follow_the_data():
    """Activations ten times as large move the LSBs by the next power of two and change no
    answer.
    """
    inputs = toy_inputs()
    cold = toy(stages=(Stage(200), Stage(1, accumulate=True)))
    means = []
    for factor in (1.0, 10.0):
        program = compile_problem(cold, TINY, factor * inputs)
        means.append(run(program, factor * inputs).mean / factor)
        error = np.abs(means[-1] - cold.energy.mean(inputs)) * factor / program.state_lsb
        assert (
            error.max() < 0.5 / (program.dt * 0.05) + 1 + 5e-3 * TOP
        )  # rounding, and factors of 12 bits
    small, large = (
        compile_problem(cold, TINY, factor * inputs).state_lsb for factor in (1.0, 10.0)
    )
    assert large / small in (8, 16)
    np.testing.assert_allclose(means[0], means[1], atol=16 * small / 0.05)


def test_a_coarser_state_is_chosen_where_a_steps_forces_would_not_fit():
    """A cold unit coupled strongly to another for a long step: what the factors' bits can add falls
    short otherwise.
    """
    factors = np.ones((1, 1)), np.ones((1, 1))
    mix = np.array([[0.3, 0.25], [0.25, 0.3]])[:, :, None]
    energy = Energy((Module("a", 1), Module("b", 1)), (Coupling(("a", "b"), factors, mix),), j2=0.2)
    problem = toy(energies=(energy,), dt=2.0, stages=(Stage(60), Stage(1, accumulate=True)))
    bias = np.array([[1.0, -1.0], [0.5, 1.0]])
    program = compile_problem(problem, TINY, bias)
    np.testing.assert_allclose(run(program, bias).mean, energy.mean(bias), atol=2e-3)


@pytest.mark.parametrize("seed", SEEDS)
def test_no_accumulator_can_overflow(seed):
    """Proved from the integers: the largest sum of |factor| a pass can meet, times the largest
    state or rank word.
    """
    program, _ = random_program(seed)
    config, layout = program.config, program.layout
    room = 1 << config.accumulator_width - 1
    ranks, units = config.rank_lanes, config.unit_lanes
    factor = np.abs(program.factor.astype(np.int64)).reshape(-1, units, ranks)
    for words in program.descriptors[layout.levels :]:
        step = Pass.unpack(words)
        if step.operation == Operation.PROJECT:
            for outer in range(step.outer):
                read = factor[step.factor + outer + step.stride * np.arange(step.inner)]
                assert (
                    read.sum(axis=(0, 1)).max() * (TOP + 1)
                    + (1 << config.project_shifts[step.shift] - 1)
                    < room
                )
        elif step.operation == Operation.EXPAND and step.coupled:
            read = factor[step.factor : step.factor + step.outer * step.inner]
            read = read.reshape(step.outer, step.inner, units, ranks)
            assert read.sum(axis=(1, 3)).max() * (TOP + 1) < room


def test_a_skip_alone_needs_no_mixing_and_has_the_same_law():
    """Beside a vanishing Gram term the same skip is mixed; matrices and answers agree within the
    factors' bits.
    """
    energy = toy_energy()
    nothing = Coupling(("a",), (np.full((5, 1), 1e-6),), np.full((1, 1, 1), 1e-6))
    beside = replace(energy, couplings=(*energy.couplings, nothing))
    inputs = toy_inputs()
    direct, mixed = (
        compile_problem(
            toy(energies=(e,), stages=(Stage(200), Stage(1, accumulate=True))), TINY, inputs
        )
        for e in (energy, beside)
    )

    def operations(program):
        return {
            Pass.unpack(words).operation for words in program.descriptors[program.layout.levels :]
        }

    assert Operation.MIX not in operations(direct) and Operation.MIX in operations(mixed)
    np.testing.assert_allclose(direct.matrices[0], mixed.matrices[0], atol=3e-4)
    np.testing.assert_allclose(run(direct, inputs).mean, run(mixed, inputs).mean, atol=0.02)


def test_a_mode_that_a_module_takes_no_part_in_is_left_out():
    """Found by a random program: the coefficient of an empty column was taken for one that fits no
    format.
    """
    factors = np.array([[1.0, 0.0], [0.0, 0.0]]), np.array([[0.5, 1.0]])
    mix = np.full((2, 2, 2), 0.05)
    energy = Energy((Module("a", 2), Module("b", 1)), (Coupling(("a", "b"), factors, mix),))
    program = compile_problem(toy(energies=(energy,)), TINY, np.ones((1, 3)))
    np.testing.assert_allclose(program.matrices[0], energy.matrix(), atol=1e-4)


def test_long_stages_are_split_and_averaged_as_one():
    program = compile_problem(
        toy(stages=(Stage(200_000, 0.0), Stage(50_000, 0.1, accumulate=True, thin=1000))),
        replace(TINY, name="long", sample_depth=64),
        toy_inputs(),
    )
    levels = [Level.unpack(words) for words in program.descriptors[1 : program.layout.levels]]
    assert sum(level.steps for level in levels) == 250_000
    assert [level.clear for level in levels if level.accumulate] == [1]
    assert program.layout.sampled_words == 50 * program.layout.chains * 8


# ---- the interface -------------------------------------------------------------------------------


def produced_biases(program, inputs):
    """Biases that the fabric makes of the inputs: relaxed without coupling in one step of z = 0 +
    dt b.
    """
    device = ModelDevice(program.config)
    device.load(program)
    return device.run(inputs).mean / program.dt


def interface_problem(layers, offset, size):
    energy = Energy((Module("a", 6), Module("b", 5)), j2=0.1)
    return toy(
        energies=(energy,),
        entry="interface",
        stages=(Stage(1, accumulate=True),),
        dt=1.25,
        interface=Interface(
            np.linspace(-1, 1, size), np.linspace(0.5, 2, size), tuple(layers), offset
        ),
    )


@pytest.mark.parametrize(("activation", "steps"), [(None, 12), ("silu", 40)])
def test_the_conditioning_is_the_interface_within_a_few_steps(activation, steps):
    """Factors of 12 bits: some 2^-11 of the bias range; SiLU adds the straight pieces of
    its table.
    """
    rng = np.random.default_rng(11)
    print("seed 11")
    layers = [
        Layer("input", rng.normal(size=(9, 4)) / 3, None, rng.normal(size=(4, 6)) / 2, "a"),
        Layer("input", rng.normal(size=(9, 7)) / 3, activation, rng.normal(size=(7, 5)) / 2.6, "b"),
        Layer("bias:a", 0.3 * rng.normal(size=(6, 3)), None, rng.normal(size=(3, 5)) / 3, "b"),
    ]
    problem = interface_problem(layers, {"a": rng.normal(size=6), "b": np.zeros(5)}, 9)
    inputs = problem.interface.centre + problem.interface.scale * rng.normal(size=(40, 9))
    wanted = problem.biases(inputs)[:, 0]
    for config in (TINY, REFERENCE, WIDE):
        program = compile_problem(problem, config, inputs)
        error = np.abs(produced_biases(program, inputs) - wanted)
        reach = np.abs(wanted).max()
        assert error.max() < steps * reach / 2**11, config.name
        assert np.sqrt(np.mean(error**2)) < steps / 4 * reach / 2**11, config.name


def test_a_layer_that_reads_a_bias_which_is_zero_adds_nothing():
    layers = [
        Layer("bias:b", np.ones((5, 2)), None, np.ones((2, 6)), "a"),
        Layer("input", np.ones((3, 1)), None, np.ones((1, 5)), "b"),
    ]
    problem = interface_problem(layers, {"a": np.zeros(6), "b": np.zeros(5)}, 3)
    inputs = problem.interface.centre + np.random.default_rng(0).normal(size=(5, 3))
    biases = produced_biases(compile_problem(problem, TINY, inputs), inputs)
    np.testing.assert_array_equal(biases[:, :6], 0)
    np.testing.assert_allclose(biases, problem.biases(inputs)[:, 0], atol=0.02)


# ---- the fabric is chosen ------------------------------------------------------------------------


def test_the_smallest_preset_that_holds_a_problem_is_chosen():
    assert compile_problem(toy()).config is TINY
    larger = Energy.from_precision(np.diag(np.linspace(1.0, 2.0, 40)))
    problem = Problem("larger", (larger,), toy().stages, dt=0.5, entry="bias")
    chosen = compile_problem(problem).config
    assert chosen is REFERENCE
    for name in ("tiny", "bitsy", "icebreaker"):  # they have less memory
        with pytest.raises(ProgramError):
            compile_problem(problem, name)
    with pytest.raises(ProgramError, match="needs factor_depth >= 800, but fabric 'tiny' has 256"):
        compile_problem(problem, "tiny")


def test_a_fabric_can_be_named():
    assert compile_problem(toy(), "reference", toy_inputs()).config is REFERENCE
    with pytest.raises(ConfigError, match="no fabric is called 'huge'; there are tiny, "):
        compile_problem(toy(), "huge")


def test_the_error_names_what_the_last_preset_lacks():
    problem = toy(stages=(Stage(65_537, accumulate=True),))
    with pytest.raises(ProgramError, match="no preset holds the program: 65537 averaged steps"):
        compile_problem(problem)


# ---- refusals ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "depth", "needed"),
    [
        ("factor_depth", 4, 8),
        ("state_depth", 4, 8),
        ("drive_depth", 8, 16),
        ("rank_depth", 1, 2),
        ("descriptor_depth", 5, 8),
    ],
)
def test_too_large_for_a_memory(field, depth, needed):
    """With one input at a time, which needs least, the first allotment that overflows is named, and
    the memory.
    """
    with pytest.raises(
        ProgramError, match=f"the program needs {field} >= {needed}, but fabric 'small' has {depth}"
    ):
        compile_problem(toy(), replace(TINY, name="small", **{field: depth}), toy_inputs())


@pytest.mark.parametrize(("state_depth", "chains"), [(8, 1), (16, 2), (32, 2)])
def test_as_many_inputs_at_once_as_fit_and_pay(state_depth, chains):
    """Two inputs hide this small program's waits; one is taken where the states of two do not
    fit.
    """
    assert (
        compile_problem(toy(), replace(TINY, state_depth=state_depth), toy_inputs()).layout.chains
        == chains
    )
    assert compile_problem(toy(), TINY, toy_inputs()).layout.chains == 2


@pytest.mark.parametrize(
    ("changes", "config", "message"),
    [
        (
            {"energies": (toy_energy(j4=0.05),)},
            ICEBREAKER,
            "has j4 = 0.05, but fabric 'icebreaker' was built without the qua",
        ),
        (
            {"stages": (Stage(9, 0.1, accumulate=True, thin=1),)},
            ICEBREAKER,
            "streams samples, but fabric 'icebreaker' was",
        ),
        ({"stages": (Stage(9, 0.1, accumulate=True, thin=2048),)}, TINY, "thin must be below 2048"),
        (
            {"stages": (Stage(65_537, 0.1, accumulate=True),)},
            TINY,
            "65537 averaged steps could overflow the sums of fabric 'tiny', which hold 65536",
        ),
        (
            {"dt": 0.002},
            TINY,
            r"2 j2 dt = 0.0004 must round to between 1/1024 and 1023/1024; change dt = 0.002",
        ),
        ({"dt": 4.999}, TINY, r"2 j2 dt = 0.9998 must round"),
        ({"stages": (Stage(9, 1e12, accumulate=True),)}, TINY, None),
    ],
)
def test_what_a_fabric_cannot_do(changes, config, message):
    if message is None:  # any temperature has a format: the LSB grows with it
        assert compile_problem(toy(**changes), config, toy_inputs()).state_lsb > 1
        return
    with pytest.raises(ProgramError, match=message) as caught:
        compile_problem(toy(**changes), config, toy_inputs())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kT", (0.0, 0.1))
def test_a_time_step_that_nobody_names_follows_from_the_spectrum(kT):
    """At kT = 0 it is 2 / (smallest + largest eigenvalue); at a temperature the largest eigenvalue
    times dt is 1/4. The nearest that the bits of the leak allow is taken."""
    stages = Stage(60, kT), Stage(8, kT, accumulate=True)
    program = compile_problem(toy(dt=None, stages=stages), TINY, toy_inputs())
    values = program.problem.energy.eigenvalues()
    expected = 0.25 / values[-1] if kT else 2 / (values[0] + values[-1])
    assert program.problem.dt == pytest.approx(min(expected, 0.98 / (2 * toy().energy.j2)))
    assert program.dt == pytest.approx(program.problem.dt, rel=0.01)


@pytest.mark.parametrize(("seed", "halvings"), ((53, 2), (57, 1)))
def test_a_time_step_that_no_format_holds_is_halved(seed, halvings):
    """Random problems whose forces at the first time step are too large for the factors, and whose
    quartic term then overshoots.
    """
    case = random_case(seed)
    problem = replace(case.problem, dt=None)
    first = next(with_time_steps(problem)).time_step
    with pytest.raises(FormatError):
        compile_problem(replace(problem, dt=first), case.preferred, case.calibration)
    program = compile_problem(problem, case.preferred, case.calibration)
    assert program.problem.time_step == first / 2**halvings


def test_a_problem_without_a_time_step_says_so():
    with pytest.raises(ProblemError, match="toy: name a dt, or let compile_problem choose one"):
        _ = toy(dt=None).time_step

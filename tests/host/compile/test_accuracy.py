# SPDX-License-Identifier: Apache-2.0
"""What the formats realise is what was asked for, or the user is told by how much it is not."""

from dataclasses import replace

import numpy as np
import pytest

from helpers.programs import clipping_program, random_program, toy, toy_inputs
from ornstein.hdl.config import REFERENCE, TINY
from ornstein.host.compile.accuracy import added_variance
from ornstein.host.compile.compiler import compile_problem
from ornstein.host.compile.formats import J4_TOLERANCE, LEAST_SPREAD
from ornstein.host.compile.program import AccuracyCheck, Program, ProgramError
from ornstein.host.devices.model import ModelDevice
from ornstein.host.physics.problem import NEAREST, STOCHASTIC
from ornstein.host.physics.timestep import choose_time_step
from ornstein.sim.energy import Coupling, Energy, Module
from ornstein.sim.reference import stationary_covariance
from ornstein.sim.stages import EM, LM, Stage

ONE = Energy((Module("a", 1),))
"""A single unit of leak 0.2."""


def check(program: Program, name: str) -> AccuracyCheck:
    """The check whose name begins so."""
    (found,) = (one for one in program.checks if one.name.startswith(name))
    return found


def mean_of(program: Program, inputs: np.ndarray) -> np.ndarray:
    with ModelDevice(program.config) as device:
        device.load(program)
        return device.run(inputs, seed=1).mean


# ---- checks --------------------------------------------------------------------------------------


def test_a_check_warns_beyond_its_tolerance_only():
    assert AccuracyCheck.of("x", 0.2, 0.2, "too much").warning == ""
    assert AccuracyCheck.of("x", 0.3, 0.2, "too much").warning == "too much"
    assert AccuracyCheck.of("x", 0.3, 0.2, "too little", least=True).warning == ""
    assert AccuracyCheck.of("x", 0.1, 0.2, "too little", least=True).warning == "too little"


@pytest.mark.parametrize("seed", range(12))
def test_a_sound_program_has_no_warnings(seed):
    program, _ = random_program(seed)
    assert program.checks and program.warnings() == ()


def test_clipped_values_are_warned_of():
    """A quarter of the values that the calibration inputs lead to lie beyond the state's format."""
    program = clipping_program()
    assert check(program, "values beyond their format").measured == 0.25
    assert "0.25 of the values of 'state'" in program.warnings()[0]


# ---- the quartic term ----------------------------------------------------------------------------


def quartic(j4: float, dt: float, size: float) -> Program:
    stages = Stage(60, 0.5), Stage(100, 0.5, accumulate=True)
    problem = toy(energies=(replace(ONE, j4=j4),), stages=stages, dt=dt)
    return compile_problem(problem, TINY, np.array([[size], [-size]]))


@pytest.mark.parametrize(
    ("j4", "dt", "size"),
    [
        (1e-2, 1 / 64, 1.0),
        (1e-2, 1 / 64, 10.0),
        (1e-3, 1 / 64, 1.0),
        (1e-3, 1 / 16, 1.0),
        (1e-4, 1 / 16, 10.0),
        (1e-4, 1.0, 1.0),
        (1e-5, 1 / 4, 1.0),
    ],
)
def test_a_weak_quartic_term_gets_a_coarser_state(j4, dt, size):
    """Its coefficient would be one of a few steps in the finest state, up to twice too large."""
    program = quartic(j4, dt, size)
    (row,) = (row for row in program.ranges if row.name == "j4")
    assert row.realised == pytest.approx(j4, rel=J4_TOLERANCE)
    assert check(program, "j4").measured == pytest.approx(abs(row.realised / j4 - 1))
    assert program.warnings() == ()


def test_a_quartic_term_that_is_nearly_held_is_warned_of():
    program = quartic(1e-4, 1 / 64, 1.0)
    error = check(program, "j4").measured
    assert J4_TOLERANCE < error < 0.1
    assert program.warnings() == (
        f"j4 is realised as {1e-4 * (1 - error):.4g} instead of 0.0001, {error:.1%} off; raise dt, "
        "or narrow the range of the inputs",
    )


def test_a_quartic_term_that_is_not_held_is_refused():
    with pytest.raises(ProgramError, match=r"j4 = 1e-05 is too small .* realised as 0; raise j4"):
        quartic(1e-5, 1 / 64, 1.0)


# ---- the equilibrium of the quantized couplings --------------------------------------------------


def conditioned(condition: float, seed: int = 0) -> Energy:
    """Twelve units beside twelve under a skip of rank 4, with eigenvalues of that condition."""
    rng = np.random.default_rng(seed)
    factors = tuple(np.linalg.qr(rng.normal(size=(12, 4)))[0] for _ in range(2))
    mix = np.zeros((2, 2, 4))
    strongest = 0.2 * (condition - 1) / (condition + 1)
    mix[0, 1] = mix[1, 0] = strongest * np.array([1, 0.8, 0.5, 0.3])
    return Energy((Module("a", 12), Module("b", 12)), (Coupling(("a", "b"), factors, mix),))


@pytest.mark.parametrize(("condition", "warned"), [(3, False), (100, False), (3000, True)])
def test_the_equilibrium_of_the_quantized_couplings_is_compared(condition, warned):
    """Errors of the mean and of the variances against dense inverses of both matrices."""
    energy = conditioned(condition)
    stages = Stage(9), Stage(1, accumulate=True)
    biases = np.random.default_rng(1).normal(size=(20, 24))
    dt = choose_time_step([energy]).dt
    program = compile_problem(toy(energies=(energy,), stages=stages, dt=dt), REFERENCE, biases)
    asked, made = (np.linalg.inv(matrix) for matrix in (energy.matrix(), program.matrices[0]))
    mean = np.linalg.norm(biases @ (made - asked)) / np.linalg.norm(biases @ asked)
    assert check(program, "equilibrium mean").measured == pytest.approx(mean, rel=1e-3)
    values, vectors = np.linalg.eigh(energy.matrix())
    variances = np.sum(vectors * (made @ vectors), axis=0) * values
    largest = np.abs(variances - 1).max()
    assert check(program, "variance along a mode").measured == pytest.approx(largest, rel=1e-3)
    assert (mean > 0.02) == warned
    lines = [line for line in program.warnings() if line.startswith("the quantized couplings")]
    assert bool(lines) == warned
    for line in lines:
        assert f"M has condition {condition:.3g} and the factors 12 bits" in line


# ---- thermal motion ------------------------------------------------------------------------------


def thermal(spread: float, *, dt: float = 1.0, rounding=NEAREST, integrator=LM) -> Program:
    """A single unit whose biases of up to 100 set its LSB, and that moves by ``spread`` LSBs."""
    lsb = 2.0 ** -np.floor(np.log2(32767 * 0.9 / (1.25 * 500)))
    stage = Stage(2000, 0.2 * (spread * lsb) ** 2, accumulate=True)
    problem = toy(
        energies=(ONE,),
        stages=(Stage(int(60 / dt), stage.kT), stage),
        dt=dt,
        rounding=rounding,
        integrator=integrator,
    )
    program = compile_problem(problem, TINY, np.array([[100.0]]))
    assert program.state_lsb == lsb
    return program


@pytest.mark.parametrize("spread", [0.25, 1.0, 2.0, 4.0, 7.9])
def test_thermal_motion_of_few_steps_is_warned_of(spread):
    """Large biases push it there: the state's range follows the means."""
    program = thermal(spread)
    assert check(program, "thermal spread").measured == pytest.approx(spread)
    assert program.warnings()[0].startswith(f"thermal motion spans {spread:.2g} LSBs of the state")


@pytest.mark.parametrize("spread", [LEAST_SPREAD + 0.1, 40.0])
def test_thermal_motion_of_enough_steps_is_not_warned_of(spread):
    assert thermal(spread).warnings() == ()


@pytest.mark.parametrize("integrator", [LM, EM])
@pytest.mark.parametrize(("spread", "dt"), [(2.0, 1.0), (4.0, 1.0), (8.0, 0.2)])
def test_the_share_that_rounding_adds_to_a_variance_is_the_expected_one(spread, dt, integrator):
    """Within the statistics of 200 chains, and a tenth of the share itself."""
    program = thermal(spread, dt=dt, rounding=STOCHASTIC, integrator=integrator)
    expected = check(program, "variance added").measured
    kT = program.problem.kT
    assert expected == added_variance(kT, program.dt, 0.2, program.state_lsb, integrator)
    chains = 200
    with ModelDevice(TINY) as device:
        device.load(program)
        outputs = device.run(np.zeros((chains, 1)), seed=7)
    second = outputs.second.mean()
    theory = stationary_covariance(ONE.matrix(), kT=kT, dt=program.dt, integrator=integrator)
    independent = chains * 2000 * program.dt * 0.2
    error = np.sqrt(2 / independent)
    assert second / theory[0, 0] - 1 == pytest.approx(expected, abs=4 * error + expected / 10)


def test_a_drift_that_rounding_would_drop_is_rounded_stochastically():
    """A step of dt = 0.1 moves thermal motion of 16 LSBs by 0.3 LSB. The variance is then that of
    theory within what rounding adds, and was 8 % or more off with rounding to nearest.
    """
    program = thermal(16.0, dt=0.1)
    assert program.problem.rounding == STOCHASTIC
    assert check(program, "thermal drift").measured < 0.5
    (line,) = program.warnings()
    assert "so the state is rounded stochastically" in line
    assert thermal(40.0, dt=0.1).problem.rounding == NEAREST


def test_a_temperature_that_would_be_none_is_refused():
    """kT = 1e-30 beside biases of 1 has less noise than the update's guard bits."""
    stages = (Stage(9, 1e-30, accumulate=True),)
    with pytest.raises(ProgramError, match=r"kT = 1e-30 is too small .* ask for kT = 0, or for "):
        compile_problem(toy(stages=stages), TINY, toy_inputs())


def test_the_temperature_that_the_refusal_names_is_taken():
    def compiled(kT):
        return compile_problem(toy(stages=(Stage(9, kT, accumulate=True),)), TINY, toy_inputs())

    with pytest.raises(ProgramError) as caught:
        compiled(1e-30)
    least = float(str(caught.value).split(" or for ")[1].split()[0])
    assert compiled(1.001 * least).warnings()[0].startswith("thermal motion spans")

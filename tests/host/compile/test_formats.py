# SPDX-License-Identifier: Apache-2.0
"""Formats of the time step, the state and the noise, and the fraction of values beyond a format."""

from dataclasses import replace

import numpy as np
import pytest

from helpers.programs import toy, toy_energy, toy_inputs
from ornstein.hdl.config import TINY
from ornstein.host.compile.formats import (
    FILL,
    MARGIN,
    SIGMAS,
    TOP,
    choose_amplitudes,
    choose_state,
    clipped_fraction,
    expect_states,
    realise_time_step,
)
from ornstein.host.compile.program import ProgramError
from ornstein.host.compile.request import Request
from ornstein.host.physics.problem import STATE
from ornstein.sim.stages import EM, LM, Stage


def request(inputs=None, **changes) -> Request:
    return Request(toy(**changes), TINY, toy_inputs() if inputs is None else inputs)


def state_of(asked: Request, spare: int = 0):
    step = realise_time_step(asked)
    return choose_state(asked, step, expect_states(asked, step), spare)


# ---- clipped values ------------------------------------------------------------------------------


def test_the_clipped_fraction_counts_what_rounds_beyond_16_bits():
    assert clipped_fraction(np.array([32767.4, -32768.4])) == 0
    assert clipped_fraction(np.array([32767.6, -32768.6])) == 1
    assert clipped_fraction(np.array([[32768.0, 0.0]]), np.array([1.0, 2.0])) == 0.25
    assert clipped_fraction(np.array([1.0, 2.0, 2.1]), lsb=2**-14) == pytest.approx(2 / 3)


def test_without_values_there_is_no_clipped_fraction():
    assert clipped_fraction() is None
    assert clipped_fraction(np.zeros((0, 8)), lsb=0.5) is None


# ---- time ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("dt", "leak"), [(1.0, 205), (0.25, 51), (2.5, 512)])
def test_the_leak_is_the_nearest_of_its_bits(dt, leak):
    """2 j2 dt = 0.2 dt in steps of 1/1024."""
    step = realise_time_step(request(dt=dt))
    assert step.leak == leak and step.dt == leak / 1024 / 0.2
    (row,) = step.ranges
    assert (row.requested, row.realised, row.clipped) == (dt, step.dt, None)


@pytest.mark.parametrize("dt", [0.002, 4.999])
def test_a_leak_of_nothing_or_of_all_is_refused(dt):
    with pytest.raises(
        ProgramError, match=r"must round to between 1/1024 and 1023/1024; change dt"
    ):
        realise_time_step(request(dt=dt))


# ---- states --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kT", [0.0, 0.3])
def test_a_harmonic_energy_is_expected_at_its_means(kT):
    asked = request(stages=(Stage(9, kT, accumulate=True),))
    states = expect_states(asked, realise_time_step(asked))
    energy = asked.problem.energy
    np.testing.assert_array_equal(states.values[0], energy.mean(toy_inputs()))
    assert states.heat == (kT,)
    deviation = np.sqrt(kT * energy.variances().max())
    assert states.reach == pytest.approx(
        MARGIN * np.abs(states.values[0]).max() + SIGMAS * deviation
    )


def test_euler_maruyama_is_expected_hotter():
    """The mode of eigenvalue 0.35 has its variance raised by 1 / (1 - 0.35 dt / 2)."""
    asked = request(stages=(Stage(9, 0.3, accumulate=True),), integrator=EM)
    step = realise_time_step(asked)
    assert expect_states(asked, step).heat[0] == pytest.approx(0.3 / (1 - 0.35 * step.dt / 2))


def test_initial_states_have_to_be_held_too():
    asked = request(entry=STATE, inputs=np.full((1, 8), 3.0))
    states = expect_states(asked, realise_time_step(asked))
    assert not states.values[0].any() and states.reach >= 3 * MARGIN


def test_a_quartic_energy_is_expected_where_its_dynamics_goes():
    """Every second of 128 states of three inputs is kept. No stage uses the second energy."""
    energies = toy_energy(j4=0.05), toy_energy(across=0.1, j4=0.05)
    asked = request(energies=energies, stages=(Stage(128, 0.1, accumulate=True),))
    states = expect_states(asked, realise_time_step(asked))
    assert states.values[0].shape == (64 * 3, 8) and states.values[1].shape == (0, 8)
    assert states.heat == (0.0, 0.0)
    assert states.reach == pytest.approx(MARGIN * np.abs(states.values[0]).max())


def test_a_quartic_energy_that_diverges_is_refused():
    asked = request(energies=(toy_energy(j4=10.0),), dt=4.0, inputs=10 * toy_inputs())
    with pytest.raises(ProgramError, match=r"the quartic term overshoots.*lower dt = 3\.999"):
        expect_states(asked, realise_time_step(asked))


def test_the_state_fills_its_bits_but_the_spare_ones():
    asked = request()
    reach = expect_states(asked, realise_time_step(asked)).reach
    fine = state_of(asked)
    assert TOP * fine.lsb * FILL / 2 < reach <= TOP * fine.lsb * FILL
    assert state_of(asked, spare=2).lsb == 4 * fine.lsb
    assert fine.quartic == 0 and [row.name for row in fine.ranges] == ["state"]


def test_states_are_not_clipped_where_the_format_follows_them():
    assert state_of(request()).ranges[0].clipped == 0.0


def test_states_beyond_the_format_are_counted():
    """The coefficient of a quartic term fits only beside a state of up to 16. Two inputs of eight
    units start at 1 or 100, and end one step later near 1 or at -200,000.
    """
    energy = replace(toy_energy(j4=0.05), couplings=())
    inputs = np.array([[1.0] * 8, [1.0, 100.0] * 4])
    asked = request(
        entry=STATE, energies=(energy,), stages=(Stage(1, accumulate=True),), inputs=inputs
    )
    found = state_of(asked)
    assert TOP * found.lsb == pytest.approx(16, rel=1e-3)
    assert found.ranges[0].clipped == 8 / 32


def test_a_negligible_quartic_term_is_refused():
    asked = request(energies=(toy_energy(j4=1e-9),), inputs=1000 * toy_inputs(), dt=0.01)
    with pytest.raises(ProgramError, match="j4 = 1e-09 is too small for the state's range of "):
        state_of(asked)


# ---- noise ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("integrator", [LM, EM])
def test_amplitudes_go_with_the_root_of_the_temperature(integrator):
    stages = tuple(Stage(5, kT, accumulate=True) for kT in (0.0, 0.25, 1.0, 0.25))
    asked = request(stages=stages, integrator=integrator)
    found = choose_amplitudes(asked, realise_time_step(asked), state_of(asked))
    assert list(found.by_stage) == [(0.0, 0), (0.25, 0), (1.0, 0)]
    cold, mild, hot = found.by_stage.values()
    assert cold == 0 and hot == pytest.approx(2 * mild, abs=1)
    assert [row.requested for row in found.ranges] == [0.0, 0.25, 1.0]
    for row in found.ranges:
        assert row.realised == pytest.approx(row.requested, rel=1e-6) and row.clipped is None


def test_a_noise_beyond_its_bits_is_refused():
    """Only a state far finer than the noise asks for that."""
    asked = request(stages=(Stage(5, 1.0, accumulate=True),))
    fine = replace(state_of(asked), lsb=2.0**-40)
    with pytest.raises(ProgramError, match=r"kT = 1\.0 needs a noise amplitude beyond 28 bits"):
        choose_amplitudes(asked, realise_time_step(asked), fine)

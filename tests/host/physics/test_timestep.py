# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from ornstein.host.physics.timestep import (
    LARGEST_LEAK,
    MOST_CONDITION,
    MOST_HALVINGS,
    SHAPE_BOUND,
    TimeStep,
    TimeStepError,
    chebyshev_steps,
    choose_time_step,
    largest_curvature,
    relaxation_rates,
    time_steps,
)
from ornstein.sim.energy import Coupling, Energy, Module


def energy_with(low: float, high: float) -> Energy:
    """Two units whose M has these eigenvalues."""
    j2, difference = (low + high) / 4, (high - low) / 2
    mix = np.zeros((2, 2, 1))
    mix[0, 1] = mix[1, 0] = difference
    one = np.ones((1, 1))
    return Energy((Module("a", 1), Module("b", 1)), (Coupling(("a", "b"), (one, one), mix),), j2)


@pytest.mark.parametrize(("condition", "steps"), [(2.2, 5), (3.0, 6), (9.0, 11), (1.0, 1)])
def test_chebyshev_bound(condition, steps):
    """1 / T_n((c + 1) / (c - 1)) at n steps is the least error of any polynomial of that degree."""
    assert chebyshev_steps(condition, 1e-3) == steps


def test_the_step_is_the_fastest_for_the_spectrum():
    step = choose_time_step([energy_with(0.5, 1.5)], tolerance=1e-3)
    assert step.dt == pytest.approx(LARGEST_LEAK / 1.0)  # 2 / (0.5 + 1.5) would make the leak one
    chosen = choose_time_step([energy_with(0.5, 1.5)], tolerance=1e-3, dt=0.9)
    assert step.steps <= chosen.steps


@pytest.mark.parametrize("low", [0.1, 0.3])
def test_the_number_of_steps_is_what_relaxation_takes(low):
    """Iterating the mode that decays slowest reaches the tolerance at that step, not before."""
    step = choose_time_step([energy_with(low, 0.5)], tolerance=5e-3)
    left = np.abs(1 - step.dt * np.array([low, 0.5])).max() ** np.arange(step.steps + 1)
    assert left[step.steps] <= 5e-3 < left[step.steps - 1]
    assert step.burn_in == step.steps - 1
    assert step.chebyshev_steps <= step.steps < step.unit_steps


def test_raw_samples_keep_a_small_step():
    step = choose_time_step([energy_with(0.1, 0.4)], shape_matters=True)
    assert step.dt * 0.4 == pytest.approx(SHAPE_BOUND)


def test_smaller_steps_are_tried_unless_one_is_fixed():
    tried = [step.dt for step in time_steps([energy_with(0.1, 0.4)])]
    assert tried == [tried[0] / 2**halvings for halvings in range(MOST_HALVINGS + 1)]
    assert [step.dt for step in time_steps([energy_with(0.1, 0.4)], dt=0.7)] == [0.7]


def test_what_a_number_of_steps_reaches():
    """Three modes of factor 1/2 a step leave an eighth after three steps."""
    step = TimeStep.after(3, 0.5, 1.5, dt=1.0)
    assert (step.steps, step.tolerance, step.factor) == (3, 0.125, 0.5)
    with pytest.raises(TimeStepError, match="allows dt < 1"):
        TimeStep.after(3, 0.5, 2.0, dt=1.0)


def test_an_unstable_unit_step_is_none():
    assert choose_time_step([energy_with(0.5, 3.5)]).unit_steps is None


@pytest.mark.parametrize("tolerance", [0.0, 1.0])
def test_a_tolerance_out_of_range_is_refused(tolerance):
    with pytest.raises(TimeStepError, match="between 0 and 1"):
        choose_time_step([energy_with(0.1, 0.4)], tolerance=tolerance)


def test_the_rates_of_a_harmonic_energy_are_its_eigenvalues():
    energy = energy_with(0.5, 1.5)
    assert relaxation_rates(energy, 0.1) == pytest.approx((0.5, 1.5))
    assert largest_curvature(energy) == pytest.approx(1.5)


def test_the_curvature_of_a_double_well():
    """E = -z^2 / 2 + z^4 / 4 has its wells at +-1, where E'' = -1 + 3 = 2."""
    energy = Energy.from_precision([[-1.0]], j4=0.25)
    assert largest_curvature(energy) == pytest.approx(2.0)
    slowest, fastest = relaxation_rates(energy, 0.0)
    assert slowest == pytest.approx(2.0) and fastest == pytest.approx(3.0)


@pytest.mark.parametrize("kT", [0.01, 1.0])
def test_thermal_motion_stiffens_a_quartic_unit(kT):
    """Without a harmonic part the mean curvature is 12 j4 <z^2>, here by quadrature."""
    j4 = 0.3
    energy = Energy.from_precision([[0.0]], j4=j4)
    z = np.linspace(-1, 1, 20_001) * 4 * (kT / j4) ** 0.25
    weight = np.exp(-j4 * z**4 / kT)
    mean_curvature = 12 * j4 * np.sum(z**2 * weight) / np.sum(weight)
    slowest, fastest = relaxation_rates(energy, kT)
    assert slowest == pytest.approx(mean_curvature, rel=1e-6)
    assert fastest == pytest.approx(3 * slowest)


def test_a_direction_without_curvature_still_has_a_rate():
    slowest, fastest = relaxation_rates(Energy.from_precision(np.diag([0.0, 2.0]), j4=0.1), 0.0)
    assert fastest == pytest.approx(2.0) and slowest == pytest.approx(fastest / MOST_CONDITION)

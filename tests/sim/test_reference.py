# SPDX-License-Identifier: Apache-2.0
"""The float reference: its dynamics against the theory of the discrete chain.

Monte Carlo tests run many independent chains with a fixed seed, which a failure shows, and allow
four to five standard errors.
"""

from dataclasses import replace

import numpy as np
import pytest

from ornstein.sim.energy import Coupling, Energy, Module
from ornstein.sim.reference import covariance_error, mean_error, relax, stationary_covariance
from ornstein.sim.stages import EM, LM, Stage

SEED = 20260


def generator(offset=0):
    print(f"seed {SEED + offset}")
    return np.random.default_rng(SEED + offset)


def energy(j4=0.0):
    """Two modules of three and two units; eigenvalues of M from 0.18 to 0.72."""
    rng = np.random.default_rng(1)
    factors = rng.normal(size=(3, 2)), rng.normal(size=(2, 2))
    factors = tuple(np.linalg.qr(factor)[0] for factor in factors)
    mix = np.zeros((2, 2, 2))
    mix[0, 1] = mix[1, 0] = 0.1, -0.2
    mix[0, 0] = 0.4, 0.2
    return Energy(
        (Module("a", 3), Module("b", 2)), (Coupling(("a", "b"), factors, mix),), j2=0.15, j4=j4
    ).check()


BIAS = np.array([0.3, -0.2, 0.1, 0.0, 0.5])


def run(
    stages,
    *,
    chains=1,
    dt=1.0,
    integrator=LM,
    energies=None,
    biases=None,
    initial=None,
    rng=None,
    **options,
):
    energies = energies or (energy(),)
    biases = BIAS[None] if biases is None else np.atleast_2d(biases)
    initial = np.zeros((chains, 5)) if initial is None else initial
    return relax(
        energies,
        np.broadcast_to(biases, (len(initial), *biases.shape)),
        tuple(stages),
        dt=dt,
        integrator=integrator,
        initial=initial,
        rng=rng or generator(),
        **options,
    )


def largest_step():
    """Nine tenths of the largest stable time step."""
    return 0.9 * 2 / np.linalg.eigvalsh(energy().matrix())[-1]


# ---- without noise -------------------------------------------------------------------------------


@pytest.mark.parametrize("integrator", [LM, EM])
def test_at_zero_temperature_the_steps_are_euler_steps(integrator):
    dt, matrix = 0.7, energy().matrix()
    state = np.arange(5.0)
    result = run(
        [Stage(3, accumulate=True, thin=2)], dt=dt, integrator=integrator, initial=state[None]
    )
    visited = []
    for _ in range(3):
        state = state - dt * (matrix @ state - BIAS)
        visited.append(state)
    np.testing.assert_allclose(result.final[0], visited[-1], rtol=1e-12)
    np.testing.assert_allclose(result.mean[0], np.mean(visited, 0), rtol=1e-12)
    np.testing.assert_allclose(result.second[0], np.mean(np.square(visited), 0), rtol=1e-12)
    np.testing.assert_allclose(result.samples[0], [visited[1]], rtol=1e-12)


def test_it_relaxes_to_the_closed_form():
    result = run([Stage(200)])
    np.testing.assert_allclose(result.final[0], energy().mean(BIAS), atol=1e-8)


def test_the_quartic_force_is_the_derivative_of_the_quartic_energy():
    quartic = energy(j4=0.05)
    final = run([Stage(400)], energies=(quartic,)).final[0]
    np.testing.assert_allclose(quartic.matrix() @ final + 4 * 0.05 * final**3, BIAS, atol=1e-8)


def test_stages_choose_energy_and_bias():
    weak = replace(energy(), j2=0.3)
    biases = np.stack([BIAS, -BIAS])
    for e, chosen in enumerate((energy(), weak)):
        for b in range(2):
            final = run(
                [Stage(300, energy=e, bias=b)], energies=(energy(), weak), biases=biases
            ).final[0]
            np.testing.assert_allclose(final, chosen.mean(biases[b]), atol=1e-8)


def test_only_accumulating_stages_count_and_thin_starts_afresh():
    result = run([Stage(3, thin=2), Stage(2, accumulate=True, thin=2)])
    fresh = run([Stage(5, accumulate=True, thin=1)])
    np.testing.assert_allclose(result.mean, fresh.samples[:, 3:].mean(1))
    np.testing.assert_allclose(result.samples, fresh.samples[:, [1, 4]])


def test_nothing_accumulated_and_nothing_sampled():
    result = run([Stage(3)], chains=2)
    assert result.samples.shape == (2, 0, 5)
    assert not result.mean.any() and not result.second.any()


def test_progress_counts_steps_and_the_initial_state_is_kept():
    steps, initial = [], np.ones((2, 5))
    run([Stage(3), Stage(4)], initial=initial, progress=steps.append)
    assert sum(steps) == 7
    assert (initial == 1).all()


def test_the_seed_decides_the_noise():
    runs = [run([Stage(10, kT=1.0)], rng=generator(offset)).final for offset in (0, 0, 1)]
    np.testing.assert_array_equal(runs[0], runs[1])
    assert (runs[0] != runs[2]).all()


# ---- stationary law ------------------------------------------------------------------------------


def assert_covariance(states, expected):
    """Compares the covariance of states with an expected one.

    Every entry must be within five standard errors, sqrt((c_ii c_jj + c_ij^2) / n), and the whole
    matrix within twice the error that ``covariance_error`` predicts.
    """
    count = len(states)
    found = np.cov(states.T)
    bars = np.sqrt((np.outer(expected.diagonal(), expected.diagonal()) + expected**2) / count)
    worst = np.abs((found - expected) / bars).max()
    relative = np.linalg.norm(found - expected) / np.linalg.norm(expected)
    print(
        f"{count} samples: worst entry {worst:.2f} standard errors, whole {relative:.4f}, "
        f"expected {covariance_error(expected, count):.4f}"
    )
    assert worst < 5
    assert relative < 2 * covariance_error(expected, count)


def long_run(dt, integrator, kT, chains=20_000):
    steps = int(
        np.ceil(np.log(1e-4) / np.log(np.abs(1 - dt * np.linalg.eigvalsh(energy().matrix())).max()))
    )
    return run([Stage(steps, kT=kT)], chains=chains, dt=dt, integrator=integrator).final


@pytest.mark.parametrize("fraction", [0.2, 0.6, 1.0])
@pytest.mark.parametrize("integrator", [LM, EM])
def test_covariance(integrator, fraction):
    """At any stable step LM samples the covariance kT M^-1 and EM kT M^-1 (1 - dt M / 2)^-1.

    Both have the mean M^-1 b.
    """
    kT, dt = 0.5, fraction * largest_step()
    states = long_run(dt, integrator, kT)
    expected = stationary_covariance(energy().matrix(), kT=kT, dt=dt, integrator=integrator)
    assert_covariance(states, expected)
    bars = np.sqrt(expected.diagonal() / len(states))
    assert (np.abs(states.mean(0) - energy().mean(BIAS)) < 4.5 * bars).all()


def test_the_two_laws_differ_by_more_than_the_bars():
    """Near the largest step EM inflates the stiffest mode tenfold, which ``assert_covariance``
    notices.
    """
    matrix, dt = energy().matrix(), largest_step()
    exact = stationary_covariance(matrix, kT=0.5, dt=dt, integrator=LM)
    inflated = stationary_covariance(matrix, kT=0.5, dt=dt, integrator=EM)
    np.testing.assert_allclose(exact, energy().covariance(0.5), rtol=1e-12)
    ratios = np.linalg.eigvals(inflated @ np.linalg.inv(exact)).real
    np.testing.assert_allclose(ratios.max(), 10, rtol=1e-9)
    with pytest.raises(AssertionError):
        assert_covariance(long_run(dt, EM, 0.5, chains=2000), exact)


@pytest.mark.parametrize("integrator", [LM, EM])
def test_stationary_covariance_solves_the_chain(integrator):
    """The covariance solves C = G C G' + N with G = 1 - dt M.

    N is 2 kT dt for EM. For LM, whose neighbouring steps share a normal, it is kT dt (1 + G).
    """
    matrix, kT, dt = energy().matrix(), 0.3, 1.1
    covariance = stationary_covariance(matrix, kT=kT, dt=dt, integrator=integrator)
    step = np.eye(5) - dt * matrix
    noise = 2 * kT * dt * np.eye(5) if integrator == EM else kT * dt * (np.eye(5) + step)
    np.testing.assert_allclose(covariance, step @ covariance @ step.T + noise, atol=1e-12)


@pytest.mark.parametrize("integrator", [LM, EM])
@pytest.mark.parametrize("dt", [0.5, 1.5])
def test_mean_error(integrator, dt):
    """The spread of time averages over chains is that of the law.

    The spread's own error is 1 / sqrt(2 chains) = 1.6 %. The law, which holds for N dt lambda >> 1,
    is less than 1 % off at N dt lambda > 100.
    """
    kT, samples, chains = 0.4, 2000, 2000
    matrix = energy().matrix()
    assert samples * dt * np.linalg.eigvalsh(matrix)[0] > 100
    stages = Stage(60, kT=kT), Stage(samples, kT=kT, accumulate=True)
    means = run(stages, chains=chains, dt=dt, integrator=integrator).mean
    ratio = means.std(0, ddof=1) / mean_error(matrix, kT=kT, dt=dt, samples=samples)
    print(f"measured / predicted: {ratio}")
    assert (np.abs(ratio - 1) < 4.5 / np.sqrt(2 * chains) + 0.01).all()


def test_second_moment_is_variance_plus_squared_mean():
    kT, samples = 0.2, 400
    result = run([Stage(60, kT=kT), Stage(samples, kT=kT, accumulate=True)], chains=500)
    expected = energy().covariance(kT).diagonal() + energy().mean(BIAS) ** 2
    bars = result.second.std(0, ddof=1) / np.sqrt(len(result.second))
    assert (np.abs(result.second.mean(0) - expected) < 4.5 * bars).all()


def test_samples_are_the_states_of_their_steps():
    result = run([Stage(10, kT=1.0, accumulate=True, thin=1)], chains=3)
    np.testing.assert_allclose(result.samples.mean(1), result.mean)
    np.testing.assert_array_equal(result.samples[:, -1], result.final)


def test_covariance_error_of_independent_samples():
    covariance, count, repeats = energy().covariance(1.0), 400, 300
    rng = generator()
    errors = [
        np.linalg.norm(
            np.cov(rng.multivariate_normal(np.zeros(5), covariance, count).T) - covariance
        )
        for _ in range(repeats)
    ]
    found = np.sqrt(np.mean(np.square(errors))) / np.linalg.norm(covariance)
    assert found == pytest.approx(covariance_error(covariance, count), rel=4 / np.sqrt(repeats))

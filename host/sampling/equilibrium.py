# SPDX-License-Identifier: Apache-2.0
"""Samples of an energy's Boltzmann distribution, with their errors."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ornstein.host.compile.program import Program
from ornstein.host.devices.device import Device, DeviceError
from ornstein.host.physics.timestep import TOLERANCE
from ornstein.host.sampling.problems import Pace, calibration, candidates, checked_bias
from ornstein.host.sampling.run import Realised, Result, Run, run_problems
from ornstein.sim.energy import Energy, EnergyError
from ornstein.sim.stages import Stage

MOST_STEPS_BETWEEN = 128
"""Largest default number of steps between two kept samples."""
MOST_AVERAGED = 1 << 16
"""Steps that the sums of every preset can hold."""
LEAST_EFFECTIVE = 100
"""Effective samples of a unit below which a warning is given."""
LARGEST_R_HAT = 1.05
"""R-hat above which chains have not mixed [Vehtari et al. 2021 ask for 1.01]."""
NOTABLE_LOSS = 1e-6
"""Share of a precision matrix that its factors may leave out without a warning."""


@dataclass(frozen=True, eq=False, repr=False)
class Samples(Result):
    """Samples of a Boltzmann distribution, and how far they can be trusted.

    Attributes
    ----------
    samples : (chains, n, units) states, in the order of time
    mean : (units,) average of all samples
    covariance : (units, units) of all samples
    standard_error : (units,) of ``mean``, with the correlation of the samples taken into account
    effective_samples : (units,) independent samples that the samples are worth
    r_hat : (units,) spread of all chains over that of one, of two halves if there is one chain;
        1 where they have mixed
    realised : what the device made of time step, temperature and precision matrix
    warnings : what the user should know, a sentence each
    program : the program that was run
    device : URI of the device
    """

    samples: np.ndarray
    mean: np.ndarray
    covariance: np.ndarray
    standard_error: np.ndarray
    effective_samples: np.ndarray
    r_hat: np.ndarray
    realised: Realised
    warnings: tuple[str, ...]
    program: Program
    device: str


def sample(
    energy: Energy | None = None,
    *,
    precision: ArrayLike | None = None,
    bias: ArrayLike | None = None,
    kT: float = 1.0,
    n: int = 1000,
    chains: int = 8,
    thin: int | None = None,
    dt: float | None = None,
    device: Device | str = "model",
    seed: int = 1,
) -> Samples:
    """Sample the Boltzmann distribution exp(-E / kT) of an energy or of a precision matrix.

    A precision matrix P and a bias h have the normal distribution of mean P^-1 h and covariance
    kT P^-1. Chains start at zero and are independent of each other.

    Parameters
    ----------
    energy : the energy; or else
    precision : P, (units, units), see :meth:`ornstein.sim.energy.Energy.from_precision`
    bias : (units,), by default zero
    kT : temperature, above 0
    n : samples kept of each chain, at least 4
    chains : number of chains
    thin : steps from one kept sample to the next; by default the time in which the slowest mode
        decays, at most :data:`MOST_STEPS_BETWEEN`
    dt : time step; by default one whose effect on the shape of the distribution is small
    device : a device or its URI; the fabric is the smallest preset that holds the energy unless the
        URI names one
    seed : fixes every random number

    Raises
    ------
    EnergyError
        An argument is wrong; the message names it.
    TimeStepError
        ``dt`` is unstable.
    ProgramError
        No preset, or not the fabric of the device, holds the energy.
    DeviceError
        There is no such device, or it gives no samples.
    """
    if (energy is None) == (precision is None):
        raise EnergyError("sample needs either an energy or precision=P, and not both")
    if energy is None:
        assert precision is not None
        energy = Energy.from_precision(precision)
    if not (np.isfinite(kT) and kT > 0):
        raise EnergyError(f"kT = {kT} must be positive; at kT = 0 use linalg.solve or anneal")
    for name, value, least in (("n", n, 4), ("chains", chains, 1), ("thin", thin, 1)):
        if value is not None and value < least:
            raise EnergyError(f"{name} = {value} must be at least {least}")
    field = checked_bias(energy, bias)

    def schedule(pace: Pace) -> tuple[Stage, ...]:
        interval = thin or min(MOST_STEPS_BETWEEN, pace.relaxation_steps)
        return _stages(pace.step.steps, kT, n, interval)

    problems = candidates("samples", energy, schedule, kT=kT, tolerance=TOLERANCE, dt=dt)
    inputs = np.tile(field, (chains, 1))
    run = run_problems(problems, inputs, calibration(energy, field), device, seed)
    if not run.outputs.samples.shape[1]:
        raise DeviceError(f"device {run.uri!r} gives no samples; use 'model', 'rtl' or 'float'")
    return _summary(run, energy, precision)


def _stages(burn_in: int, kT: float, n: int, interval: int) -> tuple[Stage, ...]:
    """Relax, then stream every ``interval``-th state; as many as the sums hold are averaged."""
    averaged = min(n, max(1, MOST_AVERAGED // interval))
    stages = [Stage(burn_in, kT)]
    if n > averaged:
        stages.append(Stage((n - averaged) * interval, kT, thin=interval))
    return (*stages, Stage(averaged * interval, kT, accumulate=True, thin=interval))


def _summary(run: Run, energy: Energy, precision: ArrayLike | None) -> Samples:
    from arviz_stats.base.array import array_stats

    samples = run.outputs.samples
    pooled = samples.reshape(-1, samples.shape[-1])
    effective = np.asarray(array_stats.ess(samples, chain_axis=0, draw_axis=1, method="mean"))
    compared = samples if len(samples) > 1 else _halves(samples[0])
    r_hat = np.asarray(array_stats.rhat(compared, chain_axis=0, draw_axis=1))
    # both are NaN for a unit that never moves, which is worth one sample
    effective = np.where(np.isnan(effective), 1.0, effective)
    r_hat = np.where(np.isnan(r_hat), np.inf, r_hat)
    return Samples(
        samples=samples,
        mean=pooled.mean(axis=0),
        covariance=np.cov(pooled, rowvar=False).reshape(2 * pooled.shape[1:]),
        standard_error=pooled.std(axis=0, ddof=1) / np.sqrt(effective),
        effective_samples=effective,
        r_hat=r_hat,
        realised=run.realised,
        warnings=(
            *run.warnings(),
            *_chain_warnings(effective, r_hat),
            *_loss_warnings(energy, precision),
        ),
        program=run.program,
        device=run.uri,
    )


def _halves(chain: np.ndarray) -> np.ndarray:
    """The two halves (2, n // 2, units) of a chain (n, units), to be compared as chains are."""
    half = len(chain) // 2
    return np.stack([chain[:half], chain[-half:]])


def _chain_warnings(effective: np.ndarray, r_hat: np.ndarray) -> list[str]:
    """Whether the chains are too short, or stay in different wells."""
    found = []
    if effective.min() < LEAST_EFFECTIVE:
        found.append(
            f"unit {effective.argmin()} has {effective.min():.0f} effective samples; "
            "raise n, thin or chains"
        )
    if r_hat.max() > LARGEST_R_HAT:
        found.append(
            f"the chains have not mixed: R-hat is {r_hat.max():.3g} at unit "
            f"{r_hat.argmax()}; they may stay in different wells. Raise kT, n or thin"
        )
    return found


def _loss_warnings(energy: Energy, precision: ArrayLike | None) -> list[str]:
    """What the factors leave out of the matrix that was asked for."""
    if precision is None or (loss := energy.loss(precision)) <= NOTABLE_LOSS:
        return []
    return [f"the factors leave out {loss:.2g} of the precision matrix"]

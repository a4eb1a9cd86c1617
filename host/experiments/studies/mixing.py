# SPDX-License-Identifier: Apache-2.0
"""Mixing: how long the substrate remembers, against dimension, rank, spectral gap and quartic
strength.

The quantity is the integrated autocorrelation time t = 1 + 2 sum_k rho_k of the slowest modes, in
units of time, found by ``emcee.autocorr`` (Sokal's window, averaged over chains): the smallest
library that does just this, with a check that the chain is long enough. An average over a time T is
worth T / t independent samples, the effective sample size. For a harmonic mode of eigenvalue l
under Leimkuhler-Matthews t = 2 / l at any time step, twice its relaxation time.
"""

from dataclasses import replace

import numpy as np
from scipy.optimize import brentq

from ornstein.hdl.config import REFERENCE
from ornstein.host.compile.compiler import compile_problem
from ornstein.host.devices.model import ModelDevice
from ornstein.host.experiments.studies.analysis import Axis, Study, sentence_of
from ornstein.host.experiments.studies.subject import (
    ALIGNED,
    FLOAT,
    FULL,
    IDEAL,
    MODEL,
    PROGRAMS,
    Subject,
    run,
    summary,
)
from ornstein.host.experiments.studies.sweep import grid
from ornstein.host.models.run import recipe_problem
from ornstein.host.physics.couplings import ALIGNED_GAIN, DECODER, ENCODER, SKIP_NORM, gram
from ornstein.host.physics.problem import BIAS, Problem, relaxation_steps
from ornstein.sim.energy import Coupling, Energy, Module
from ornstein.sim.stages import Stage
from ornstein.sim.toolchain import ToolError

DIMENSION, RANK, GAP, QUARTIC, TRAINED, STEPS = (
    "dimension",
    "rank",
    "gap",
    "quartic",
    "trained",
    "steps",
)
AXES = (
    Axis(DIMENSION, "units"),
    Axis(RANK, "rank of the coupling"),
    Axis(GAP, "smallest eigenvalue of M", falling=True),
    Axis(QUARTIC, "quartic strength J4"),
    Axis(TRAINED, "smallest eigenvalue, trained M"),
    Axis(STEPS, "steps until the state is read, kT = 0", falling=True),
)
UNITS, MODES = 256, 4  # where an axis does not say
QUARTIC_UNITS, QUARTIC_DT = 64, 0.2  # a cubic force needs a shorter step
LENGTH = 400
"""Length of a chain in autocorrelation times, by theory. Sokal's window ends at five of them, and
each chain's own mean is subtracted, which takes 2 x 5 / LENGTH = 2.5 % off the time."""
SERIES = 16
"""Chains times slowest modes: with LENGTH, a statistical error of sqrt(20 / (16 x 400)) = 6 % a
draw (Sokal).
"""
PICKED = 4
"""Units whose own autocorrelation time is measured."""
TRAINED_CHAINS, TRAINED_STEPS = 8, 16_000


def synthetic(
    subject: Subject,
    program: str,
    units: int,
    rank: int,
    rng: np.random.Generator,
    gain: float = ALIGNED_GAIN,
    j4: float = 0.0,
) -> Energy:
    """An energy like a program's own, of another size: random orthonormal modes in two modules of
    ``units`` / 2.

    The aligned one has the strength ``gain`` in every mode. The other has the leading eigenvalues
    of the trained net's Gram matrices (:func:`ornstein.host.physics.couplings.hierarchical_bilinear`).
    """
    half = units // 2
    u, v = (np.linalg.qr(rng.standard_normal((half, rank)))[0] for _ in range(2))
    diagonal, across = 0.0, -0.2 * gain
    if program == FULL:
        u, v = (
            modes * np.sqrt(np.linalg.eigvalsh(gram(weight))[::-1][:rank])
            for modes, weight in ((u, subject.model.W_enc), (v, subject.model.W_dec))
        )
        diagonal, across = (
            2.0,
            SKIP_NORM / float(np.sqrt(np.sum((u.T @ u) * (v.T @ v)))),
        )  # |U V'|_F
    mix = np.array([[diagonal, across], [across, diagonal]])[:, :, None].repeat(rank, axis=2)
    return Energy(
        (Module(ENCODER, half), Module(DECODER, half)),
        (Coupling((ENCODER, DECODER), (u, v), mix),),
        j4=j4,
    )


def harmonic_force(energy: Energy, states: np.ndarray) -> np.ndarray:
    """M z of states (n, units), through the factors: O(D k)."""
    slices = energy.slices
    force = 2 * energy.j2 * states
    for coupling in energy.couplings:
        projected = [
            states[:, slices[name]] @ factor
            for name, factor in zip(coupling.modules, coupling.factors, strict=True)
        ]
        for row, name, factor in zip(coupling.mix, coupling.modules, coupling.factors, strict=True):
            force[:, slices[name]] += (
                sum(m * p for m, p in zip(row, projected, strict=True)) @ factor.T
            )
    return force


def coupled_modes(energy: Energy) -> tuple[np.ndarray, np.ndarray]:
    """(values, orthonormal vectors (units, modes)) of M on the span of its couplings, in rising
    order.
    """
    columns = []
    for coupling in energy.couplings:
        for name, factor in zip(coupling.modules, coupling.factors, strict=True):
            columns.append(np.zeros((energy.units, coupling.rank)))
            columns[-1][energy.slices[name]] = factor
    basis, _ = np.linalg.qr(np.concatenate(columns, axis=1))
    inner = basis.T @ harmonic_force(energy, basis.T).T
    values, vectors = np.linalg.eigh((inner + inner.T) / 2)
    return values, basis @ vectors


def chain(
    energy: Energy,
    directions: np.ndarray,
    *,
    steps: int,
    chains: int,
    dt: float,
    rng: np.random.Generator,
) -> np.ndarray:
    """(steps, chains, n): states along ``directions`` (units, n) at kT = 1, Leimkuhler-Matthews,
    float64.

    A harmonic chain starts in equilibrium; a quartic one starts at zero, runs a tenth longer and
    drops that.
    """
    state, burn = np.zeros((chains, energy.units)), steps // 10
    if not energy.j4:
        values, vectors = coupled_modes(energy)
        leak, drawn, burn = 2 * energy.j2, rng.standard_normal(state.shape), 0
        state = (
            drawn / np.sqrt(leak)
            + (drawn @ vectors * (1 / np.sqrt(values) - 1 / np.sqrt(leak))) @ vectors.T
        )
    kept = np.empty((steps, chains, directions.shape[1]))
    amplitude, previous = np.sqrt(2 * dt) / 2, rng.standard_normal(state.shape)
    for step in range(-burn, steps):
        drift = harmonic_force(energy, state)
        if energy.j4:
            drift += 4 * energy.j4 * state**3
        drawn = rng.standard_normal(state.shape)
        state += amplitude * (previous + drawn) - dt * drift
        previous = drawn
        if step >= 0:
            kept[step] = state @ directions
    return kept


def autocorrelation_time(series: np.ndarray) -> float:
    """Integrated autocorrelation time, in steps, of series (steps, chains, n) of the same law.

    Raises ToolError without emcee, and emcee's AutocorrError for chains shorter than 50 such times.
    """
    try:
        from emcee.autocorr import integrated_time
    except ModuleNotFoundError:
        raise ToolError(
            "autocorrelation times need emcee; install it with: pip install 'ornstein[study]'"
        ) from None
    return float(integrated_time(series.reshape(len(series), -1, 1), tol=50)[0])


def mean_field(energy: Energy, values: np.ndarray) -> float:
    """Smallest eigenvalue of M + 12 j4 <z^2> at kT = 1, with the mean square of a unit that this
    itself gives.
    """
    units, leak = energy.units, 2 * energy.j2

    def excess(square: float) -> float:
        stiffer = 12 * energy.j4 * square
        return (
            np.sum(1 / (values + stiffer)) + (units - len(values)) / (leak + stiffer)
        ) / units - square

    return float(values[0] + 12 * energy.j4 * brentq(excess, 1e-9, 10 / values[0]))


def measure(
    subject: Subject, generators: list[np.random.Generator], program: str, axis: str, value: float
) -> dict:
    """Autocorrelation times over draws, or the score when the state is read after so many steps."""
    if axis in (IDEAL, STEPS):
        return _read_early(subject, program, int(value) if axis == STEPS else None)
    if axis == TRAINED:
        return _trained(subject, generators, program)
    rows = []
    for rng in generators:
        units = int(value) if axis == DIMENSION else QUARTIC_UNITS if axis == QUARTIC else UNITS
        energy = synthetic(
            subject,
            program,
            units,
            int(value) if axis == RANK else MODES,
            rng,
            gain=1 - value / 0.2 if axis == GAP else ALIGNED_GAIN,
            j4=value if axis == QUARTIC else 0.0,
        )
        dt = QUARTIC_DT if axis == QUARTIC else 1.0
        values, vectors = coupled_modes(energy)
        slowest = mean_field(energy, values)
        slow = vectors[:, values <= values[0] * 1.001]
        chains = max(4, SERIES // slow.shape[1])
        steps = int(LENGTH * 2 / (slowest * dt))
        picked = np.eye(units)[:, rng.choice(units, PICKED, replace=False)]
        series = chain(
            energy,
            np.concatenate([slow, picked], axis=1),
            steps=steps,
            chains=chains,
            dt=dt,
            rng=rng,
        )
        tau = dt * autocorrelation_time(series[:, :, : slow.shape[1]])
        rows.append(
            {
                "tau": tau,
                "theory": 2 / slowest,
                "unit": dt * autocorrelation_time(series[:, :, slow.shape[1] :]),
                "effective": steps * dt * chains / tau,
                "modes": slow.shape[1],
                "smallest": values[0],
                "steps": steps,
                "chains": chains,
            }
        )
    return _times(FLOAT, rows, dt=dt)


def _trained(subject: Subject, generators: list[np.random.Generator], program: str) -> dict:
    """A program's own couplings at kT = 1 on the integer model, every step read out."""
    energy = subject.recipes[program].energy
    problem = Problem(
        name="mixing",
        energies=(energy,),
        entry=BIAS,
        stages=(
            Stage(relaxation_steps(energy, 1.0), 1.0),
            Stage(TRAINED_STEPS, 1.0, accumulate=True, thin=1),
        ),
    )
    compiled = compile_problem(problem, REFERENCE, np.zeros((1, energy.units)))
    values, vectors = coupled_modes(energy)
    slow = vectors[:, values <= values[0] * 1.001]
    rows = []
    for rng in generators:
        device = ModelDevice(compiled.config)
        device.load(compiled)
        samples = device.run(
            np.zeros((TRAINED_CHAINS, energy.units)), seed=int(rng.integers(1, 2**31))
        ).samples
        series = samples.swapaxes(0, 1)
        tau = compiled.dt * autocorrelation_time(series @ slow)
        picked = rng.choice(energy.units, PICKED, replace=False)
        unit = compiled.dt * autocorrelation_time(series[..., picked])
        rows.append(
            {
                "tau": tau,
                "theory": 2 / values[0],
                "unit": unit,
                "effective": TRAINED_STEPS * compiled.dt * TRAINED_CHAINS / tau,
                "modes": slow.shape[1],
                "smallest": values[0],
                "steps": TRAINED_STEPS,
                "chains": TRAINED_CHAINS,
            }
        )
    return _times(MODEL, rows, dt=compiled.dt)


def time_error(tau: float, independent: float) -> float:
    """Standard error of an integrated autocorrelation time: tau sqrt(2 (2 W + 1) / N), with the
    window W = 5 tau.

    ``independent`` are the samples of all series over tau (A. Sokal, "Monte Carlo methods in
    statistical mechanics").
    """
    return tau * float(np.sqrt(20 / independent))


def _times(device: str, rows: list[dict], dt: float) -> dict:
    """Results of a point from those of its draws."""

    def mean(name: str) -> float:
        return float(np.mean([row[name] for row in rows]))

    taus = [float(row["tau"]) for row in rows]
    errors = [time_error(row["tau"], row["effective"] * row["modes"]) for row in rows]
    return {
        "device": device,
        "draws": len(rows),
        "dt": dt,
        "steps": rows[0]["steps"],
        "chains": rows[0]["chains"],
        "smallest_eigenvalue": mean("smallest"),
        "autocorrelation_time": float(np.mean(taus)),
        "autocorrelation_time_error": float(np.linalg.norm(errors)) / len(rows),
        "theory": mean("theory"),
        "unit_autocorrelation_time": mean("unit"),
        "effective_samples": mean("effective"),
        "times": taus,
    }


def _read_early(subject: Subject, program: str, steps: int | None) -> dict:
    recipe = subject.recipes[program]
    if steps is None:
        return summary(MODEL, [subject.relaxed(recipe)])
    problem = recipe_problem(recipe, kT=0.0, samples=1)
    stages = (Stage(steps - 1), Stage(1, accumulate=True))
    compiled = compile_problem(replace(problem, stages=stages), REFERENCE, subject.model.x_train)
    return summary(MODEL, [subject.score(problem.decode(run(compiled, subject.model.x_test)))])


def conclude(rows: list[dict]) -> str:
    """One sentence."""
    timed = [row for row in rows if "theory" in row]
    harmonic = [
        row["autocorrelation_time"] / row["theory"] - 1 for row in timed if row["axis"] != QUARTIC
    ]
    sizes = sorted(
        (row for row in timed if row["axis"] == DIMENSION and row["program"] == ALIGNED),
        key=lambda row: row["value"],
    )
    quartic = max((row for row in timed if row["axis"] == QUARTIC), key=lambda row: row["value"])
    above = max(
        row["autocorrelation_time"] / row["theory"] - 1 for row in timed if row["axis"] == QUARTIC
    )
    steps = sentence_of(rows, AXES[-1:], lambda value: f"{value:.0f}")[STEPS]
    return (
        f"Mixing does not depend on dimension ({sizes[0]['autocorrelation_time']:.0f} units of time at "
        f"{sizes[0]['value']:,} units, {sizes[-1]['autocorrelation_time']:.0f} at {sizes[-1]['value']:,}): every "
        f"harmonic time is 2 / lambda_min within {max(map(abs, harmonic)):.0%} (rms "
        f"{np.sqrt(np.mean(np.square(harmonic))):.0%}), J4 = {quartic['value']:g} brings it down to "
        f"{quartic['autocorrelation_time']:.1f} (quartic times are up to {above:.0%} above the mean "
        f"field's), and a read-out from zero loses 1 % when it comes before step {steps}."
    )


STUDY = Study(
    name="mixing",
    question="How long does the substrate remember, and what does that depend on?",
    axes=AXES,
    points=(
        *grid(program=PROGRAMS, axis=(IDEAL,), value=(0,)),
        *grid(
            axis=(DIMENSION,), value=(64, 128, 256, 512, 1024, 2048, 4096), program=(FULL, ALIGNED)
        ),
        *grid(axis=(RANK,), value=(1, 2, 4, 8, 16, 32), program=(ALIGNED,)),
        *grid(
            axis=(RANK,), value=(2, 4, 8, 16, 32), program=(FULL,)
        ),  # not positive definite at rank 1
        *grid(axis=(GAP,), value=(0.18, 0.1, 0.05, 0.02, 0.01), program=(ALIGNED,)),
        *grid(axis=(QUARTIC,), value=(0.003, 0.01, 0.03, 0.1, 0.3), program=(FULL, ALIGNED)),
        *grid(axis=(TRAINED,), value=(0,), program=PROGRAMS),
        *grid(
            axis=(STEPS,),
            value=(2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192),
            program=PROGRAMS,
        ),
    ),
    measure=measure,
    conclude=conclude,
    draws=2,
    method="Float64 chains of synthetic couplings (random modes, with the trained net's eigenvalues or the aligned "
    "skip's one strength) at kT = 1; the trained couplings and the early read-outs run on the integer model. "
    f"Times come from emcee.autocorr over chains of {LENGTH} times by theory, which is biased by -2.5 %; error "
    "bars are Sokal's for the length of all series. Theory: 2 / lambda_min, with a quartic term that of "
    "the mean field, lambda + 12 J4 <z^2>, which leaves out that the stiffness itself fluctuates.",
)

# SPDX-License-Identifier: Apache-2.0
"""Mixing: how long the substrate remembers its state, and what that depends on.

The quantity is the integrated autocorrelation time t = 1 + 2 sum_k rho_k of the slowest modes, in
units of time. ``emcee.autocorr`` estimates it with Sokal's window, averaged over chains, and checks
that chains are long enough. An average over a time T is worth T / t independent samples, which is
the effective sample size. For a harmonic mode of eigenvalue l under Leimkuhler-Matthews t = 2 / l
at any time step, twice its relaxation time.
"""

import numpy as np
from scipy.optimize import root_scalar

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
    PROSE,
    Subject,
    run,
    summary,
)
from ornstein.host.experiments.studies.sweep import grid
from ornstein.host.models.run import compile_recipe
from ornstein.host.physics.alignment import STRENGTH
from ornstein.host.physics.couplings import DECODER, ENCODER, SKIP_NORM, gram
from ornstein.host.physics.problem import BIAS, Problem
from ornstein.host.physics.timestep import choose_time_step
from ornstein.sim.energy import Coupling, Energy, Module
from ornstein.sim.stages import Stage
from ornstein.sim.toolchain import ToolError, install_command

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
UNITS, MODES = 256, 4
"""Units and rank of synthetic couplings on the axes that vary something else."""
QUARTIC_UNITS, QUARTIC_DT = 64, 0.2
"""Units and time step with a quartic term, whose cubic force needs a shorter step."""
LENGTH = 400
"""Length of a chain in autocorrelation times, by theory. Sokal's window ends at five of them, and
the mean of each chain is subtracted from it, which lowers the time by 2 x 5 / LENGTH = 2.5 %."""
SERIES = 16
"""Number of chains times number of slowest modes. With LENGTH it gives each draw a statistical
error of sqrt(20 / (16 x 400)) = 6 % (Sokal)."""
PICKED = 4
"""Number of units whose own autocorrelation time is measured."""
TRAINED_CHAINS, TRAINED_STEPS = 8, 16_000
"""Chains, and steps of each, with trained couplings."""
INDEPENDENT = 1.25
"""Ratio of the longest to the shortest time below which times are equal: four errors of 6 %."""


def synthetic(
    subject: Subject,
    program: str,
    units: int,
    rank: int,
    rng: np.random.Generator,
    gain: float = STRENGTH,
    j4: float = 0.0,
) -> Energy:
    """Returns an energy like that of a program, but of another size.

    It has random orthonormal modes in two modules of ``units`` / 2. All modes of the aligned one
    have the strength ``gain``. Those of the full interface have the leading eigenvalues of the
    trained network's Gram matrices (see
    :func:`ornstein.host.physics.couplings.hierarchical_bilinear`).
    """
    half = units // 2
    u, v = (np.linalg.qr(rng.standard_normal((half, rank)))[0] for _ in range(2))
    diagonal, across = 0.0, -0.2 * gain
    if program == FULL:
        u, v = (
            modes * np.sqrt(np.linalg.eigvalsh(gram(weight))[::-1][:rank])
            for modes, weight in ((u, subject.model.W_enc), (v, subject.model.W_dec))
        )
        diagonal = 2.0
        across = SKIP_NORM / float(np.sqrt(np.sum((u.T @ u) * (v.T @ v))))  # over |U V'|_F
    mix = np.array([[diagonal, across], [across, diagonal]])[:, :, None].repeat(rank, axis=2)
    return Energy(
        (Module(ENCODER, half), Module(DECODER, half)),
        (Coupling((ENCODER, DECODER), (u, v), mix),),
        j4=j4,
    )


def harmonic_force(energy: Energy, states: np.ndarray) -> np.ndarray:
    """Returns M z for states (n, units), through the factors in O(D k)."""
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
    """Returns rising eigenvalues (modes,) and eigenvectors (units, modes) of M.

    They are those in the span of the couplings; everywhere else M is 2 j2.
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
    """Returns states (steps, chains, n) along ``directions`` (units, n) of chains at kT = 1.

    The chains take Leimkuhler-Matthews steps of ``dt`` in float64. Harmonic chains start in
    equilibrium. Quartic ones start at zero, and the first tenth of their steps is dropped.
    """
    state, burn = np.zeros((chains, energy.units)), steps // 10
    if not energy.j4:
        state, burn = _equilibrium_states(energy, chains, rng), 0
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


def _equilibrium_states(energy: Energy, count: int, rng: np.random.Generator) -> np.ndarray:
    """Draws states (count, units) of a harmonic energy from its distribution at kT = 1."""
    values, vectors = coupled_modes(energy)
    leak = 2 * energy.j2
    drawn = rng.standard_normal((count, energy.units))
    correction = 1 / np.sqrt(values) - 1 / np.sqrt(leak)
    return drawn / np.sqrt(leak) + (drawn @ vectors * correction) @ vectors.T


def autocorrelation_time(series: np.ndarray) -> float:
    """Returns the integrated autocorrelation time, in steps, of series (steps, chains, n).

    All series must have the same distribution. Raises ToolError if emcee is missing, and emcee's
    AutocorrError if the series are shorter than 50 such times.
    """
    try:
        from emcee.autocorr import integrated_time
    except ModuleNotFoundError:
        raise ToolError(
            f"autocorrelation times need emcee; install it with: {install_command('study')}"
        ) from None
    return float(integrated_time(series.reshape(len(series), -1, 1), tol=50)[0])


def mean_field(energy: Energy, values: np.ndarray) -> float:
    """Returns the smallest eigenvalue of M + 12 j4 <z^2> at kT = 1.

    The mean square <z^2> of a unit is the one that this matrix gives itself. ``values`` (modes,)
    are the rising eigenvalues of the coupled modes.
    """
    units, leak = energy.units, 2 * energy.j2

    def excess(square: float) -> float:
        stiffer = 12 * energy.j4 * square
        total = np.sum(1 / (values + stiffer)) + (units - len(values)) / (leak + stiffer)
        return total / units - square

    square = root_scalar(excess, bracket=(1e-9, 10 / values[0]), method="brentq").root
    return float(values[0] + 12 * energy.j4 * square)


def measure(
    subject: Subject, generators: list[np.random.Generator], program: str, axis: str, value: float
) -> dict:
    """Returns autocorrelation times over draws, or the score of a read-out after so many steps."""
    if axis in (IDEAL, STEPS):
        return _read_early(subject, program, int(value) if axis == STEPS else None)
    if axis == TRAINED:
        return _trained(subject, generators, program)
    dt = QUARTIC_DT if axis == QUARTIC else 1.0
    return _times(
        FLOAT, [_synthetic(subject, rng, program, axis, value, dt) for rng in generators], dt
    )


def _synthetic(
    subject: Subject, rng: np.random.Generator, program: str, axis: str, value: float, dt: float
) -> dict:
    """Returns what one draw of synthetic couplings gives, in float64."""
    units = {DIMENSION: int(value), QUARTIC: QUARTIC_UNITS}.get(axis, UNITS)
    rank = int(value) if axis == RANK else MODES
    gain = 1 - value / 0.2 if axis == GAP else STRENGTH
    j4 = value if axis == QUARTIC else 0.0
    energy = synthetic(subject, program, units, rank, rng, gain=gain, j4=j4)
    values, vectors = coupled_modes(energy)
    slowest = mean_field(energy, values)
    slow = _slowest(values, vectors)
    modes = slow.shape[1]
    chains = max(4, SERIES // modes)
    steps = int(LENGTH * 2 / (slowest * dt))
    picked = np.eye(units)[:, rng.choice(units, PICKED, replace=False)]
    directions = np.concatenate([slow, picked], axis=1)
    series = chain(energy, directions, steps=steps, chains=chains, dt=dt, rng=rng)
    tau = dt * autocorrelation_time(series[:, :, :modes])
    return {
        "tau": tau,
        "theory": 2 / slowest,
        "unit": dt * autocorrelation_time(series[:, :, modes:]),
        "effective": steps * dt * chains / tau,
        "modes": modes,
        "smallest": values[0],
        "steps": steps,
        "chains": chains,
    }


def _slowest(values: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Returns the eigenvectors (units, n) whose eigenvalues equal the smallest one."""
    return vectors[:, values <= values[0] * 1.001]


def _trained(subject: Subject, generators: list[np.random.Generator], program: str) -> dict:
    """Returns the times of a program's couplings at kT = 1, from all steps of the integer model."""
    energy = subject.recipes[program].energy
    stages = (
        Stage(choose_time_step([energy], dt=1.0).steps, 1.0),
        Stage(TRAINED_STEPS, 1.0, accumulate=True, thin=1),
    )
    problem = Problem(name="mixing", energies=(energy,), stages=stages, dt=1.0, entry=BIAS)
    compiled = compile_problem(problem, REFERENCE, np.zeros((1, energy.units)))
    values, vectors = coupled_modes(energy)
    slow = _slowest(values, vectors)
    rows = []
    for rng in generators:
        with ModelDevice(compiled.config) as device:
            device.load(compiled)
            biases = np.zeros((TRAINED_CHAINS, energy.units))
            series = device.run(biases, seed=int(rng.integers(1, 2**31))).samples.swapaxes(0, 1)
        tau = compiled.dt * autocorrelation_time(series @ slow)
        picked = rng.choice(energy.units, PICKED, replace=False)
        rows.append(
            {
                "tau": tau,
                "theory": 2 / values[0],
                "unit": compiled.dt * autocorrelation_time(series[..., picked]),
                "effective": TRAINED_STEPS * compiled.dt * TRAINED_CHAINS / tau,
                "modes": slow.shape[1],
                "smallest": values[0],
                "steps": TRAINED_STEPS,
                "chains": TRAINED_CHAINS,
            }
        )
    return _times(MODEL, rows, compiled.dt)


def time_error(tau: float, independent: float) -> float:
    """Returns the standard error of an integrated autocorrelation time ``tau``.

    It is tau sqrt(2 (2 W + 1) / N) for a window W = 5 tau (A. Sokal, "Monte Carlo methods in
    statistical mechanics"). ``independent`` is the number of samples of all series over tau.
    """
    return tau * float(np.sqrt(20 / independent))


def _times(device: str, rows: list[dict], dt: float) -> dict:
    """Returns the results of a point from those of its draws."""

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
    """Returns the score of a read-out from zero at kT = 0 after so many steps, None for enough."""
    recipe = subject.recipes[program]
    if steps is None:
        return summary(MODEL, [subject.relaxed(recipe)])
    stages = (
        (Stage(steps - 1), Stage(1, accumulate=True)) if steps > 1 else (Stage(1, accumulate=True),)
    )
    compiled = compile_recipe(recipe, subject.model, stages=stages)
    return summary(
        MODEL, [subject.score(compiled.problem.decode(run(compiled, subject.model.x_test)))]
    )


def conclude(rows: list[dict]) -> str:
    """Returns one sentence on the times and on the steps before a read-out."""
    timed = [row for row in rows if "theory" in row]

    def above_theory(chosen: list[dict]) -> np.ndarray:
        return np.array([row["autocorrelation_time"] / row["theory"] - 1 for row in chosen])

    sizes = sorted(
        (row for row in timed if row["axis"] == DIMENSION and row["program"] == ALIGNED),
        key=lambda row: row["value"],
    )
    times = [row["autocorrelation_time"] for row in sizes]
    harmonic = above_theory([row for row in timed if row["axis"] != QUARTIC])
    quartic = [row for row in timed if row["axis"] == QUARTIC]
    return PROSE(
        "mixing",
        independent=max(times) < INDEPENDENT * min(times),
        small=sizes[0],
        large=sizes[-1],
        worst=np.abs(harmonic).max(),
        rms=np.sqrt(np.mean(harmonic**2)),
        quartic=max(quartic, key=lambda row: row["value"]),
        above=above_theory(quartic).max(),
        steps=sentence_of(rows, AXES[-1:], lambda value: f"{value:.0f}")[STEPS],
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
        # the full interface's is not positive definite at rank 1
        *grid(axis=(RANK,), value=(2, 4, 8, 16, 32), program=(FULL,)),
        *grid(axis=(GAP,), value=(0.18, 0.1, 0.05, 0.02, 0.01), program=(ALIGNED,)),
        *grid(axis=(QUARTIC,), value=(0.003, 0.01, 0.03, 0.1, 0.3), program=(FULL, ALIGNED)),
        *grid(axis=(TRAINED,), value=(0,), program=PROGRAMS),
        *grid(
            axis=(STEPS,),
            value=(1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 16, 24, 32),
            program=PROGRAMS,
        ),
    ),
    measure=measure,
    conclude=conclude,
    draws=2,
    method=PROSE("mixing_method", length=LENGTH),
)

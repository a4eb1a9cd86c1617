# SPDX-License-Identifier: Apache-2.0
"""Formats of the time step, the state, and the noise, chosen from what the calibration inputs make
the float program do.

Units of measure, used throughout the compiler: a state is ``z = z_int * state_lsb``. A bias enters
the update as ``dt * b = b_int * state_lsb * 2^(bias_shift - 12)``. A word of 16 bits is chosen so
that the values expected from the calibration inputs fill at most ``FILL`` of its range.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from ornstein.hdl.config import AMPLITUDE_WIDTH, GUARD_BITS, STATE_WIDTH, FabricConfig
from ornstein.hdl.engine.noise import FINE_VARIANCE, VARIANCE
from ornstein.hdl.engine.update import SQUARE_SHIFT
from ornstein.host.compile.program import FieldRange, ProgramError
from ornstein.host.compile.request import Request
from ornstein.host.physics.problem import STATE, Problem
from ornstein.sim.reference import relax
from ornstein.sim.stages import LM, Stage

TOP = (1 << STATE_WIDTH - 1) - 1
"""Largest 16-bit word."""
FILL = 0.9
"""Fraction of a 16-bit range that expected values may fill."""
MARGIN = 1.25
"""Factor by which inputs may exceed the calibration inputs."""
SIGMAS = 6.0
"""Standard deviations of thermal motion that a range leaves room for."""
OBSERVED = 64
"""Calibration inputs, and states of each stage, from which the range of a quartic energy is taken.
"""
QUARTIC_WIDTH = 16
"""Bits of the quartic coefficient in a level's descriptor, unsigned."""
J4_TOLERANCE = 0.01
"""Relative error of the realised j4 beyond which a coarser state is tried, and then warned of."""
J4_REFUSED = 0.1
"""Relative error of the realised j4 beyond which a program is refused."""
MOST_COARSENED = 4
"""Top bits of the state that may be left unused so that j4 is realised within its tolerance."""
LEAST_SPREAD = 8.0
"""Standard deviation of thermal motion, in LSBs of the state, below which rounding shows."""
LEAST_DRIFT = 0.5
"""Drift of a step at one standard deviation of thermal motion, in LSBs of the state, below which
rounding to nearest drops it."""


class FormatError(ProgramError):
    """No format of the fabric holds what one time step multiplies or adds. A coarser state LSB or a
    smaller time step may help, so the compiler tries them.
    """


def clipped_fraction(*values: np.ndarray, lsb: float = 1.0) -> float | None:
    """Fraction of all ``values`` that round to steps of ``lsb`` beyond 16 bits, or None if there
    are no values.
    """
    steps = np.rint(np.concatenate([np.zeros(0), *(np.ravel(part) for part in values)]) / lsb)
    return float(np.mean((steps > TOP) | (steps < -TOP - 1))) if steps.size else None


@dataclass(frozen=True)
class RealisedStep:
    """The realised time step ``dt``, and ``leak`` = 2 j2 dt in steps of 2^-leak_bits."""

    dt: float
    leak: int
    ranges: tuple[FieldRange, ...]


def realise_time_step(request: Request) -> RealisedStep:
    """Compiler pass: round the requested time step to one whose leak has the fabric's bits, in the
    stages that halve it too.

    Reads dt, j2 and the stages. Refuses a leak that rounds to 0 or to 1.
    """
    problem, one = request.problem, 1 << request.config.leak_bits
    j2 = problem.energies[0].j2
    requested, least = problem.time_step, 1 << problem.halvings
    leak = round(2 * j2 * requested * one / least) * least
    if not 0 < leak < one:
        raise ProgramError(
            f"2 j2 dt = {2 * j2 * requested:.4g} must round to between {least}/{one} and "
            f"{one - least}/{one}; change dt = {requested:.4g} or j2 = {j2:.4g}"
        )
    dt = leak / one / (2 * j2)
    row = FieldRange(
        "time step",
        low=0,
        high=1 / (2 * j2),
        bits=request.config.leak_bits,
        lsb=least / one / (2 * j2),
        requested=requested,
        realised=dt,
    )
    return RealisedStep(dt, leak, (row,))


def halvable_shifts(
    shifts: tuple[int, ...], change: int, stages: Iterable[Stage], what: str
) -> list[int]:
    """Indices of the shifts of a fabric with which a format serves all of the stages.

    Halving the time step adds ``change``, 1 or -1, to a shift, and the fabric must offer the sum.
    Refuses, by ProgramError, stages for which there is none; ``what`` names the shifts.
    """
    halvings = sorted({stage.halvings for stage in stages})
    found = [
        index
        for index, shift in enumerate(shifts)
        if all(shift + change * count in shifts for count in halvings)
    ]
    if not found:
        raise ProgramError(
            f"no {what} of {shifts} serve stages that halve the time step {halvings} times; halve "
            "it another number of times"
        )
    return found


@dataclass(frozen=True, eq=False)
class ExpectedStates:
    """Where the calibration inputs take the state, in physical units.

    Attributes
    ----------
    values : per energy, states (n, units): equilibrium means of a harmonic energy; states that the
        float dynamics visits under a quartic one, none if no stage uses it
    heat : per energy, the kT that its thermal fluctuations follow; 0 for a quartic energy, whose
        ``values`` contain them
    reach : bound on the magnitude of any unit
    least_spread : standard deviation of the unit that moves least in the thermal stages that are
        read, estimated for a quartic energy from its curvature; None if none of them is thermal
    least_drift : change by the drift, in one step, of the mode that moves least in these stages,
        one standard deviation from its mean; for a quartic energy that of a unit's leak
    """

    values: tuple[np.ndarray, ...]
    heat: tuple[float, ...]
    reach: float
    least_spread: float | None
    least_drift: float | None


def expect_states(request: Request, step: RealisedStep) -> ExpectedStates:
    """Compiler pass: the states that the calibration inputs lead to, and a bound on them.

    Reads the energies, the stages and the calibration inputs. Refuses a quartic energy whose float
    dynamics diverges.
    """
    problem = request.problem
    biases = problem.biases(request.calibration)
    hottest = max(stage.kT for stage in problem.stages)
    visited = _visited_states(request, step.dt) if problem.energies[0].j4 else None
    values, heats, reach = [], [], 0.0
    for index, energy in enumerate(problem.energies):
        if visited is not None:
            states, heat = visited[index], 0.0
        else:
            states = np.concatenate(
                [energy.mean(biases[:, number]) for number in range(biases.shape[1])]
            )
            # Euler-Maruyama heats every mode; this is the factor of the most heated one.
            inflation = (
                1.0
                if problem.integrator == LM
                else 1 - step.dt * float(energy.eigenvalues()[-1]) / 2
            )
            heat = hottest / inflation
        values.append(states)
        heats.append(heat)
        thermal = np.sqrt(heat * energy.variances().max())
        reach = max(reach, float(MARGIN * np.abs(states).max(initial=0) + SIGMAS * thermal))
    if problem.entry == STATE:
        reach = max(reach, float(MARGIN * np.abs(request.calibration).max()))
    return ExpectedStates(
        tuple(values),
        tuple(heats),
        reach or 1.0,
        _least_spread(problem, tuple(values)),
        _least_drift(problem, step.dt),
    )


def thermal_stages(problem: Problem) -> tuple[Stage, ...]:
    """Returns the stages at a temperature that are averaged or sampled."""
    return tuple(stage for stage in problem.stages if stage.kT and (stage.accumulate or stage.thin))


def _least_spread(problem: Problem, values: tuple[np.ndarray, ...]) -> float | None:
    """``least_spread`` of ExpectedStates, given its ``values``."""
    variances = []
    for stage in thermal_stages(problem):
        energy = problem.energies[stage.energy]
        if energy.j4:
            curvature = energy.eigenvalues()[-1] + 12 * energy.j4 * np.median(
                values[stage.energy] ** 2, axis=0
            )
            if curvature.max() > 0:  # else the states are still between the wells
                variances.append(stage.kT / curvature.max())
        else:
            variances.append(stage.kT * energy.variances().min())
    return float(np.sqrt(min(variances))) if variances else None


def _least_drift(problem: Problem, dt: float) -> float | None:
    """``least_drift`` of ExpectedStates: dt lambda times sqrt(kT / lambda)."""
    drifts = []
    for stage in thermal_stages(problem):
        energy = problem.energies[stage.energy]
        slowest = 2 * energy.j2 if energy.j4 else float(energy.eigenvalues()[0])
        drifts.append(stage.time_step(dt) * np.sqrt(stage.kT * slowest))
    return float(min(drifts)) if drifts else None


def _visited_states(request: Request, dt: float) -> list[np.ndarray]:
    """Per quartic energy, the states (n, units) that float64 dynamics visits from some of the
    calibration inputs.

    The harmonic part alone would reach much further than the quartic term lets it, so no closed
    form bounds the states.
    """
    problem = request.problem
    units = problem.energies[0].units
    visited = [[np.zeros((0, units))] for _ in problem.energies]
    rng = np.random.default_rng(0)
    biases = problem.biases(request.calibration)[:OBSERVED]
    state = (
        request.calibration[:OBSERVED] if problem.entry == STATE else np.zeros((len(biases), units))
    )
    for stage in problem.stages:
        with np.errstate(over="ignore", invalid="ignore"):
            run = relax(
                problem.energies,
                biases,
                (replace(stage, thin=max(1, stage.steps // OBSERVED)),),
                dt=dt,
                integrator=problem.integrator,
                initial=state,
                rng=rng,
            )
        state = run.final
        visited[stage.energy].append(run.samples.reshape(-1, units))
    if not np.isfinite(state).all():
        raise FormatError(
            f"the quartic term overshoots, so that states diverge; lower dt = {dt:.4g}"
        )
    return [np.concatenate(parts) for parts in visited]


@dataclass(frozen=True)
class StateFormat:
    """The value of the state's LSB, a power of two, and the coefficient of the quartic term in a
    level's descriptor, 0 without one.
    """

    lsb: float
    quartic: int
    ranges: tuple[FieldRange, ...]


def choose_state(
    request: Request, step: RealisedStep, states: ExpectedStates, spare: int
) -> StateFormat:
    """Compiler pass: the finest state LSB that leaves ``spare`` top bits of every state unused.

    A strong quartic term may need a finer one, because its coefficient has to fit its bits; then
    some states can be clipped. A weak one may need a coarser one, so that its coefficient rounds to
    j4 within :data:`J4_TOLERANCE`. Refuses a j4 that is realised more than :data:`J4_REFUSED` off.
    """
    j4 = request.problem.energies[0].j4
    fraction = int(np.floor(np.log2(TOP * FILL / states.reach))) - spare
    per_square = 4 * j4 * step.dt * 2.0 ** (SQUARE_SHIFT + 2 * GUARD_BITS)
    while round(per_square * 4.0**-fraction) >= 1 << QUARTIC_WIDTH:
        fraction += 1
    if j4:
        fraction = _coarsened(per_square, fraction, states.least_spread)
    quartic = round(per_square * 4.0**-fraction)
    realised = quartic / per_square * 4.0**fraction * j4 if j4 else 0.0
    if j4 and abs(realised / j4 - 1) > J4_REFUSED:
        raise ProgramError(
            f"j4 = {j4} is too small for the state's range of {states.reach:.4g}: it would be "
            f"realised as {realised:.4g}; raise j4 or dt = {step.dt:.4g}, or narrow the inputs"
        )
    lsb = 2.0**-fraction
    held = [*states.values]
    if request.problem.entry == STATE:
        held.append(request.all_inputs)
    rows = [
        FieldRange(
            "state",
            low=-states.reach,
            high=states.reach,
            bits=STATE_WIDTH,
            lsb=lsb,
            clipped=clipped_fraction(*held, lsb=lsb),
        )
    ]
    if j4:
        rows.append(
            FieldRange(
                "j4",
                low=0,
                high=realised,
                bits=QUARTIC_WIDTH,
                lsb=realised / quartic,
                requested=j4,
                realised=realised,
            )
        )
    return StateFormat(lsb, quartic, tuple(rows))


def _coarsened(per_square: float, fraction: int, least_spread: float | None) -> int:
    """The bits of the state's fraction with which j4 is realised within its tolerance.

    These are ``fraction`` or as few bits less as help, as far as thermal motion still spans enough
    LSBs; otherwise those that come nearest to j4. ``per_square`` is the coefficient at an LSB of 1.
    """
    found = {}
    for bits in range(fraction, fraction - MOST_COARSENED - 1, -1):
        if found and least_spread and least_spread * 2.0**bits < LEAST_SPREAD:
            break
        exact = per_square * 4.0**-bits
        found[bits] = abs(round(exact) / exact - 1)
        if found[bits] <= J4_TOLERANCE:
            return bits
    return min(found, key=lambda bits: found[bits])


@dataclass(frozen=True)
class Amplitudes:
    """The noise amplitude of a level's descriptor, by temperature and halvings of the stage."""

    by_stage: dict[tuple[float, int], int]
    ranges: tuple[FieldRange, ...]

    def of(self, stage: Stage) -> int:
        """The amplitude of a stage."""
        return self.by_stage[stage.kT, stage.halvings]


def draws_fine_noise(problem: Problem, config: FabricConfig) -> bool:
    """Whether a program draws noise of many values: where the shape of the states' distribution
    matters, because they are sampled or the energy is quartic, on a fabric that has such noise.
    """
    thermal = [stage for stage in problem.stages if stage.kT]
    quartic = problem.energies[0].j4 > 0
    return config.fine_noise and any(stage.thin or quartic for stage in thermal)


def noise_unit(integrator: str, state_lsb: float, *, fine: bool) -> float:
    """The standard deviation of a step's noise at an amplitude of one."""
    draws = 2 if integrator == LM else 1  # Leimkuhler-Matthews adds two draws
    variance = FINE_VARIANCE if fine else VARIANCE
    return float(state_lsb / (1 << GUARD_BITS) * np.sqrt(variance) * draws)


def choose_amplitudes(request: Request, step: RealisedStep, state: StateFormat) -> Amplitudes:
    """Compiler pass: the noise amplitude of every temperature and time step.

    An amplitude is sqrt(2 kT dt) in steps of the noise source. Refuses one beyond the descriptor's
    bits, and a temperature whose amplitude rounds to zero.
    """
    fine = draws_fine_noise(request.problem, request.config)
    unit = noise_unit(request.problem.integrator, state.lsb, fine=fine)
    amplitudes: dict[tuple[float, int], int] = {}
    rows = []
    for stage in request.problem.stages:
        kT, dt = stage.kT, stage.time_step(step.dt)
        if (kT, stage.halvings) in amplitudes:
            continue
        amplitude = round(np.sqrt(2 * kT * dt) / unit)
        if amplitude >= 1 << AMPLITUDE_WIDTH:
            raise ProgramError(f"kT = {kT} needs a noise amplitude beyond {AMPLITUDE_WIDTH} bits")
        if kT and not amplitude:
            raise ProgramError(
                f"kT = {kT:.4g} is too small for the state's LSB of {state.lsb:.4g} and would be "
                f"realised as 0; ask for kT = 0, or for {unit**2 / (2 * dt):.4g} or more"
            )
        amplitudes[kT, stage.halvings] = amplitude
        rows.append(
            FieldRange(
                "temperature",
                low=0,
                high=kT,
                bits=AMPLITUDE_WIDTH,
                lsb=unit,
                requested=kT,
                realised=kT if not kT else (amplitude * unit) ** 2 / (2 * dt),
            )
        )
    return Amplitudes(amplitudes, tuple(rows))

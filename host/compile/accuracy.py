# SPDX-License-Identifier: Apache-2.0
"""How well a program holds what was asked for, and from where on the user is warned.

The compiler compares what the number formats make with what was asked: the quartic coefficient,
the equilibrium of the quantized couplings, and what rounding the state adds to thermal motion. Each
figure stands beside its tolerance in :attr:`Program.checks`, and beyond it in
:meth:`Program.warnings`.
"""

import numpy as np

from ornstein.host.compile.formats import (
    J4_TOLERANCE,
    LEAST_DRIFT,
    LEAST_SPREAD,
    ExpectedStates,
    RealisedStep,
    StateFormat,
    thermal_stages,
)
from ornstein.host.compile.program import AccuracyCheck, FieldRange
from ornstein.host.compile.request import Request, spaced_rows
from ornstein.host.physics.outliers import RATIO
from ornstein.sim.energy import Energy
from ornstein.sim.stages import LM

MEAN_TOLERANCE = 0.02
"""Largest relative error of the equilibrium means that the quantized couplings make."""
COVARIANCE_TOLERANCE = 0.02
"""Largest relative error of the variance along a mode of M that the quantized couplings make."""
VARIANCE_TOLERANCE = 0.02
"""Largest share that rounding the state may add to a variance."""
COMPARED = 256
"""Most calibration inputs whose equilibrium means are compared."""
ROUNDING_VARIANCE = 1 / 6
"""Variance, in squared LSBs, of a state that is rounded stochastically. Rounding to nearest adds
between half of it and about as much, depending on how the noise falls on the LSBs."""

Checks = tuple[AccuracyCheck, ...]


def check_accuracy(
    request: Request,
    step: RealisedStep,
    states: ExpectedStates,
    state: StateFormat,
    realised: tuple[Energy, ...],
    ranges: tuple[FieldRange, ...],
) -> Checks:
    """Compiler pass: figures of what the formats realise, beside their tolerances.

    ``realised`` are the energies that the quantized couplings make, ``ranges`` the rows of the
    range report. Refuses nothing.
    """
    return (
        *_check_outliers(request),
        *_check_clipping(request, ranges),
        *_check_quartic(state),
        *_check_equilibria(request, realised),
        *_check_spread(request, step, states, state),
    )


def _check_outliers(request: Request) -> Checks:
    """The share of the calibration inputs that the ranges leave out."""
    total = len(request.all_inputs)
    left_out = total - len(request.calibration)
    warning = (
        f"{left_out} of {total:,} calibration inputs reach more than {RATIO:g} times as "
        "far as the rest and were left out of all ranges; inputs like them are refused, or "
        "saturate and are counted"
    )
    return (
        AccuracyCheck.of("inputs left out of the ranges, fraction", left_out / total, 0.0, warning),
    )


def _check_clipping(request: Request, ranges: tuple[FieldRange, ...]) -> Checks:
    """The largest fraction of a field's values that lie beyond its format. No more than the share
    of the outliers are expected there.
    """
    expected = 1 - len(request.calibration) / len(request.all_inputs)
    measured = [row for row in ranges if row.clipped is not None]
    worst = max(measured, key=lambda row: row.clipped or 0.0)
    clipped = worst.clipped or 0.0
    warning = (
        f"{clipped:.2g} of the values of {worst.name!r} on the calibration inputs lie beyond its "
        "format; narrow the range of the inputs"
    )
    return (AccuracyCheck.of("values beyond their format, fraction", clipped, expected, warning),)


def _check_quartic(state: StateFormat) -> Checks:
    """The relative error of j4, if there is one."""
    found = []
    for row in state.ranges:
        if row.name == "j4" and row.requested and row.realised:
            error = abs(row.realised / row.requested - 1)
            warning = (
                f"j4 is realised as {row.realised:.4g} instead of {row.requested:.4g}, "
                f"{error:.1%} off; raise dt, or narrow the range of the inputs"
            )
            found.append(AccuracyCheck.of("j4, relative error", error, J4_TOLERANCE, warning))
    return tuple(found)


def _check_equilibria(request: Request, realised: tuple[Energy, ...]) -> Checks:
    """The largest errors of equilibrium means and of variances among harmonic energies."""
    problem = request.problem
    if problem.energies[0].j4:
        return ()
    biases = problem.biases(spaced_rows(request.calibration, COMPARED))
    biases = biases.reshape(-1, problem.energies[0].units)
    pairs = list(zip(problem.energies, realised, strict=True))
    mean = max(_mean_error(asked, made, biases) for asked, made in pairs)
    variance = max(_variance_error(asked, made) for asked, made in pairs)
    condition = max(_condition(energy) for energy in problem.energies)
    advice = (
        f"M has condition {condition:.3g} and the factors {request.config.factor_width} bits; "
        "raise j2, weaken the couplings, or choose a fabric with wider factors"
    )
    return (
        AccuracyCheck.of(
            "equilibrium mean, relative error",
            mean,
            MEAN_TOLERANCE,
            f"the quantized couplings put the equilibrium means {mean:.1%} off: {advice}",
        ),
        AccuracyCheck.of(
            "variance along a mode, relative error",
            variance,
            COVARIANCE_TOLERANCE,
            f"the quantized couplings put the variance along a mode {variance:.1%} off: {advice}",
        ),
    )


def _mean_error(asked: Energy, made: Energy, biases: np.ndarray) -> float:
    """Relative error of the equilibrium means for biases (n, units), 0 if all of them are 0."""
    means = asked.mean(biases)
    size = float(np.linalg.norm(means))
    return float(np.linalg.norm(made.mean(biases) - means)) / size if size else 0.0


def _variance_error(asked: Energy, made: Energy) -> float:
    """The largest relative error of the variance along a mode of the energy that was asked for."""
    values, vectors = asked.modes
    ratios = values * made.spread(vectors, slice(0, asked.units))
    return float(np.abs(ratios - 1).max(initial=0.0))


def _condition(energy: Energy) -> float:
    values = energy.eigenvalues()
    return float(values[-1] / values[0])


def _check_spread(
    request: Request, step: RealisedStep, states: ExpectedStates, state: StateFormat
) -> Checks:
    """Thermal motion in LSBs of the state, and what rounding adds to its variance."""
    if states.least_spread is None or states.least_drift is None:
        return ()
    drift = states.least_drift / state.lsb
    spread = states.least_spread / state.lsb
    added = max(
        added_variance(
            stage.kT,
            stage.time_step(step.dt),
            float(request.problem.energies[stage.energy].eigenvalues()[-1]),
            state.lsb,
            request.problem.integrator,
        )
        for stage in thermal_stages(request.problem)
    )
    advice = "raise kT or dt, or scale the biases down so that the state needs a smaller range"
    return (
        AccuracyCheck.of(
            "thermal spread, state LSBs",
            spread,
            LEAST_SPREAD,
            f"thermal motion spans {spread:.2g} LSBs of the state, less than {LEAST_SPREAD:g}, and "
            f"rounding adds about {added:.1%} to its variance: {advice}",
            least=True,
        ),
        AccuracyCheck.of(
            "thermal drift of a step, state LSBs",
            drift,
            LEAST_DRIFT,
            f"a step moves thermal motion by {drift:.2g} LSBs of the state, which rounding to "
            "nearest would drop, so the state is rounded stochastically",
            least=True,
        ),
        AccuracyCheck.of(
            "variance added by rounding, relative",
            added,
            VARIANCE_TOLERANCE,
            # of motion that spans too few LSBs the first check has said it
            f"rounding the state adds about {added:.1%} to the variance of thermal motion: {advice}"
            if spread >= LEAST_SPREAD
            else "",
        ),
    )


def added_variance(kT: float, dt: float, fastest: float, lsb: float, integrator: str) -> float:
    """Returns the share that rounding the state to steps of ``lsb`` adds to a thermal variance.

    A rounding error of variance r lsb^2 at every step adds r lsb^2 / (1 - a^2) to a mode with a =
    1 - dt lambda, whose own variance is kT / lambda with Leimkuhler-Matthews and kT / lambda / (1 -
    dt lambda / 2) with Euler-Maruyama. Their ratio is largest for the ``fastest`` eigenvalue.
    """
    slowing = 2 - dt * fastest if integrator == LM else 2.0
    return ROUNDING_VARIANCE * lsb**2 / (kT * dt * slowing)

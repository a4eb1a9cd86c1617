# SPDX-License-Identifier: Apache-2.0
"""A compiled program's run on a few of its calibration inputs, held against float64.

The integer model, which equals the gateware bit for bit, relaxes at kT = 0 from the same start and
for as many steps as the float reference, so that what differs is the loss of formats and rounding
alone. The compiler does this for every program, and it takes milliseconds.
"""

from dataclasses import dataclass, replace

import numpy as np

from ornstein.host.compile.program import AccuracyCheck, Program, job_issues
from ornstein.host.compile.request import Request, spaced_rows
from ornstein.host.physics.problem import STATE, STOCHASTIC, Problem
from ornstein.sim.reference import relax
from ornstein.sim.stages import Stage

LOSS_TOLERANCE = 0.05
"""Largest error of the answers, relative to their spread over the inputs and thermal motion. It
costs 0.00125 of the centred cosine."""
INPUTS = 8
"""Calibration inputs that are run."""
AVERAGED = 16
"""Most averaged steps of a stage."""
PRODUCTS = 20_000_000
"""Products of the multiply lanes that the run may take; longer relaxations are cut to it."""
LARGEST = 2048
"""Units of the largest program that is run: the float reference takes the square of them."""
_SEED = 1


@dataclass(frozen=True)
class Loss:
    """What a run lost against float64.

    ``answers`` is the root mean square error of the answers over their root mean square spread;
    ``saturated`` is the number of words that were clipped.
    """

    answers: float
    saturated: int


def cold_problem(program: Program) -> Problem | None:
    """Returns the problem that the self-check compiles in place of the program's own.

    All stages are at kT = 0, and short enough. A program at a temperature is rounded
    stochastically, since thermal motion spreads the states over the LSBs. None where there is
    nothing to compare with: the program is too large, or its energy can have several minima, among
    which a rounding error chooses.
    """
    problem = program.problem
    smallest = min(float(energy.eigenvalues()[0]) for energy in problem.energies)
    if problem.energies[0].units > LARGEST or smallest <= 0:
        return None
    products = job_issues(program) * program.config.lanes / program.layout.chains
    share = min(1.0, PRODUCTS / (INPUTS * products))
    stages = tuple(_short(stage, share) for stage in problem.stages)
    rounding = STOCHASTIC if problem.kT else problem.rounding
    return replace(problem, stages=stages, rounding=rounding)


def _short(stage: Stage, share: float) -> Stage:
    steps = max(1, int(stage.steps * share))
    if stage.accumulate:
        steps = min(stage.steps, AVERAGED)
    return replace(stage, steps=steps, kT=0.0, thin=0)


def measure_loss(request: Request, program: Program) -> Loss | None:
    """Runs the program of a :func:`cold_problem` on calibration inputs.

    ``request`` is that of the program itself, whose temperature counts as spread. None if neither
    inputs nor a temperature move the answers, or no input is within the program's limits.
    """
    # loading Numba takes long, and the model needs it
    from ornstein.host.devices.model import ModelDevice

    low, high = program.input_limits()
    held = ((request.calibration >= low) & (request.calibration <= high)).all(axis=1)
    inputs = spaced_rows(request.calibration[held], INPUTS)
    if not len(inputs):
        return None
    with ModelDevice(program.config) as device:
        device.load(program)
        outputs = device.run(inputs, seed=_SEED)
    problem = program.problem
    biases = problem.biases(inputs)
    start = inputs if problem.entry == STATE else np.zeros((len(inputs), biases.shape[2]))
    exact = relax(
        problem.energies,
        biases,
        problem.stages,
        dt=program.dt,
        integrator=problem.integrator,
        initial=start,
        rng=np.random.default_rng(_SEED),
    ).mean
    part, scale = _answered(problem)
    wanted, error = exact[:, part] * scale, (outputs.mean - exact)[:, part] * scale
    centred = wanted - wanted.mean(axis=0)
    # inputs that all lead to one answer have no spread of their own
    spread = centred if np.sum(centred**2) > 1e-12 * np.sum(wanted**2) else wanted
    size = np.sum(spread**2) / len(inputs) + np.sum(_thermal(request.problem)[part] * scale**2)
    if problem.entry == STATE:  # what is left of initial states is held to their own size
        size += np.sum((start[:, part] * scale) ** 2) / len(inputs)
    if not size:
        return None
    counters = outputs.counters
    saturated = (counters["rank_saturations"] or 0) + (counters["state_saturations"] or 0)
    return Loss(float(np.sqrt(np.sum(error**2) / len(inputs) / size)), saturated)


def _answered(problem: Problem) -> tuple[slice, np.ndarray | float]:
    """The units that are read, and the factor by which each is scaled."""
    if problem.target is None:
        return slice(None), 1.0
    scale = 1.0 if problem.readout is None else problem.readout.scale
    return problem.energies[0].slices[problem.target], scale


def _thermal(problem: Problem) -> np.ndarray:
    """Thermal variance (units,) of the energy that is read; of a quartic one without its quartic
    term.
    """
    return problem.kT * problem.energy.variances()


def loss_checks(loss: Loss, nearest: Loss | None) -> tuple[AccuracyCheck, ...]:
    """Returns the checks of a program's loss.

    ``nearest`` is the loss with rounding to nearest, where it was so large that the compiler chose
    stochastic rounding, else None.
    """
    checks = [
        AccuracyCheck.of(
            "loss of the answers on calibration inputs, relative",
            loss.answers,
            LOSS_TOLERANCE,
            f"formats and rounding put the answers to calibration inputs {loss.answers:.1%} of "
            "their spread off; see the range report for the coarsest field",
        ),
        AccuracyCheck.of(
            "words saturated on calibration inputs",
            loss.saturated,
            0.0,
            f"{loss.saturated} words saturated while {INPUTS} calibration inputs or fewer ran; "
            "lower dt, or narrow the range of the inputs",
        ),
    ]
    if nearest is not None:
        checks.append(
            AccuracyCheck.of(
                "loss with rounding to nearest, relative",
                nearest.answers,
                LOSS_TOLERANCE,
                f"rounding to nearest would put the answers {nearest.answers:.1%} of their spread "
                f"off, so the state is rounded stochastically, which leaves {loss.answers:.1%}",
            )
        )
    return tuple(checks)

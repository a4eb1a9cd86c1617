# SPDX-License-Identifier: Apache-2.0
"""How far the gradients of nudges are from the exact one, over the strength of the nudges, beside
finite differences of the loss.
"""

from dataclasses import dataclass, replace

import numpy as np

from ornstein.host.compile.coupling_memory import AdjustableCouplings, Factors
from ornstein.host.compile.program import Program
from ornstein.host.devices.device import Device
from ornstein.host.devices.float import FloatDevice
from ornstein.host.devices.model import ModelDevice
from ornstein.host.learn.nudges import Nudger, coupling_gradient, loss_gradient
from ornstein.host.models.model_file import TrainedModel
from ornstein.sim.energy import Energy

BETAS = 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0
INPUTS = 128
WEAKENED = 0.9
"""Factors, over those of the program. At the program itself the gradient all but vanishes."""
DIFFERENCES = 0.0003, 0.001, 0.003, 0.01
"""Steps of finite differences, as shares of the norm of all factors."""
DESCENT, DESCENT_DT, NEWTON = 200, 0.25, 12
"""Steps towards the minimum of a quartic energy, their length, and steps of Newton's method."""


@dataclass(frozen=True)
class GradientRow:
    """Errors at one strength.

    Attributes
    ----------
    device : float:exact, or model
    symmetric : two nudges; otherwise one
    beta : strength
    error : relative distance from the exact gradient, over all factors
    cosine : with the exact gradient
    along : relative error of the slope along the exact gradient
    """

    device: str
    symmetric: bool
    beta: float
    error: float
    cosine: float
    along: float


@dataclass(frozen=True)
class DifferenceRow:
    """``along``: relative error of the slope along the exact gradient by central differences of the
    loss on a device, whose factors all move by ``step`` of their norm.
    """

    device: str
    step: float
    along: float


def exact_gradient(
    energy: Energy, biases: np.ndarray, wanted: np.ndarray, weights: np.ndarray, part: slice
) -> Factors:
    """Returns dL/dF of every factor at equilibrium, at kT = 0.

    With the equilibria z, the curvature H = M + 12 j4 diag(z^2) and the responses a = H^-1 e to the
    weighted errors e, which are zero outside the target, dL/dtheta = a' (dM/dtheta) z. It is the
    derivative of the energy at z + a less that at z - a, divided by two.

    Parameters
    ----------
    biases : (n, units)
    wanted : (n, target units) targets in units of the state
    weights : (target units,) of the loss
    part : the units of the target
    """
    means, curvature = equilibria(energy, biases)
    errors = np.zeros_like(means)
    errors[:, part] = weights * (wanted - means[:, part])
    response = np.linalg.solve(curvature, errors[:, :, None])[:, :, 0]
    share = np.full(len(means), 1 / (2 * len(means)))
    plus, minus = (coupling_gradient(energy, means + s * response, share) for s in (1, -1))
    return {side: plus[side] - minus[side] for side in plus}


def equilibria(energy: Energy, biases: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the minima (n, units) of the energy that are reached from zero, and the curvatures
    (n, units, units) there.

    Short steps lead into the basin, and Newton's method to its bottom.
    """
    matrix, cubic = energy.matrix(), 4 * energy.j4
    states = np.zeros_like(biases) if cubic else energy.mean(biases)
    for _ in range(DESCENT if cubic else 0):
        states += DESCENT_DT * (biases - states @ matrix - cubic * states * states * states)
    for _ in range(NEWTON if cubic else 0):
        slope = states @ matrix + cubic * states * states * states - biases
        states -= np.linalg.solve(_curvature(matrix, cubic, states), slope[:, :, None])[:, :, 0]
    return states, _curvature(matrix, cubic, states)


def _curvature(matrix: np.ndarray, cubic: float, states: np.ndarray) -> np.ndarray:
    return matrix + 3 * cubic * states[:, :, None] ** 2 * np.eye(len(matrix))


def weakened(program: Program) -> AdjustableCouplings:
    """Returns the couplings of the program at `WEAKENED` of their strength. Its float problem is
    that of the integers.
    """
    couplings = AdjustableCouplings.of(program)
    weak = {side: WEAKENED * factor for side, factor in couplings.factors().items()}
    return _stored(couplings, weak)


def _stored(couplings: AdjustableCouplings, factors: Factors) -> AdjustableCouplings:
    """Returns couplings of these factors as integers, and a float problem of the same values."""
    rounded = replace(couplings, program=couplings.with_factors(factors))
    return replace(rounded, program=rounded.with_factors(rounded.factors()))


def gradient_rows(
    program: Program, model: TrainedModel
) -> tuple[list[GradientRow], list[DifferenceRow]]:
    """Returns the errors of nudges and of finite differences, on an ideal float device and on an
    ideal integer model, at factors weaker than the program's.
    """
    couplings = weakened(program)
    inputs, targets = model.x_train[:INPUTS], model.y_train[:INPUTS]
    devices: list[Device] = [FloatDevice("float:exact", exact=True), ModelDevice(program.config)]
    rows, differences = [], []
    for device in devices:
        for beta in BETAS:
            nudger = Nudger(couplings.program, device, beta=beta, warm=False, seed=1)
            nudger.load(couplings.program)
            exact = exact_gradient(
                couplings.program.problem.energy,
                nudger.biases(inputs),
                nudger.states(targets),
                nudger.weights,
                nudger.part,
            )
            phases = nudger.measure(inputs, targets)
            for symmetric in (False, True):
                found = loss_gradient(couplings.program.problem.energy, phases, symmetric=symmetric)
                rows.append(GradientRow(device.uri, symmetric, beta, *compared(found, exact)))
            if beta == BETAS[-1]:
                differences += [
                    DifferenceRow(
                        device.uri, step, _difference(couplings, nudger, step, exact, model)
                    )
                    for step in DIFFERENCES
                ]
    return rows, differences


def _difference(
    couplings: AdjustableCouplings,
    nudger: Nudger,
    step: float,
    exact: Factors,
    model: TrainedModel,
) -> float:
    """Returns the relative error of the slope along the exact gradient by central differences."""
    inputs, wanted = model.x_train[:INPUTS], nudger.states(model.y_train[:INPUTS])
    factors = couplings.factors()
    size = step * length(factors) / length(exact)
    losses, moved = [], []
    for sign in (1, -1):
        made = _stored(
            couplings,
            {side: factor + sign * size * exact[side] for side, factor in factors.items()},
        )
        nudger.load(made.program)
        error = wanted - nudger.states(nudger.answers(inputs))
        losses.append(float(np.sum(nudger.weights * error**2)) / 2 / len(inputs))
        moved.append(made.factors())
    slope = sum(float(np.sum((moved[0][side] - moved[1][side]) * exact[side])) for side in exact)
    return abs((losses[0] - losses[1]) / slope - 1)


def compared(found: Factors, exact: Factors) -> tuple[float, float, float]:
    """Returns over all factors the relative distance of a gradient from the exact one, their
    cosine, and the relative error of the slope along the exact one.
    """
    inner = sum(float(np.sum(found[side] * exact[side])) for side in exact)
    size = length(exact)
    distance = length({side: found[side] - exact[side] for side in exact})
    along = abs(inner / size**2 - 1)
    return distance / size, inner / (length(found) * size), along


def length(factors: Factors) -> float:
    """Returns the norm of all elements of all factors."""
    return float(np.sqrt(sum(np.sum(factor**2) for factor in factors.values())))

# SPDX-License-Identifier: Apache-2.0
"""How far the gradients of nudges are from the exact one, over the strength of the nudges."""

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
PAPER_ONE_SIDED, PAPER_SYMMETRIC = -0.73, 0.77
"""Cosines of the gradients that the author of the paper reports for the rule (arXiv 2604.23806)."""


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
    """

    device: str
    symmetric: bool
    beta: float
    error: float
    cosine: float


def exact_gradient(
    energy: Energy, biases: np.ndarray, wanted: np.ndarray, weights: np.ndarray, part: slice
) -> Factors:
    """Returns dL/dF of every factor in closed form.

    With the means z = M^-1 b and the responses a = M^-1 e to the weighted errors e, which are zero
    outside the target, dL/dtheta = a' (dM/dtheta) z. It is the derivative of the energy at z + a
    less that at z - a, divided by two.

    Parameters
    ----------
    biases : (n, units)
    wanted : (n, target units) targets in units of the state
    weights : (target units,) of the loss
    part : the units of the target
    """
    means = energy.mean(biases)
    errors = np.zeros_like(means)
    errors[:, part] = weights * (wanted - means[:, part])
    response = energy.mean(errors)
    share = np.full(len(means), 1 / (2 * len(means)))
    plus, minus = (coupling_gradient(energy, means + s * response, share) for s in (1, -1))
    return {side: plus[side] - minus[side] for side in plus}


def gradient_rows(program: Program, model: TrainedModel) -> list[GradientRow]:
    """Returns the errors on an ideal float device and on an ideal integer model, at factors weaker
    than the program's.
    """
    couplings = AdjustableCouplings.of(program)
    weakened = {side: WEAKENED * factor for side, factor in couplings.factors().items()}
    couplings = replace(couplings, program=couplings.with_factors(weakened))
    energy = couplings.program.problem.energy
    inputs, targets = model.x_train[:INPUTS], model.y_train[:INPUTS]
    devices: list[Device] = [FloatDevice("float:exact", exact=True), ModelDevice(program.config)]
    rows = []
    for device in devices:
        for beta in BETAS:
            nudger = Nudger(couplings.program, device, beta=beta, warm=False, seed=1)
            nudger.load(couplings.program)
            phases = nudger.measure(inputs, targets)
            exact = exact_gradient(
                energy,
                nudger.biases(inputs),
                nudger.states(targets),
                nudger.weights,
                nudger.part,
            )
            for symmetric in (False, True):
                found = loss_gradient(energy, phases, symmetric=symmetric)
                rows.append(GradientRow(device.uri, symmetric, beta, *_compared(found, exact)))
    return rows


def _compared(found: Factors, exact: Factors) -> tuple[float, float]:
    """(relative distance, cosine) over all factors."""
    a, b = (np.concatenate([part[side].ravel() for side in exact]) for part in (found, exact))
    length = float(np.linalg.norm(b))
    distance = float(np.linalg.norm(a - b)) / length
    return distance, float(a @ b) / (float(np.linalg.norm(a)) * length)

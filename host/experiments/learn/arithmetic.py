# SPDX-License-Identifier: Apache-2.0
"""What the host computes for learning, and for what can be done instead, in multiply-adds.

Only the leading terms are counted: products of matrices as written, n^3 / 3 for the solution of n
linear equations, n^3 for an inverse, 5 n^3 for the eigenvectors of a symmetric matrix and
2 m^2 (n - m / 3) for m orthonormal columns of length n by Householder reflections
[Golub and Van Loan, "Matrix Computations"].
"""

from ornstein.host.compile.program import Program
from ornstein.host.learn.learner import Learner
from ornstein.host.physics.regression import RIDGES
from ornstein.sim.energy import Energy


def learned_multiplies(learner: Learner, program: Program) -> int:
    """Returns the multiply-adds of all steps that a learner of a program has taken."""
    energy, settings = program.problem.energy, learner.settings
    part = energy.slices[str(program.problem.target)]
    return learning_multiplies(
        energy, part.stop - part.start, settings.batch, settings.steps, learner.iterations
    )


def learning_multiplies(
    energy: Energy, target_units: int, batch: int, steps: int, iterations: int
) -> int:
    """Returns the multiply-adds of steps of :class:`ornstein.host.learn.learner.Learner`.

    Parameters
    ----------
    target_units : of the loss
    batch : inputs of a step
    iterations : of conjugate gradients, in all steps together
    """
    units = energy.units
    blocks = _blocks(energy)
    gradient = 4 * batch * sum(_sizes(energy))  # two phases; a projection and a product each
    moments, inverse, definite = batch * units**2, units**3, _modes(energy)
    # the change of M, the answers to it, what these weigh in M, and the slopes of the factors
    product = 2 * blocks + 2 * target_units * units**2 + units**3
    # the damping takes one product more
    return steps * (gradient + moments + inverse + definite + product) + iterations * product


def refit_multiplies(units: int, inputs: int, input_size: int, target_units: int) -> int:
    """Returns the multiply-adds of an interface that is fitted to measured couplings.

    Parameters
    ----------
    units : of the substrate
    inputs : that the interface is fitted to, of ``input_size`` numbers each
    target_units : of the decoder; the encoder has as many units as an input has numbers
    """
    couplings = 2 * units**3 + 5 * units**3  # the inverse of what was measured, and its factors
    oracle = inputs * (input_size + target_units) * input_size + inputs * input_size * target_units
    regressions = sum(
        _regression_multiplies(inputs, input_size, size) for size in (input_size, target_units)
    )
    return couplings + oracle + regressions


def compensation_multiplies(energy: Energy) -> int:
    """Returns the multiply-adds of a gain for each connection, and of a factor divided by it."""
    return 4 * sum(_sizes(energy))


def _regression_multiplies(inputs: int, size: int, targets: int) -> int:
    """Of one regression of reduced rank, whose ridge is validated on a quarter of the inputs."""
    moments = size * (size + targets)
    solved = size**3 // 3 + 3 * size**2 * targets + 5 * targets**3
    fits = len(RIDGES) + 1
    return (3 * len(RIDGES) * inputs // 4 + inputs) * moments + fits * solved


def _sizes(energy: Energy) -> list[int]:
    """Numbers of elements of all factors."""
    return [factor.size for coupling in energy.couplings for factor in coupling.factors]


def _modes(energy: Energy) -> int:
    """Multiply-adds of :attr:`ornstein.sim.energy.Energy.modes`."""
    units = energy.units
    columns = sum(len(coupling.modules) * coupling.rank for coupling in energy.couplings)
    if columns >= units:
        return _blocks(energy) + 5 * units**3
    orthonormal = 2 * columns**2 * (3 * units - columns) // 3
    inner = 2 * columns**3  # the couplings in the space of the orthonormal columns
    return orthonormal + inner + 5 * columns**3 + units * columns**2


def _blocks(energy: Energy) -> int:
    """Multiply-adds of all blocks of all couplings."""
    return sum(
        sum(factor.shape[0] for factor in coupling.factors) ** 2 * coupling.rank
        for coupling in energy.couplings
    )

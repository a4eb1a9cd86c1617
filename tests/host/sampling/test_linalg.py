# SPDX-License-Identifier: Apache-2.0
"""Linear systems and inverses: answers within the error that is expected of them."""

import re

import numpy as np
import pytest

from ornstein.host import linalg
from ornstein.sim.energy import EnergyError


def matrix(condition: float, units: int = 32) -> np.ndarray:
    """A symmetric matrix with eigenvalues from 1 to ``condition``."""
    basis, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(units, units)))
    product = basis * np.geomspace(1, condition, units) @ basis.T
    return (product + product.T) / 2


RIGHT = np.random.default_rng(2).normal(size=32)


def error(x: np.ndarray, exact: np.ndarray) -> float:
    return float(np.linalg.norm(x - exact) / np.linalg.norm(exact))


def test_a_well_conditioned_system():
    A = matrix(10)
    solution = linalg.solve(A, RIGHT)
    assert error(solution.x, np.linalg.solve(A, RIGHT)) < solution.expected_error < 0.005
    assert solution.residual == pytest.approx(error(A @ solution.x, RIGHT))
    assert solution.warnings == () and solution.device == "model:reference"


def test_refinement_reaches_float64():
    A = matrix(10)
    solution = linalg.solve(A, RIGHT, refinements=4)
    assert error(solution.x, np.linalg.solve(A, RIGHT)) < 1e-12


def test_condition_1000_is_warned_of_with_its_expected_error_and_the_remedy_works():
    A, exact = matrix(1000), np.linalg.solve(matrix(1000), RIGHT)
    solution = linalg.solve(A, RIGHT)
    assert 0.03 < solution.expected_error < 0.5
    assert error(solution.x, exact) < 1.2 * solution.expected_error
    (warning,) = solution.warnings
    assert f"expect x to be off by {solution.expected_error:.1%}" in warning
    assert "the couplings have 12 bits, and the condition of A is 1e+03" in warning
    refinements = int(re.search(r"refinements=(\d+) would bring it below 1%", warning)[1])
    refined = linalg.solve(A, RIGHT, refinements=refinements)
    assert error(refined.x, exact) < 0.01


def test_several_right_sides_keep_their_shape():
    A, right = matrix(4, 6), np.random.default_rng(3).normal(size=(6, 2))
    solution = linalg.solve(A, right)
    assert solution.x.shape == (6, 2)
    assert error(solution.x, np.linalg.solve(A, right)) < solution.expected_error


def test_the_inverse_is_symmetric():
    A = matrix(4, 6)
    inverse = linalg.inv(A)
    np.testing.assert_array_equal(inverse.x, inverse.x.T)
    assert error(inverse.x, np.linalg.inv(A)) < inverse.expected_error
    assert inverse.residual == pytest.approx(error(A @ inverse.x, np.eye(6)))


def test_the_closed_form_device_is_exact():
    A = matrix(4, 6)
    solution = linalg.solve(A, np.ones(6), device="float:exact")
    np.testing.assert_allclose(solution.x, np.linalg.solve(A, np.ones(6)), rtol=1e-12)
    np.testing.assert_allclose(solution.realised.precision, A, atol=1e-14)


def test_zero_has_the_solution_zero():
    solution = linalg.solve(matrix(4, 6), np.zeros(6))
    np.testing.assert_array_equal(solution.x, 0)
    assert solution.residual == 0


@pytest.mark.parametrize(
    ("A", "b", "message"),
    [
        ([[1.0, 2.0], [0.0, 1.0]], [1.0, 1.0], "A is not symmetric: it differs from its transpose"),
        (-np.eye(2), [1.0, 1.0], "A is not positive definite: its smallest eigenvalue is -1"),
        (np.ones((2, 3)), [1.0, 1.0], "A must be square, not of shape (2, 3)"),
        (np.eye(2), [1.0], "b must be finite and of shape (2,) or (2, m), not (1,)"),
        (np.eye(2), [np.nan, 1.0], "b must be finite"),
    ],
)
def test_what_is_wrong_is_named(A, b, message):
    with pytest.raises(EnergyError, match=re.escape(message)) as refused:
        linalg.solve(A, b)
    assert "\n" not in str(refused.value)


def test_negative_refinements_are_refused():
    with pytest.raises(EnergyError, match="refinements = -1 must not be negative"):
        linalg.solve(np.eye(2), np.ones(2), refinements=-1)

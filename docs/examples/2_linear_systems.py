# SPDX-License-Identifier: Apache-2.0
"""
Linear systems and inverses
===========================

At kT = 0 the energy z' A z / 2 - b.z comes to rest where A z = b. ``linalg`` has the functions of
``thermox.linalg``, which does the same in float64 with exact Ornstein-Uhlenbeck samples.
"""

from importlib.util import find_spec

import numpy as np

from ornstein import linalg


def relative(x, exact):
    return np.linalg.norm(x - exact) / np.linalg.norm(exact)


rng = np.random.default_rng(0)
basis, _ = np.linalg.qr(rng.normal(size=(16, 16)))
A = basis * np.geomspace(1, 10, 16) @ basis.T
A = (A + A.T) / 2
b = rng.normal(size=16)
exact = np.linalg.solve(A, b)

# %%
# One relaxation. Couplings of 12 bits limit its accuracy; the error to expect is told.

solution = linalg.solve(A, b)
print(f"error {relative(solution.x, exact):.1e}, expected {solution.expected_error:.1e}")
print(f"residual {solution.residual:.1e}, fabric {solution.program.config.name}")
assert relative(solution.x, exact) < solution.expected_error

# %%
# Iterative refinement solves for what is left, b - A x, again and again. Four times reach float64.

refined = linalg.solve(A, b, refinements=4)
print(f"error {relative(refined.x, exact):.1e}")
assert relative(refined.x, exact) < 1e-12

# %%
# The inverse.

inverse = linalg.inv(A)
print(f"error of the inverse {relative(inverse.x, np.linalg.inv(A)):.1e}")
assert relative(inverse.x, np.linalg.inv(A)) < inverse.expected_error

# %%
# A badly conditioned matrix is answered with a warning, which names the refinements it needs.

hard = basis * np.geomspace(1, 1000, 16) @ basis.T
hard = (hard + hard.T) / 2
print(*linalg.solve(hard, b).warnings)

# %%
# Beside thermox, if it is installed (``pip install thermox``).

if find_spec("thermox"):
    import jax
    import thermox

    jax.config.update("jax_enable_x64", True)
    answer = thermox.linalg.solve(jax.numpy.asarray(A), jax.numpy.asarray(b), num_samples=10_000)
    print(f"thermox, 10,000 samples: error {relative(np.asarray(answer), exact):.1e}")
    answer = thermox.linalg.inv(jax.numpy.asarray(A), num_samples=10_000)
    print(f"and of the inverse: {relative(np.asarray(answer), np.linalg.inv(A)):.1e}")
else:
    print("thermox is not installed")

# SPDX-License-Identifier: Apache-2.0
"""
A ring of modules
=================

Modules are groups of units. Couplings between them have a low rank, so that the work of a step
grows with the number of units times the rank, not with its square.
"""

import numpy as np

from ornstein import EnergyBuilder, compile_problem, equilibrium_problem, open_device
from ornstein.hdl.config import REFERENCE

COUNT, UNITS, RANK = 4, 12, 2
rng = np.random.default_rng(0)
names = [f"module{number}" for number in range(COUNT)]
builder = EnergyBuilder()
for name in names:
    builder.module(name, UNITS)
for first, second in zip(names, [*names[1:], names[0]], strict=True):
    left, right = (np.linalg.qr(rng.normal(size=(UNITS, RANK)))[0] for _ in range(2))
    builder.couple(first, second, 0.4 * left @ right.T)
energy = builder.build()
print(f"{energy.units} units, eigenvalues of M from {energy.eigenvalues()[0]:.2f}")

# %%
# Inputs are the biases; here those of the first module. Time step and steps are chosen.

problem = equilibrium_problem(energy, target=names[2])
print(f"dt = {problem.dt:.3g}, {problem.steps} steps")
biases = np.zeros((8, energy.units))
biases[:, :UNITS] = rng.normal(size=(8, UNITS))
program = compile_problem(problem, REFERENCE, biases)
print(*program.warnings())
with open_device("model") as device:
    device.load(program)
    outputs = device.run(biases, seed=1)

# %%
# What the module on the other side of the ring makes of it.

answers, exact = problem.decode(outputs.mean), problem.decode(energy.mean(biases))
error = np.linalg.norm(answers - exact) / np.linalg.norm(exact)
print(f"error of the far module's mean: {error:.2%}")
assert error < 0.02

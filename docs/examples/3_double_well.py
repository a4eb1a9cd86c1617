# SPDX-License-Identifier: Apache-2.0
"""
A double well
=============

A negative precision drives a unit away from zero, and the quartic term j4 z\\ :sup:`4` holds it:
E = -z\\ :sup:`2` / 2 + z\\ :sup:`4` / 4 has wells at -1 and +1.
"""

import matplotlib.pyplot as plt
import numpy as np

from ornstein import Energy, anneal, sample

well = Energy.from_precision([[-1.0]], j4=0.25)
hot = sample(well, kT=0.5, n=400, chains=16)
print(f"R-hat {hot.r_hat[0]:.3f}, independent samples {hot.effective_samples[0]:.0f}")

# %%
# The histogram beside exp(-E / kT).

z = np.linspace(-2.5, 2.5, 501)
density = np.exp(-well.value(z[:, None]) / 0.5)
density /= density.sum() * (z[1] - z[0])
figure, axes = plt.subplots(figsize=(5, 3))
axes.hist(hot.samples.ravel(), bins=50, density=True, alpha=0.5)
axes.plot(z, density)
axes.set(xlabel="state", ylabel="density")
plt.show()
square = np.sum(z**2 * density) * (z[1] - z[0])
print(f"mean square {np.mean(hot.samples**2):.3f}, exact {square:.3f}")
assert abs(np.mean(hot.samples**2) - square) < 0.1

# %%
# In the cold no state crosses the barrier, so that the mean of a chain says little. R-hat tells.

cold = sample(well, kT=0.02, n=50, chains=8)
print(*cold.warnings, sep="\n")
assert any("not mixed" in warning for warning in cold.warnings)

# %%
# Cooling finds ground states. Six units on a ring whose neighbours disagree:

edges = [(unit, (unit + 1) % 6) for unit in range(6)]
ring = Energy.from_edges(6, edges, weights=-0.5, diagonal=-1.0, j4=0.25)
ended = anneal(ring, T=[1.0, 0.5, 0.2, 0.05, 0.0], steps=200, chains=8)
print(np.round(ended.best, 2), "with the energy", round(ended.energies.min(), 3))
assert all(ended.best[first] * ended.best[second] < 0 for first, second in edges)

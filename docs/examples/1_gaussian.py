# SPDX-License-Identifier: Apache-2.0
"""
A Gaussian
==========

The substrate samples exp(-E / kT). With a precision matrix P and a bias h the energy is
E = z' P z / 2 - h.z, and z is normal with mean P\\ :sup:`-1` h and covariance kT P\\ :sup:`-1`.
"""

import matplotlib.pyplot as plt
import numpy as np

from ornstein import sample

P = np.array([[2.0, 0.8, 0.0], [0.8, 1.0, -0.4], [0.0, -0.4, 1.5]])
h = np.array([0.5, -0.3, 0.2])
drawn = sample(precision=P, bias=h, kT=0.5, n=500, chains=8)

# %%
# The mean has standard errors, because neighbouring samples are correlated. All deviations are of
# their size.

exact = np.linalg.solve(P, h)
for unit, (mean, error, wanted) in enumerate(
    zip(drawn.mean, drawn.standard_error, exact, strict=True)
):
    print(f"unit {unit}: {mean:+.3f} +- {error:.3f}, exact {wanted:+.3f}")
assert (abs(drawn.mean - exact) < 5 * drawn.standard_error + 0.005).all()

# %%
# So has the covariance.

print(np.round(drawn.covariance, 3))
print(np.round(0.5 * np.linalg.inv(P), 3))

# %%
# What was chosen, what the fabric made of it, and what to know.

print("fabric", drawn.program.config.name, "with dt =", round(drawn.realised.dt, 4))
print("independent samples:", np.round(drawn.effective_samples), "R-hat:", np.round(drawn.r_hat, 3))
print("precision matrix as realised:", np.round(drawn.realised.precision, 4), sep="\n")
print("warnings:", drawn.warnings)

# %%
# The samples themselves.

figure, axes = plt.subplots(figsize=(4, 4))
points = drawn.samples.reshape(-1, 3)
axes.plot(points[:, 0], points[:, 1], ".", markersize=2, alpha=0.4)
axes.set(xlabel="unit 0", ylabel="unit 1", aspect="equal")
plt.show()

# SPDX-License-Identifier: Apache-2.0
"""Every number that the paper reports, in its text or in its script.

The script is run_experiments.py of aditixde/thermodynamic-diffusion-inference. It runs no dynamics:
its numbers are float32 linear solves.
"""

TRAINED, UNTRAINED = "trained", "untrained"
"""The paper's two networks: the trained one of its text, and the untrained one of its script."""

SHIFT = {
    TRAINED: {2: 32.1, 4: 21.1, 8: 15.0, 16: 12.74, 32: 12.7},
    UNTRAINED: {2: 21.3, 4: 12.5, 8: 8.8, 16: 7.5, 32: 9.0},
}
"""Decoder shift in percent by the rank of the skip."""
SKIP_NORM = 0.25
"""Frobenius norm of the skip at every rank."""
COSINE = {
    TRAINED: {"oracle": 1.0, "skip only": 0.9924, "full": 0.9906},
    UNTRAINED: {
        "oracle": 0.9966,
        "encoder and oracle": 0.9966,
        "skip only": 0.0137,
        "full": 0.9955,
    },
}
"""Cosine of the configurations of the production test."""
SWEEP_COSINE = {UNTRAINED: 0.9966}
"""Cosine of the bottleneck sweep, the same at every width."""
PARAMETERS = {TRAINED: {"full, no biases": 2560}, UNTRAINED: {"full": 5396}}
"""Trained weights of the conditioning interface."""
QUARTIC = {"relative difference": 0.11, "cosine": 0.997}
"""State under the quartic term against the target, of the untrained network."""
DEFICIT = 2600.0
"""Ratio of the correct bias to the naive one. The script does not compute it."""

STEPS, KT = 400, 1.0
"""Steps and temperature that the energy account takes for one inference."""
BOLTZMANN, ROOM = 1.38e-23, 300.0
"""Boltzmann's constant in J/K as rounded in the script, and its room temperature in K."""
GPU_JOULES = 8e-3
"""Energy of one inference on an A100; the paper names no measurement."""
CONVERTERS = 1e3
"""Factor that the script takes off its gain for converters."""
CLAIMED_GAIN = 1e7
"""Gain that the script prints, as a fixed text."""

# SPDX-License-Identifier: Apache-2.0
"""
Generation
==========

A diffusion model whose decoder is the substrate makes digits from noise. ``ornstein generate``
makes more of them, with more noise levels.
"""

import matplotlib.pyplot as plt
import numpy as np

from ornstein.host.experiments.generate.run import generate
from ornstein.host.models.diffusion import Diffusion, trained_model
from ornstein.host.models.noise_levels import noise_levels

model = Diffusion.load(trained_model("substrate", 16))
made = generate(model, "model", count=2, levels=noise_levels(3))
print(f"{made.steps} steps of relaxation for each decoding, on {made.device}")

# %%

figure, places = plt.subplots(1, 2, figsize=(4, 2))
for place, image in zip(places, made.images, strict=True):
    place.imshow(image, cmap="gray", vmin=0, vmax=1)
    place.set_axis_off()
plt.show()
assert made.images.shape == (2, *made.images.shape[1:]) and np.ptp(made.images) > 0.5

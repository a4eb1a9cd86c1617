# SPDX-License-Identifier: Apache-2.0
"""
Denoising
=========

The noisy image is the bias of 64 pixel units; with a quartic term the substrate settles towards
black or white. ``ornstein images`` shows all denoisers, and ``ornstein denoise`` the decoder of a
U-Net.
"""

import matplotlib.pyplot as plt
import numpy as np

from ornstein import compile_problem, open_device
from ornstein.hdl.config import REFERENCE
from ornstein.host.experiments.images.digits import add_noise, load_images
from ornstein.host.experiments.images.measures import psnr
from ornstein.host.experiments.images.parameters import QUARTIC, Parameters

SIGMA = 0.3
digits, denoiser = load_images(), Parameters.load().denoisers[QUARTIC, SIGMA]
clean = digits.test[:16]
noisy = add_noise(clean, SIGMA, np.random.default_rng(1))
calibration = denoiser.biases(add_noise(digits.train[:64], SIGMA, np.random.default_rng(2)))
problem = denoiser.problem("denoiser")
program = compile_problem(problem, REFERENCE, calibration)
with open_device("model") as device:
    device.load(program)
    denoised = problem.decode(device.run(denoiser.biases(noisy)).mean)
before, after = psnr(noisy, clean), psnr(denoised, clean)
print(f"{before:.1f} dB before, {after:.1f} dB after, with {denoiser.parameters} parameters")
assert after > before + 4

# %%

figure, rows = plt.subplots(3, 8, figsize=(8, 3))
for axes, images in zip(rows, (noisy, denoised, clean), strict=True):
    for place, image in zip(axes, images, strict=False):
        place.imshow(image.reshape(8, 8), cmap="gray", vmin=0, vmax=1)
        place.set_axis_off()
plt.show()

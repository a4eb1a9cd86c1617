# SPDX-License-Identifier: Apache-2.0
"""Pages, tables and figures of ``ornstein generate``."""

from pathlib import Path

import numpy as np

from ornstein.host.experiments.generate.run import HOST, Generated
from ornstein.host.pages.page import Exhibit, Section, house_style, new_figure, write_page

TITLE = "Digits from noise, the decoder on the substrate"
ACROSS = 16
"""Images in a line of a sheet."""
_GREYS = {"cmap": "gray_r", "vmin": 0, "vmax": 1, "interpolation": "nearest"}


def sheet(images: np.ndarray, margin: int = 2) -> np.ndarray:
    """One picture (height, width), 0 to 1, of images (n, side, side) in lines of :data:`ACROSS`.

    Ink is dark, as on paper.
    """
    lines = -(-len(images) // ACROSS)
    cell = images.shape[1] + margin
    picture = np.ones((margin + lines * cell, margin + min(ACROSS, len(images)) * cell))
    for index, image in enumerate(images):
        top = margin + index // ACROSS * cell
        left = margin + index % ACROSS * cell
        picture[top : top + cell - margin, left : left + cell - margin] = 1 - np.clip(image, 0, 1)
    return picture


def write_generate_page(generated: Generated, folder: Path) -> Path:
    """Write report.html and figures/*.png of generated images into ``folder``; the page's path."""
    summary = (
        f"{len(generated.images)} images from noise. The encoders and the head of a trained "
        f"network run on the host; its decoder, of rank {generated.rank}, relaxes on "
        f"{generated.device}, once for every pixel and noise level."
    )
    paragraphs = [
        f"{len(generated.levels)} noise levels from {generated.levels[0]:g} to "
        f"{generated.levels[-1]:g} of half a pixel's range; {generated.steps} time steps a "
        "relaxation, the one that is read included.",
        _noise_sentence(generated),
    ]
    if generated.cycles is not None:
        paragraphs.append(f"One image takes {generated.cycles:,} clock cycles by the schedule.")
    if generated.clipped:
        paragraphs.append(
            f"{generated.clipped:,} features were beyond the program's range and were clipped."
        )
    section = Section("Generated digits", paragraphs, [], [_sheet_exhibit(generated.images)])
    return write_page(folder, TITLE, summary, [section])


def _noise_sentence(generated: Generated) -> str:
    if generated.noise == HOST:
        return f"The host drew {generated.host_bits:,} random bits of noise for an image."
    return "The noise of all steps came from uncoupled units of the device at a temperature."


@house_style
def _sheet_exhibit(images: np.ndarray) -> Exhibit:
    picture = sheet(images)
    figure = new_figure(max(1.0, 9.0 * picture.shape[0] / picture.shape[1]))
    axis = figure.subplots()
    axis.imshow(1 - picture, **_GREYS)
    axis.set_axis_off()
    return Exhibit("sheet", "All images", figure, f"{len(images)} images, none left out.")

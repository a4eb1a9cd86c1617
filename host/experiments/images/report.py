# SPDX-License-Identifier: Apache-2.0
"""Tables, figures and the page of ``ornstein images``."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from ornstein.host.experiments.images.digits import CLASSES, SIDE
from ornstein.host.experiments.images.experiment import (
    CYCLES,
    DENOISING,
    GAIN,
    GAUSSIAN,
    GENERATION,
    MATCHED,
    NARROW,
    NEAREST,
    NOISY,
    PARAMETERS,
    PSNR,
    REAL,
    RECOGNISED,
    SPREAD,
    SUBSTRATE,
    WIENER,
    Images,
)
from ornstein.host.experiments.images.parameters import HIDDEN, KINDS, QUARTIC, SIGMAS
from ornstein.host.pages.page import (
    BLUE,
    GREY,
    INK,
    ORANGE,
    Exhibit,
    Grid,
    Section,
    house_style,
    new_figure,
    sentence,
    write_page,
)

SHOWN = 12
"""Denoised images a row."""
PER_CLASS = 10
"""Generated images of each class that are shown."""
_GREYS = {"cmap": "gray_r", "vmin": 0, "vmax": 1, "interpolation": "nearest"}


def write_images_page(images: Images, folder: Path) -> Path:
    """Write report.html and figures/*.png into ``folder``, which is made if need be; the path of
    the page.
    """
    summary = (
        f"scikit-learn's digits, 64 pixels, one unit each; run on {images.device}. Every number is of images "
        "that no training has seen, or of generated ones."
    )
    said = conclusions(images)
    sections = [
        Section(
            "Denoising",
            [
                "The noisy image enters as a bias, the substrate relaxes at kT = 0, and the pixels are read from its mean "
                "state. The float64 column is the same dynamics before any number format. A quadratic substrate is a "
                "linear filter; the quartic term, under couplings that leave many wells, is what beats the best one.",
                said[0],
            ],
            [denoising_grid(images)],
            [_gains(images), *(_denoised(images, sigma) for sigma in SIGMAS)],
        ),
        Section(
            "Generation from noise",
            [
                "A hot stage makes noise; then the couplings, the biases and the temperature change block by block, 8 "
                "blocks in 32 steps, without the host. The biases name the class (arXiv 2506.15121; symmetric least "
                "squares for each block).",
                *said[1:],
            ],
            [generation_grid(images)],
            [_generated(images), _real(images)],
        ),
    ]
    return write_page(folder, "Images on the fabric", summary, sections)


def denoising_grid(images: Images) -> Grid:
    """A line for each method and noise level."""
    rows = []
    for sigma in SIGMAS:
        experiment = f"{DENOISING}, sigma {sigma}"
        for result in images.results:
            if result.experiment == experiment and result.quantity == PSNR:
                gain = images.find(experiment, result.row, GAIN)
                rows.append(
                    (
                        f"{sigma}",
                        result.row,
                        _value(images, experiment, result.row, PARAMETERS),
                        result.reference,
                        _decimals(result.float64, 2),
                        _decimals(result.gateware, 2),
                        _decimals(result.error, 2),
                        _decimals(gain.float64 if gain.gateware is None else gain.gateware, 2),
                        _decimals(gain.error, 2),
                        _value(images, experiment, result.row, CYCLES),
                    )
                )
    return Grid(
        "PSNR in dB of held-out digits for a peak of 1; errors are standard errors over the images, those of "
        "the gain of the difference image by image",
        (
            "sigma",
            "method",
            "parameters",
            "to reach",
            "float64",
            "device",
            "+-",
            "above\nWiener",
            "+-",
            "cycles\nan image",
        ),
        rows,
    )


def generation_grid(images: Images) -> Grid:
    """A line for each source of images."""
    rows = []
    for result in images.results:
        if result.experiment == GENERATION and result.quantity == RECOGNISED:
            others = [
                images.find(GENERATION, result.row, quantity) for quantity in (SPREAD, NEAREST)
            ]
            rows.append(
                (
                    result.row,
                    _decimals(result.float64, 1),
                    _decimals(result.gateware, 1),
                    _decimals(result.error, 1),
                    *(
                        _decimals(other.float64 if other.gateware is None else other.gateware, 3)
                        for other in others
                    ),
                    _value(images, GENERATION, result.row, CYCLES),
                )
            )
    return Grid(
        f"{len(images.labels):,} images of each source (held-out digits: all). Recognised: by a support vector "
        "machine trained on real digits. Spread and distance: root mean square over the pixels",
        (
            "source",
            "recognised %,\nfloat64",
            "recognised %,\ndevice",
            "+-",
            "spread\nwithin a class",
            "distance to\nnearest training",
            "cycles\nan image",
        ),
        rows,
    )


def conclusions(images: Images) -> list[str]:
    """What the numbers say, a sentence or two each: denoising, recognition, diversity."""

    def gain(sigma, row):
        result = images.find(f"{DENOISING}, sigma {sigma}", row, GAIN)
        return f"{_made(result):+.2f} +- {result.error:.2f} dB"

    levels = ", ".join(
        f"{gain(sigma, QUARTIC)} ({gain(sigma, HIDDEN)} with hidden units) at sigma {sigma}"
        for sigma in SIGMAS
    )
    zeroed = ", ".join(gain(sigma, f"{QUARTIC}, couplings zeroed") for sigma in SIGMAS)
    found = {
        (row, quantity): _made(images.find(GENERATION, row, quantity))
        for row in (REAL, SUBSTRATE, NARROW, GAUSSIAN, MATCHED)
        for quantity in (RECOGNISED, SPREAD, NEAREST)
    }
    return [
        f"Against the Wiener filter the quartic substrate gains {levels}; the same programs with their couplings "
        f"zeroed stand at {zeroed}.",
        f"{found[SUBSTRATE, RECOGNISED]:.1f} % of the generated digits are recognised, {found[NARROW, RECOGNISED]:.1f} "
        f"% with 8-bit couplings and a 10-bit state, and {found[REAL, RECOGNISED]:.1f} % of real ones.",
        f"The spread within a class is {found[SUBSTRATE, SPREAD]:.3f} of the real {found[REAL, SPREAD]:.3f}. A "
        f"class-conditional Gaussian has all of the spread and is recognised in {found[GAUSSIAN, RECOGNISED]:.1f} %; "
        f"shrunk to the substrate's spread, in {found[MATCHED, RECOGNISED]:.1f} %, at a distance of "
        f"{found[MATCHED, NEAREST]:.3f} from the nearest training image against {found[SUBSTRATE, NEAREST]:.3f}.",
    ]


def _made(result) -> float:
    return result.float64 if result.gateware is None else result.gateware


def _decimals(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)


def _value(images: Images, experiment: str, row: str, quantity: str) -> int | None:
    try:
        return round(_made(images.find(experiment, row, quantity)))
    except KeyError:
        return None


def _tiles(rows: list[np.ndarray]) -> np.ndarray:
    """One picture of rows of images (n, 64), a pixel of white between them."""
    return np.block([[np.pad(image.reshape(SIDE, SIDE), 1) for image in row] for row in rows])


@house_style
def _picture(rows: list[np.ndarray], labels: list[str], height: float) -> Figure:
    figure = new_figure(height)
    axes = figure.subplots()
    axes.imshow(_tiles(rows), **_GREYS)
    axes.set_yticks([(SIDE + 2) * (index + 0.5) - 0.5 for index in range(len(labels))], labels)
    axes.set_xticks([])
    axes.tick_params(length=0)
    axes.grid(False)
    for spine in axes.spines.values():
        spine.set_visible(False)
    return figure


def _denoised(images: Images, sigma: float) -> Exhibit:
    experiment = f"{DENOISING}, sigma {sigma}"
    kept = [NOISY, WIENER, *KINDS, "truth"]
    labels = {NOISY: "noisy", WIENER: "Wiener", HIDDEN: "quartic + hidden"}
    psnrs = {row: _made(images.find(experiment, row, PSNR)) for row in kept[:-1]}
    figure = _picture(
        [images.shown[experiment, row][:SHOWN] for row in kept],
        [labels.get(row, row) + (f"\n{psnrs[row]:.2f} dB" if row in psnrs else "") for row in kept],
        4.3,
    )
    return Exhibit(
        f"denoised-{sigma}".replace(".", "-"),
        f"Noise of {sigma}",
        figure,
        f"The first {SHOWN} held-out digits. PSNR over all of them.",
    )


def _generated(images: Images) -> Exhibit:
    made = images.shown[GENERATION, SUBSTRATE]
    rows = [made[images.labels == label][:PER_CLASS] for label in range(CLASSES)]
    result = images.find(GENERATION, SUBSTRATE, RECOGNISED)
    return Exhibit(
        "generated",
        "Generated digits",
        _picture(rows, [str(label) for label in range(CLASSES)], 8.0),
        f"The first of each class as they came; {_made(result):.1f} % of all {len(images.labels):,} are "
        "recognised.",
    )


def _real(images: Images) -> Exhibit:
    figure = _picture(
        [
            images.shown[GENERATION, row][: 2 * CLASSES].reshape(2, CLASSES, -1)[part]
            for row in (SUBSTRATE, MATCHED, GAUSSIAN, REAL)
            for part in (0, 1)
        ],
        [
            label
            for row in ("substrate", "Gaussian, shrunk", "Gaussian", "real")
            for label in (row, "")
        ],
        6.8,
    )
    return Exhibit("beside", "Beside the baselines", figure, "Two of each class, 0 to 9.")


@house_style
def _gains(images: Images) -> Exhibit:
    figure = new_figure(2.9)
    for axes, sigma in zip(figure.subplots(1, len(SIGMAS), sharey=True), SIGMAS, strict=True):
        experiment = f"{DENOISING}, sigma {sigma}"
        shown = [
            result
            for result in images.results
            if result.experiment == experiment
            and result.quantity == GAIN
            and result.row not in (NOISY, WIENER)
            and "zeroed" not in result.row
        ]
        colours = [BLUE if result.gateware is not None else GREY for result in shown]
        places = np.arange(len(shown))[::-1]
        axes.barh(
            places,
            [_made(result) for result in shown],
            0.62,
            color=colours,
            xerr=[result.error for result in shown],
            error_kw={"ecolor": INK, "elinewidth": 1},
        )
        for place, result in zip(places, shown, strict=True):
            if result.reference is not None:
                axes.plot([result.reference] * 2, [place - 0.4, place + 0.4], color=ORANGE)
        axes.axvline(0, color=INK, linewidth=0.8)
        axes.set_yticks(places, [sentence(result.row) for result in shown])
        axes.grid(axis="y", visible=False)
        axes.set_xlabel("dB above the Wiener filter")
        axes.set_title(f"Noise {sigma}")
    return Exhibit(
        "gains",
        "Above the Wiener filter",
        figure,
        "Blue: the device; grey: digital networks; orange: what a float64 prototype reached. Bars: standard "
        "error of the difference.",
    )

# SPDX-License-Identifier: Apache-2.0
"""Tables, figures and the page of ``ornstein images``."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ornstein.host.experiments.common import Experiment, Result
from ornstein.host.experiments.images.denoising import (
    CYCLES,
    DIGITAL,
    GAIN,
    NOISY,
    PARAMETERS,
    PSNR,
    SUBSTRATE,
    TRUTH,
    WIENER,
    ZEROED,
)
from ornstein.host.experiments.images.digits import CLASSES, SIDE
from ornstein.host.experiments.images.generation import (
    GAUSSIAN,
    MATCHED,
    NARROW,
    NEAREST,
    REAL,
    RECOGNISED,
    SPREAD,
)
from ornstein.host.experiments.images.generation import SUBSTRATE as GENERATED
from ornstein.host.experiments.images.parameters import HIDDEN, KINDS, QUARTIC
from ornstein.host.experiments.images.run import Images
from ornstein.host.experiments.prose import Prose
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

PROSE = Prose("ornstein.host.experiments.images")
SHOWN = 12
"""Denoised images in a row."""
PER_CLASS = 10
"""Generated images of each class that are shown."""
DENOISING_COLUMNS = (
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
)
GENERATION_COLUMNS = (
    "source",
    "recognised %,\nfloat64",
    "recognised %,\ndevice",
    "+-",
    "spread\nwithin a class",
    "distance to\nnearest training",
    "cycles\nan image",
)


def write_images_page(images: Images, folder: Path) -> Path:
    """Writes report.html and figures/*.png into ``folder``, which is made if need be.

    Returns
    -------
    Path of the page
    """
    gains, *generated = conclusions(images)
    levels = images.denoising.items()
    sections = [
        Section(
            "Denoising",
            [PROSE("denoising"), gains],
            [denoising_grid(images)],
            [_gains(images), *(_denoised(sigma, experiment) for sigma, experiment in levels)],
        ),
        Section(
            "Generation from noise",
            [PROSE("generation"), *generated],
            [generation_grid(images)],
            [_generated(images), _beside_baselines(images.generation)],
        ),
    ]
    return write_page(
        folder, "Images on the fabric", PROSE("summary", device=images.device), sections
    )


# ---- tables and sentences ------------------------------------------------------------------------


def denoising_grid(images: Images) -> Grid:
    """Returns a table with a line for each method and noise level."""
    rows = [
        _denoising_cells(sigma, experiment, result)
        for sigma, experiment in images.denoising.items()
        for result in experiment.select(PSNR)
    ]
    return Grid(PROSE("denoising_table"), DENOISING_COLUMNS, rows)


def _denoising_cells(sigma: float, experiment: Experiment, result: Result) -> tuple:
    """Returns the cells under `DENOISING_COLUMNS`."""
    gain = experiment.find(GAIN, result.row)
    return (
        f"{sigma}",
        result.row,
        _count(experiment, PARAMETERS, result.row),
        result.reference,
        _rounded(result.float64, 2),
        _rounded(result.gateware, 2),
        _rounded(result.error, 2),
        round(shown(gain), 2),
        _rounded(gain.error, 2),
        _count(experiment, CYCLES, result.row),
    )


def generation_grid(images: Images) -> Grid:
    """Returns a table with a line for each source of images."""
    experiment = images.generation
    rows = [
        (
            result.row,
            _rounded(result.float64, 1),
            _rounded(result.gateware, 1),
            _rounded(result.error, 1),
            round(shown(experiment.find(SPREAD, result.row)), 3),
            round(shown(experiment.find(NEAREST, result.row)), 3),
            _count(experiment, CYCLES, result.row),
        )
        for result in experiment.select(RECOGNISED)
    ]
    return Grid(PROSE("generation_table", total=len(images.labels)), GENERATION_COLUMNS, rows)


def conclusions(images: Images) -> list[str]:
    """Returns what the numbers say in three paragraphs: denoising, recognition and diversity."""
    levels = [
        {
            "sigma": sigma,
            "quartic": _gain(experiment, QUARTIC),
            "hidden": _gain(experiment, HIDDEN),
            "zeroed": _gain(experiment, ZEROED),
        }
        for sigma, experiment in images.denoising.items()
    ]

    def found(quantity: str, row: str) -> float:
        return shown(images.generation.find(quantity, row))

    return [
        PROSE("gains", levels=levels),
        PROSE(
            "recognised",
            substrate=found(RECOGNISED, GENERATED),
            narrow=found(RECOGNISED, NARROW),
            real=found(RECOGNISED, REAL),
        ),
        PROSE(
            "diversity",
            spread=found(SPREAD, GENERATED),
            real_spread=found(SPREAD, REAL),
            gaussian_spread=found(SPREAD, GAUSSIAN),
            recognised=found(RECOGNISED, GAUSSIAN),
            matched_recognised=found(RECOGNISED, MATCHED),
            matched_nearest=found(NEAREST, MATCHED),
            nearest=found(NEAREST, GENERATED),
        ),
    ]


def shown(result: Result) -> float:
    """Returns the device's number, or float64's where nothing ran on the device."""
    value = result.float64 if result.gateware is None else result.gateware
    assert value is not None  # each result has one of the two
    return value


def _gain(experiment: Experiment, row: str) -> dict[str, float | None]:
    """Returns the gain of a row over the Wiener filter and its error, in dB."""
    result = experiment.find(GAIN, row)
    return {"value": shown(result), "error": result.error}


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)


def _count(experiment: Experiment, quantity: str, row: str) -> int | None:
    """Returns a whole number of a row, None if the row has no such quantity."""
    results = experiment.select(quantity, row)
    return round(shown(results[0])) if results else None


# ---- figures -------------------------------------------------------------------------------------


def _tiles(rows: list[np.ndarray]) -> np.ndarray:
    """Returns one picture of rows of images (n, 64), with a border of one pixel around each."""
    return np.block([[np.pad(image.reshape(SIDE, SIDE), 1) for image in row] for row in rows])


@house_style
def _picture(rows: list[np.ndarray], labels: list[str], height: float) -> Figure:
    """Draws rows of images (n, 64) with a label on each row."""
    figure = new_figure(height)
    axes = figure.subplots()
    axes.imshow(_tiles(rows), cmap="gray_r", vmin=0, vmax=1, interpolation="nearest")
    axes.set_yticks([(SIDE + 2) * (index + 0.5) - 0.5 for index in range(len(labels))], labels)
    axes.set_xticks([])
    axes.tick_params(length=0)
    axes.grid(False)
    for spine in axes.spines.values():
        spine.set_visible(False)
    return figure


def _denoised(sigma: float, experiment: Experiment) -> Exhibit:
    """Draws digits with noise, denoised in each way, and without noise."""
    names = {NOISY: "noisy", WIENER: "Wiener", HIDDEN: "quartic + hidden"}
    rows = [NOISY, WIENER, *KINDS]
    labels = [f"{names.get(row, row)}\n{shown(experiment.find(PSNR, row)):.2f} dB" for row in rows]
    pictures = [experiment.arrays[row][:SHOWN] for row in (*rows, TRUTH)]
    return Exhibit(
        f"denoised-{sigma}".replace(".", "-"),
        f"Noise of {sigma}",
        _picture(pictures, [*labels, TRUTH], 4.3),
        PROSE("denoised", count=SHOWN),
    )


def _generated(images: Images) -> Exhibit:
    """Draws generated digits, a row for each class."""
    made = images.generation.arrays[GENERATED]
    rows = [made[images.labels == label][:PER_CLASS] for label in range(CLASSES)]
    percentage = shown(images.generation.find(RECOGNISED, GENERATED))
    return Exhibit(
        "generated",
        "Generated digits",
        _picture(rows, [str(label) for label in range(CLASSES)], 8.0),
        PROSE("generated", percentage=percentage, total=len(images.labels)),
    )


def _beside_baselines(experiment: Experiment) -> Exhibit:
    """Draws two digits of each class from each source."""
    names = {
        GENERATED: "substrate",
        MATCHED: "Gaussian, shrunk",
        GAUSSIAN: "Gaussian",
        REAL: "real",
    }
    rows, labels = [], []
    for row, name in names.items():
        first = experiment.arrays[row][: 2 * CLASSES]
        rows += [first[:CLASSES], first[CLASSES:]]
        labels += [name, ""]
    return Exhibit("beside", "Beside the baselines", _picture(rows, labels, 6.8), PROSE("beside"))


@house_style
def _gains(images: Images) -> Exhibit:
    """Draws the gains over the Wiener filter, a panel for each noise level."""
    figure = new_figure(2.9)
    panels = figure.subplots(1, len(images.denoising), sharey=True)
    for axes, (sigma, experiment) in zip(panels, images.denoising.items(), strict=True):
        _gain_bars(axes, experiment)
        axes.set_title(f"Noise {sigma}")
    return Exhibit("gains", "Above the Wiener filter", figure, PROSE("above_wiener"))


def _gain_bars(axes: Axes, experiment: Experiment) -> None:
    """Draws a bar for each substrate and digital network, and a tick at its reference."""
    results = [result for result in experiment.select(GAIN) if result.case in (DIGITAL, SUBSTRATE)]
    heights = np.arange(len(results))[::-1]
    axes.barh(
        heights,
        [shown(result) for result in results],
        0.62,
        color=[GREY if result.gateware is None else BLUE for result in results],
        xerr=[result.error for result in results],
        error_kw={"ecolor": INK, "elinewidth": 1},
    )
    for height, result in zip(heights, results, strict=True):
        if result.reference is not None:
            axes.plot([result.reference] * 2, [height - 0.4, height + 0.4], color=ORANGE)
    axes.axvline(0, color=INK, linewidth=0.8)
    axes.set_yticks(heights, [sentence(result.row) for result in results])
    axes.grid(axis="y", visible=False)
    axes.set_xlabel("dB above the Wiener filter")

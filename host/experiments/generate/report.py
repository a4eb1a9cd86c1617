# SPDX-License-Identifier: Apache-2.0
"""Pages, tables and figures of ``ornstein generate``."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from ornstein.host.experiments.generate.benchmark import (
    GAUSSIAN,
    NOISE,
    OURS,
    REAL,
    UNCLIPPED,
    UNET,
    WHITELAM,
    Benchmark,
)
from ornstein.host.experiments.generate.run import HOST, Generated
from ornstein.host.experiments.generate.scores import CONFIDENT, COPY
from ornstein.host.pages.page import (
    BLUE,
    GREY,
    ORANGE,
    Exhibit,
    Grid,
    Section,
    house_style,
    new_figure,
    write_page,
)

TITLE = "Digits from noise, the decoder on the substrate"
COLUMNS = (
    "images from",
    "rank",
    "device",
    "images",
    "distance",
    "±",
    "in pixels",
    "±",
    "recognised",
    "imbalance",
    "nearest",
    "copies",
    "cycles",
    "host products",
)
ACROSS = 16
"""Images in a line of a sheet."""
ZOOM = 4
"""Dots of a sheet per edge of a pixel."""
SHOWN = 10
"""Images of a row in the picture of the benchmark."""
DISTANCE_BAR, GAUSSIAN_BAR = 1.7, 0.5
"""Our distance should be at most so many times the U-Net's and the Gaussian's."""
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
    return picture.repeat(ZOOM, axis=0).repeat(ZOOM, axis=1)


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


def write_benchmark_page(benchmark: Benchmark, folder: Path) -> Path:
    """Write report.html and figures/*.png of the benchmark into ``folder``; the page's path."""
    summary = (
        f"Fréchet distances to the training digits of {benchmark.count} images a row. Ours: the "
        "encoders and the head of a network on the host, its decoder a substrate that it was "
        "trained with."
    )
    section = Section(
        "Generators compared",
        conclusions(benchmark),
        [table(benchmark)],
        [_picture(benchmark), _distances(benchmark)],
    )
    return write_page(folder, TITLE, summary, [section])


def conclusions(benchmark: Benchmark) -> list[str]:
    """What the table says, in sentences computed from it."""
    unet, gaussian = benchmark.find(UNET).scores, benchmark.find(GAUSSIAN).scores
    sentences = [
        "The distance is that of two Gaussians with the means and covariances of the images and of "
        "the training digits, in the 64 hidden features of a classifier that finds "
        f"{benchmark.accuracy:.1%} of the held-out digits, or in pixels. The Gaussian has the "
        "moments of the pixels by construction, so only the features tell it from digits; clipped "
        "to the range of a pixel, as all images are, it loses a part of them.",
    ]
    for rank in benchmark.ranks:
        ours = benchmark.find(OURS, rank).scores
        to_unet, to_gaussian = ours.distance / unet.distance, ours.distance / gaussian.distance
        met = to_unet <= DISTANCE_BAR and to_gaussian <= GAUSSIAN_BAR
        sentences.append(
            f"Rank {rank}: {to_unet:.2f} times the distance of the U-Net and {to_gaussian:.2f} "
            f"times that of the Gaussian; the bars are {DISTANCE_BAR} and {GAUSSIAN_BAR}, "
            f"{'both met' if met else 'not both met'}."
        )
    differences = benchmark.differences.items()
    rank = min(benchmark.ranks)
    host, thermal = benchmark.find(OURS, rank), benchmark.find(NOISE, rank)
    whole = benchmark.find(UNET)
    sentences += [
        f"For a pixel and a noise level the host multiplies {host.multiplications or 0:,} times in "
        f"the encoders and the head; the whole U-Net takes {whole.multiplications or 0:,} "
        "multiplications. Normalisations are left out.",
        "With the noise of all steps from uncoupled units at a temperature, the host draws no "
        f"random number and saves {host.host_bits or 0:,} random bits an image; the distance at "
        f"rank {rank} is {thermal.scores.distance:.2f} instead of {host.scores.distance:.2f}.",
        f"Recognised is an image to which the classifier gives a class with a probability of "
        f"{CONFIDENT:g} or more; imbalance is the total variation distance between the shares of "
        "the classes and those of training. Nearest is the distance to the nearest training digit, "
        f"and a copy is nearer to one than {100 - COPY:g} % of the held-out digits are.",
        f"Gateware and integer model made the same image: {benchmark.checked:,} relaxations. "
        f"Integer model and closed form made {benchmark.compared} images that differ by at most "
        + ", ".join(f"{d:.4f} of a pixel's range at rank {r}" for r, d in differences)
        + ".",
    ]
    return sentences


def table(benchmark: Benchmark) -> Grid:
    """All rows."""
    rows = [
        (
            row.what,
            None if row.rank is None else str(row.rank),
            row.device,
            row.scores.images,
            round(row.scores.distance, 2),
            round(row.scores.distance_error, 2),
            round(row.scores.pixel_distance, 2),
            round(row.scores.pixel_error, 2),
            f"{row.scores.recognised:.0%}",
            round(row.scores.imbalance, 2),
            round(row.scores.nearest, 3),
            f"{row.scores.copies:.1%}",
            row.cycles,
            row.multiplications,
        )
        for row in benchmark.rows
    ]
    return Grid("Distances, their standard errors by bootstrap, and what was made", COLUMNS, rows)


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


@house_style
def _picture(benchmark: Benchmark) -> Exhibit:
    """The first images of every row."""
    rows = list(benchmark.pictures.items())
    figure = new_figure(0.72 * len(rows))
    axes = figure.subplots(len(rows), SHOWN, squeeze=False)
    for line, ((what, rank), images) in zip(axes, rows, strict=True):
        for axis in line:
            axis.set_xticks([])
            axis.set_yticks([])
            axis.spines[:].set_visible(False)
        for axis, image in zip(line, images, strict=False):
            axis.imshow(image, **_GREYS)
        label = what if rank is None else f"{what},\nrank {rank}"
        line[0].set_ylabel(label, rotation=0, ha="right", va="center", labelpad=10)
    caption = f"The first {SHOWN} images of every row, none chosen."
    return Exhibit("generated", "What each of them makes", figure, caption)


@house_style
def _distances(benchmark: Benchmark) -> Exhibit:
    """Bars of the Fréchet distances in features."""
    plain = (REAL, UNET, WHITELAM, GAUSSIAN, UNCLIPPED)
    colours = {**dict.fromkeys(plain, GREY), OURS: BLUE}
    figure: Figure = new_figure(3.6)
    axis = figure.subplots()
    names = [
        row.what if row.rank is None else f"{row.what}, rank {row.rank}" for row in benchmark.rows
    ]
    axis.barh(
        names,
        [row.scores.distance for row in benchmark.rows],
        xerr=[row.scores.distance_error for row in benchmark.rows],
        color=[colours.get(row.what, ORANGE) for row in benchmark.rows],
        ecolor="black",
    )
    limit = DISTANCE_BAR * benchmark.find(UNET).scores.distance
    axis.axvline(limit, color=BLUE, linestyle="--", linewidth=1)
    axis.set_xscale("log")
    axis.invert_yaxis()
    axis.set_xlabel("Fréchet distance to the training digits, in features")
    caption = f"The dashed line is {DISTANCE_BAR} times the U-Net's distance, {limit:.2f}."
    return Exhibit("distances", "Fréchet distances", figure, caption)

# SPDX-License-Identifier: Apache-2.0
"""Table, figures and page of ``ornstein denoise --benchmark``."""

from pathlib import Path

from matplotlib.figure import Figure

from ornstein.host.experiments.denoise.run import (
    BOARD_MHZ,
    BOARD_WATTS,
    LINEAR,
    NO_SKIPS,
    NOISY,
    SUBSTRATE,
    UNET,
    WIENER,
    Benchmark,
    Row,
)
from ornstein.host.pages.page import (
    BLUE,
    GREY,
    INK,
    ORANGE,
    PURPLE,
    Exhibit,
    Grid,
    Section,
    house_style,
    new_figure,
    write_page,
)

COLUMNS = ("what decodes", "rank", "device", "PSNR / dB", "±", "SSIM", "cycles", "mJ at most")
_GREYS = {"cmap": "gray_r", "vmin": 0, "vmax": 1, "interpolation": "nearest"}


def write_denoise_page(benchmark: Benchmark, folder: Path) -> Path:
    """Write report.html and figures/*.png into ``folder``; the path of the page."""
    summary = (
        f"{benchmark.rows[0].images} held-out digits under Gaussian noise of sigma = "
        f"{benchmark.sigma:g}. The encoder and the head of the trained network run on the host, "
        f"its decoder relaxes on the fabric {benchmark.fabric} with no digital weight: "
        f"{benchmark.share:.0%} of the network's multiplications are the substrate's."
    )
    paragraphs = [
        "Every pixel is one relaxation. The features of the three encoder blocks at that pixel "
        "drive the encoder modules, the couplings carry them to the decoder module, and the "
        "network's own head turns the relaxed decoder into the image.",
        f"A relaxation takes {benchmark.steps} time steps, the one that is read included; no "
        f"sequence of time steps needs fewer than {benchmark.chebyshev_steps} (Chebyshev's bound).",
        "At zero temperature a harmonic substrate answers with a linear map, so it cannot beat the "
        "linear map of its rank, which is the bound in this table; the distance to the U-Net is "
        "what the decoder's nonlinearity is worth.",
        f"Energy is an upper bound and modelled, not measured: cycles at {BOARD_MHZ:g} MHz times "
        f"the {BOARD_WATTS:g} W that a USB port gives the board.",
    ]
    picture = _picture(benchmark)
    section = Section(
        "Images out of a trained network",
        paragraphs,
        [table(benchmark)],
        [picture, _by_rank(benchmark)],
    )
    return write_page(folder, "Denoising with the decoder on the substrate", summary, [section])


def table(benchmark: Benchmark) -> Grid:
    """All rows of the benchmark."""
    return table_of(f"Held-out digits, sigma = {benchmark.sigma:g}", benchmark.rows)


def table_of(title: str, scored: list[Row]) -> Grid:
    """Any rows."""
    rows = [
        (
            row.what,
            None if row.rank is None else str(row.rank),
            row.device,
            round(row.psnr, 2),
            None if row.psnr_error is None else round(row.psnr_error, 2),
            round(row.ssim, 4),
            row.cycles,
            None if row.joules is None else round(1e3 * row.joules, 1),
        )
        for row in scored
    ]
    return Grid(title, COLUMNS, rows)


def _ranks(benchmark: Benchmark, what: str) -> list[tuple[int, float]]:
    """(rank, PSNR) of the rows of that name on the device for whole batches."""
    count = benchmark.rows[0].images
    found = {r.rank: r.psnr for r in benchmark.rows if r.what == what and r.images == count}
    return sorted((rank, value) for rank, value in found.items() if rank is not None)


@house_style
def _picture(benchmark: Benchmark) -> Exhibit:
    """Noisy, substrate, network and clean images, one above the other."""
    best = max(rank for rank, _ in _ranks(benchmark, SUBSTRATE))
    rows = [
        (NOISY, NOISY),
        (f"substrate,\nrank {best}", f"{SUBSTRATE} {best}"),
        ("U-Net", UNET),
        ("clean", "clean"),
    ]
    count = len(benchmark.pictures["clean"])
    figure = new_figure(4.6)
    axes = figure.subplots(len(rows), count, squeeze=False)
    for line, (label, key) in zip(axes, rows, strict=True):
        for axis, image in zip(line, benchmark.pictures[key], strict=True):
            axis.imshow(image, **_GREYS)
            axis.set_xticks([])
            axis.set_yticks([])
            axis.spines[:].set_visible(False)
        line[0].set_ylabel(label, rotation=0, ha="right", va="center", labelpad=10)
    found, network = benchmark.find(SUBSTRATE, best).psnr, benchmark.find(UNET).psnr
    caption = (
        f"Mean over all held-out images: noisy {benchmark.find(NOISY).psnr:.2f} dB, substrate of "
        f"rank {best} {found:.2f} dB, the U-Net itself {network:.2f} dB."
    )
    return Exhibit("denoised", "Noisy, substrate, U-Net, clean", figure, caption)


@house_style
def _by_rank(benchmark: Benchmark) -> Exhibit:
    """PSNR over the rank, beside the rows that have none."""
    figure: Figure = new_figure(3.4)
    axis = figure.subplots()
    for what, colour, marker in (
        (SUBSTRATE, BLUE, "o"),
        (LINEAR, INK, "x"),
        ("without e1", ORANGE, "v"),
        ("without e2", PURPLE, "^"),
        (NO_SKIPS, GREY, "s"),
    ):
        points = _ranks(benchmark, what)
        axis.plot(*zip(*points, strict=True), color=colour, marker=marker, label=what)
    # the lines of the U-Net and of the Wiener filter may lie close together
    for what, label, x, side in (
        (UNET, "U-Net", 1.0, "right"),
        (WIENER, "Wiener filter", 0.0, "left"),
        (NOISY, "noisy", 1.0, "right"),
    ):
        value = benchmark.find(what).psnr
        axis.axhline(value, color=GREY, linestyle="--", linewidth=1)
        axis.annotate(label, (x, value), xycoords=("axes fraction", "data"), ha=side, va="bottom")
    ranks = [rank for rank, _ in _ranks(benchmark, SUBSTRATE)]
    axis.set_xscale("log", base=2)
    axis.set_xticks(ranks, [str(rank) for rank in ranks])
    axis.set_xlabel("rank of the coupling")
    axis.set_ylabel("PSNR / dB")
    axis.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))
    (_, low), *others = _ranks(benchmark, SUBSTRATE)
    reached = f"rises from {low:.2f} to {others[-1][1]:.2f}" if others else f"reaches {low:.2f}"
    without = _ranks(benchmark, NO_SKIPS)[-1][1]
    caption = (
        f"The substrate {reached} dB with its rank; with the bottleneck alone, no skip, it stays "
        f"at {without:.2f} dB."
    )
    return Exhibit("by_rank", "What the rank and the skips are worth", figure, caption)

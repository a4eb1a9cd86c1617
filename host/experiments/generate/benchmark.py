# SPDX-License-Identifier: Apache-2.0
"""The benchmark of ``ornstein generate``: Fréchet distances of generators to the training digits.

All rows have the same number of images, because a Fréchet distance of few images is larger; only
the held-out digits are as many as there are.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field

import numpy as np

from ornstein.host.devices.comparison import ModelMismatchError
from ornstein.host.experiments.common import Runner
from ornstein.host.experiments.generate.run import (
    EXACT,
    HOST,
    SUBSTRATE,
    Generated,
    calibration_features,
    fitting_program,
    generate,
    generate_on_host,
    with_skips,
)
from ornstein.host.experiments.generate.scores import ImageScores, Judge
from ornstein.host.experiments.images.digits import CLASSES
from ornstein.host.experiments.images.digits import SIDE as WHITELAM_SIDE
from ornstein.host.experiments.images.parameters import Parameters
from ornstein.host.models.data import Images, resize
from ornstein.host.models.diffusion import SIDE, Diffusion
from ornstein.host.models.noise_levels import noise_levels

REAL, UNET, OURS = "held-out digits", "U-Net", "substrate"
NOISE, NO_SKIPS, ZEROED = "noise from the substrate", "bottleneck only", "couplings zeroed"
WHITELAM = "Whitelam's generator, by class"
GAUSSIAN, UNCLIPPED = "Gaussian", "Gaussian, not clipped"
"""Rows."""
COMPARED = 64
"""Images of a row that are made again, in closed form or on the integer model."""
SHOWN = 64
"""Images of a row that are kept for the picture."""

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Row:
    """One source of images; None where a column does not apply.

    Attributes
    ----------
    what : the source
    rank : modes of the coupling
    device : URI of the device that decoded; None on the host
    scores : see :class:`ornstein.host.experiments.generate.scores.ImageScores`
    cycles : clock cycles of one image by the schedule
    clipped : features beyond the range of the program's inputs
    host_bits : random bits that the host drew for one image
    multiplications : of the host's network, for a pixel and a noise level
    """

    what: str
    rank: int | None
    device: str | None
    scores: ImageScores
    cycles: int | None = None
    clipped: int | None = None
    host_bits: int | None = None
    multiplications: int | None = None


@dataclass
class Benchmark:
    """All rows, and the first images of each by its name and rank.

    Attributes
    ----------
    count : images of every row but the held-out digits
    accuracy : of the classifier on the held-out digits
    checked : pixels and levels of one image for which gateware equals the integer model
    differences : by rank, the largest difference of a pixel between the integer model and the
        closed form, over ``compared`` images
    """

    count: int
    accuracy: float
    checked: int = 0
    compared: int = 0
    differences: dict[int, float] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    pictures: dict[tuple[str, int | None], np.ndarray] = field(default_factory=dict)

    def results(self) -> list[dict]:
        """The rows as results.json holds them."""
        return [
            {
                **{name: value for name, value in asdict(row).items() if name != "scores"},
                **asdict(row.scores),
            }
            for row in self.rows
        ]

    def find(self, what: str, rank: int | None = None) -> Row:
        """The first row of that name and rank. KeyError if there is none."""
        for row in self.rows:
            if row.what == what and rank in (None, row.rank):
                return row
        raise KeyError((what, rank))

    @property
    def ranks(self) -> list[int]:
        """Ranks of the rows :data:`OURS`, in their order."""
        return [row.rank for row in self.rows if row.what == OURS and row.rank is not None]


def run_benchmark(
    unet: Diffusion,
    ours: dict[int, Diffusion],
    data: Images,
    *,
    count: int,
    device: str = "model",
    noise_device: str = "model",
    gateware: str = "rtl",
    seed: int = 1,
    progress: Progress | None = None,
) -> Benchmark:
    """Scores every source of images.

    Parameters
    ----------
    unet, ours : models trained in the same way, ours by rank in rising order
    count : images of a row
    device : URI of the device of our rows; the rows with zeroed couplings are in closed form
    noise_device : URI of the device whose temperature makes noise
    gateware : URI of the device that makes one image, compared with the integer model
    progress : told (what, done, in all)

    Raises
    ------
    ModelMismatchError
        The image of the gateware is not that of the integer model.
    ProgramError
        A program does not fit.
    """
    judge = Judge(data)
    benchmark = Benchmark(count, judge.accuracy)
    say = progress or (lambda what, done, total: None)

    def add(
        what: str,
        images: np.ndarray,
        model: Diffusion | None = None,
        made: Generated | None = None,
        clip: bool = True,
    ) -> None:
        columns = (made.cycles, made.clipped, made.host_bits) if made else (None, None, None)
        rank, uri = (made.rank, made.device) if made else (None, None)
        work = sum(model.network.multiplications().values()) if model else None
        scores = judge.scores(images, clip=clip)
        benchmark.rows.append(Row(what, rank, uri, scores, *columns, work))
        benchmark.pictures[what, rank] = np.clip(images[:SHOWN], 0, 1)

    def ours_as(what: str, model: Diffusion, uri: str, noise: str = HOST) -> np.ndarray:
        made = generate(
            model,
            uri,
            count=count,
            noise=noise,
            noise_device=noise_device,
            seed=seed,
            progress=_named(say, what, model),
        )
        add(what, made.images, model, made)
        return made.images

    add(REAL, data.test)
    add(UNET, generate_on_host(unet, count, seed, _named(say, UNET, unet)), unet)
    benchmark.compared = min(count, COMPARED)
    other = "model" if device.startswith("float") else EXACT
    for rank, model in ours.items():
        images = ours_as(OURS, model, device)[:COMPARED]
        again = generate(
            model,
            other,
            count=benchmark.compared,
            seed=seed,
            progress=_named(say, f"{OURS} on {other}", model),
        )
        benchmark.differences[rank] = float(np.abs(again.images - images).max())
    smallest = ours[min(ours)]
    ours_as(NOISE, smallest, device, SUBSTRATE)
    ours_as(NO_SKIPS, with_skips(smallest, ("bottleneck",)), EXACT)
    ours_as(ZEROED, with_skips(smallest, ()), EXACT)
    add(WHITELAM, whitelam_digits(count, seed))
    gaussian = gaussian_digits(data, count, seed)
    add(GAUSSIAN, gaussian)
    add(UNCLIPPED, gaussian, clip=False)
    benchmark.checked = check_gateware(smallest, gateware, seed)
    return benchmark


def whitelam_digits(count: int, seed: int) -> np.ndarray:
    """Digits (count, side, side) of the generator of ``ornstein images``, classes in turn.

    It makes 8 x 8 pixels, on the integer model, which are enlarged as the training digits are.
    """
    generator = Parameters.load().generator
    inputs = generator.inputs(np.arange(count) % CLASSES)
    with Runner("model", seed) as runner:
        run = runner.run(generator.problem(), inputs, generator.inputs(np.arange(70) % CLASSES))
    return resize(run.answers.reshape(count, WHITELAM_SIDE, WHITELAM_SIDE), SIDE)


def gaussian_digits(data: Images, count: int, seed: int) -> np.ndarray:
    """Draws (count, side, side) from the Gaussian of the training digits' mean and covariance."""
    rows = data.train.reshape(len(data.train), -1)
    rng = np.random.default_rng(seed)
    drawn = rng.multivariate_normal(rows.mean(axis=0), np.cov(rows.T), count, method="eigh")
    return drawn.reshape(count, *data.train.shape[1:])


def check_gateware(model: Diffusion, gateware: str, seed: int) -> int:
    """Makes one image on gateware and on the integer model; the pixels, each counted once a level.

    Raises ModelMismatchError if they differ.
    """
    features = calibration_features(model, noise_levels())
    uri, program = fitting_program(model, gateware, features)
    made = generate(model, uri, count=1, seed=seed)
    expected = generate(model, f"model:{program.config.name}", count=1, seed=seed)
    if not np.array_equal(made.images, expected.images):
        difference = float(np.abs(made.images - expected.images).max())
        raise ModelMismatchError(
            f"{made.device} and {expected.device} made different images, up to {difference:.3g} "
            "of a pixel's range apart; run ornstein doctor"
        )
    return len(made.levels) * made.images.size


def _named(say: Progress, what: str, model: Diffusion) -> Progress:
    """Reports the progress of a row under its own name."""
    rank = "" if model.coupling is None else f", rank {model.coupling.rank}"
    return lambda _, done, total: say(f"{what}{rank}", done, total)

# SPDX-License-Identifier: Apache-2.0
"""The benchmark of ``ornstein denoise``: a network with its decoder on the substrate, in dB.

Held-out digits of the default data, under Gaussian noise. Every row is scored by the peak
signal-to-noise ratio and the structural similarity of scikit-image. The network's own encoder and
head are the same in all rows; what differs is what decodes.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field

import numpy as np
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from ornstein.boards.baseline import baseline
from ornstein.hdl.config import FabricConfig, preset
from ornstein.host.devices.comparison import check_equals_model
from ornstein.host.devices.device import open_device, prediction_only
from ornstein.host.experiments.denoise.decoder import SubstrateDecoder
from ornstein.host.experiments.images.baselines import wiener
from ornstein.host.models.data import Images, add_noise, digits
from ornstein.host.models.decoder_moments import DecoderMoments
from ornstein.host.models.network import DECODER_BLOCKS, SKIPS, Network

FABRIC = "ulx3s"
"""The fabric whose memories hold all three skips of the default network: 512 units at rank 64."""
RANKS = (16, 32, 64)
TEST_NOISE_SEED, CALIBRATION_SEED = 1002, 1003
CALIBRATION_IMAGES = 4
"""Training images whose pixels set the ranges of the program's formats."""
SHOWN = 8
"""Images of the picture."""
BOARD_MHZ = baseline()["boards"]["ulx3s"]["target_mhz"]
"""Clock of the ULX3S's fabric."""
BOARD_WATTS = 2.5
"""Upper bound of the board's power: 500 mA at 5 V, what a USB 2.0 port gives (USB 2.0, 7.2.1)."""
NOISY, WIENER, UNET, LINEAR = "noisy", "wiener", "unet", "linear map"
SUBSTRATE, NO_SKIPS, ZEROED = "substrate", "no skips", "couplings zeroed"

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Row:
    """One line of the table; None where a column does not apply.

    Attributes
    ----------
    what : what denoised, or decoded
    rank : modes of the coupling or of the linear map
    device : URI of the device; None in float64 on the host
    psnr, ssim : mean over the images, in dB and from -1 to 1
    psnr_error : standard error of ``psnr`` over the images
    cycles : of the fabric's clock for one image, by the schedule on a model, counted on gateware
    joules : upper bound for one image on the board: cycles at its clock times a USB port's power
    images : images that were scored
    clipped : features beyond the range of the program's inputs, which were clipped
    """

    what: str
    rank: int | None
    device: str | None
    psnr: float
    ssim: float
    psnr_error: float | None
    cycles: int | None = None
    joules: float | None = None
    images: int | None = None
    clipped: int | None = None


@dataclass
class Benchmark:
    """All rows, what they say of the arithmetic, and the images of the picture.

    Attributes
    ----------
    rows : the table
    share : share of the network's multiplications that the substrate took over
    pictures : (n, height, width) by the name of the row
    steps : time steps of one relaxation, and ``chebyshev_steps``, the fewest possible
    """

    sigma: float
    fabric: str
    share: float
    steps: int
    chebyshev_steps: int
    rows: list[Row] = field(default_factory=list)
    pictures: dict[str, np.ndarray] = field(default_factory=dict)

    def results(self) -> list[dict]:
        """The rows as results.json holds them."""
        return [asdict(row) for row in self.rows]

    def find(self, what: str, rank: int | None = None, device: str | None = None) -> Row:
        """The first row of that name, rank and device. KeyError if there is none."""
        for row in self.rows:
            if row.what == what and rank in (None, row.rank) and device in (None, row.device):
                return row
        raise KeyError((what, rank, device))


def psnr(images: np.ndarray, clean: np.ndarray) -> np.ndarray:
    """(n,) peak signal-to-noise ratio in dB of images with a range of 1, grey (n, height, width) or
    of several channels (n, channels, height, width).
    """
    pairs = zip(images, clean, strict=True)
    return np.array([peak_signal_noise_ratio(c, i, data_range=1.0) for i, c in pairs])


def ssim(images: np.ndarray, clean: np.ndarray) -> np.ndarray:
    """(n,) structural similarity of images as :func:`psnr` takes them."""
    axis = 0 if images.ndim == 4 else None
    pairs = zip(images, clean, strict=True)
    return np.array(
        [structural_similarity(c, i, data_range=1.0, channel_axis=axis) for i, c in pairs]
    )


def scored_row(
    what: str,
    images: np.ndarray,
    clean: np.ndarray,
    rank: int | None = None,
    device: str | None = None,
    cycles: int | None = None,
    clipped: int | None = None,
) -> Row:
    """The row of images beside the clean ones, which :func:`psnr` and :func:`ssim` take."""
    values = psnr(images, clean)
    return Row(
        what,
        rank,
        device,
        float(values.mean()),
        float(ssim(images, clean).mean()),
        float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else None,
        cycles,
        None if cycles is None else image_joules(cycles),
        len(images),
        clipped,
    )


def calibration_images(sigma: float, data: Images | None = None) -> np.ndarray:
    """Noisy training images (n, side, side) that set the ranges of a program's formats."""
    clean = (data or digits()).train[:CALIBRATION_IMAGES]
    return add_noise(clean, sigma, CALIBRATION_SEED)


def substrate_share(network: Network) -> float:
    """Share of the network's multiplications that the replaced blocks take."""
    counts = network.multiplications()
    return sum(counts[block] for block in DECODER_BLOCKS) / sum(counts.values())


def image_joules(cycles: int) -> float:
    """Upper bound of the energy of that many cycles on the board."""
    return cycles / (BOARD_MHZ * 1e6) * BOARD_WATTS


def run_benchmark(
    network: Network,
    measured: DecoderMoments,
    data: Images,
    *,
    sigma: float,
    device: str = f"model:{FABRIC}",
    gateware: str | None = f"rtl:{FABRIC}",
    ranks: tuple[int, ...] = RANKS,
    images: int | None = None,
    kT: float = 0.0,
    samples: int = 1,
    seed: int = 1,
    progress: Progress | None = None,
) -> Benchmark:
    """Score every decoder on held-out images.

    Parameters
    ----------
    device : URI of the device for whole batches
    gateware : URI of the device that decodes one whole image, compared with the integer model;
        None leaves its row out
    ranks : of the coupling, in rising order; the first one is run on ``gateware``
    images : how many of the held-out images are used; None takes all
    kT, samples : temperature of every relaxation, and steps that are averaged
    progress : told (what, rows done, rows in all)

    Raises
    ------
    ModelMismatchError
        The gateware and the integer model differ in a bit.
    ProgramError
        The program does not fit the fabric.
    """
    decoders = _Decoders(network.encoders, measured, kT, samples)
    return _Run(network, decoders, data, sigma, device, gateware, images, seed, progress).all(ranks)


@dataclass(frozen=True)
class _Decoders:
    """Substrates fitted to the same moments, for the same temperature."""

    encoders: dict[str, int]
    measured: DecoderMoments
    kT: float
    samples: int

    def fit(self, rank: int, skips: tuple[str, ...] = SKIPS) -> SubstrateDecoder:
        return SubstrateDecoder.fit(
            self.encoders,
            self.measured,
            rank=rank,
            skips=skips,
            kT=self.kT,
            samples=self.samples,
        )


class _Run:
    """The benchmark's state: features are computed once for all decoders."""

    def __init__(
        self,
        network: Network,
        decoders: _Decoders,
        data: Images,
        sigma: float,
        device: str,
        gateware: str | None,
        images: int | None,
        seed: int,
        progress: Progress | None,
    ):
        self.network, self.decoders, self.device, self.gateware = (
            network,
            decoders,
            device,
            gateware,
        )
        self.seed, self.say = seed, progress or (lambda what, done, total: None)
        self.clean = data.test[:images]
        self.train = data.train
        self.noisy = add_noise(data.test, sigma, TEST_NOISE_SEED)[:images]
        self.features = network.features(self.noisy)
        self.calibration = network.features(calibration_images(sigma, data))
        example = decoders.fit(rank=1)
        self.benchmark = Benchmark(
            sigma,
            fabric_of(device).name,
            substrate_share(network),
            example.problem.steps,
            example.step.chebyshev_steps,
        )

    def all(self, ranks: tuple[int, ...]) -> Benchmark:
        left_out = [tuple(s for s in SKIPS if s != skip) for skip in ("e1", "e2")]
        variants = [
            (SUBSTRATE, SKIPS),
            *((f"without {s}", k) for s, k in zip(("e1", "e2"), left_out, strict=True)),
        ]
        variants.append((NO_SKIPS, ("bottleneck",)))
        total = 4 + len(ranks) * (1 + len(variants)) + (self.gateware is not None)
        self._plain_rows(total)
        for rank in ranks:
            decoder = self.decoders.fit(rank)
            self._add(LINEAR, self.network.head(decoder.decode_linearly(self.features)), rank)
            for what, skips in variants:
                self._decoded(what, rank, skips)
                self.say("decoding", len(self.benchmark.rows), total)
        self._decoded(ZEROED, ranks[-1], SKIPS, zeroed=True)
        if self.gateware is not None:
            self._on_gateware(self.gateware, ranks[0])
        self.say("decoding", total, total)
        return self.benchmark

    def _plain_rows(self, total: int) -> None:
        """What needs no substrate: the noisy image, the Wiener filter, the network itself."""
        pixels = self.clean[0].size
        filtered = wiener(self.train.reshape(-1, pixels), self.benchmark.sigma)
        self._add(NOISY, self.noisy)
        self._add(WIENER, filtered(self.noisy.reshape(-1, pixels)).reshape(self.noisy.shape))
        self._add(UNET, self.network.head(self.network.decode(self.features)))
        self.benchmark.pictures["clean"] = self.clean[:SHOWN]
        self.say("decoding", len(self.benchmark.rows), total)

    def _decoded(self, what: str, rank: int, skips: tuple[str, ...], zeroed: bool = False) -> None:
        decoder = self.decoders.fit(rank, skips)
        if zeroed:
            decoder = decoder.without_couplings()
        program = decoder.program_for(fabric_of(self.device), self.calibration)
        with open_device(self.device) as device:
            device.load(program)
            d1, clipped = decoder.decode(device, self.features, seed=self.seed)
        cycles = round(program.input_cycles * self.clean[0].size)
        self._add(what, self.network.head(d1), rank, self.device, cycles, clipped)

    def _on_gateware(self, uri: str, rank: int) -> None:
        """One whole image on the gateware, every sum equal to the integer model's."""
        decoder = self.decoders.fit(rank)
        program = decoder.program_for(fabric_of(uri), self.calibration)
        features = {name: values[:1] for name, values in self.features.items()}
        inputs, clipped = decoder.inputs_within(program, features)
        with open_device(uri) as device:
            device.load(program)
            outputs = device.run(inputs, seed=self.seed, selection=prediction_only(program.problem))
        check_equals_model(program, inputs, outputs, self.seed)
        d1 = decoder.as_features(outputs.prediction(program.problem), *self.clean[0].shape)
        cycles = outputs.counters["cycles"]
        self._add(SUBSTRATE, self.network.head(d1), rank, uri, cycles, clipped)

    def _add(
        self,
        what: str,
        images: np.ndarray,
        rank: int | None = None,
        device: str | None = None,
        cycles: int | None = None,
        clipped: int | None = None,
    ) -> None:
        clean = self.clean[: len(images)]
        self.benchmark.rows.append(scored_row(what, images, clean, rank, device, cycles, clipped))
        key = what if rank is None else f"{what} {rank}"
        self.benchmark.pictures.setdefault(key, np.asarray(images[:SHOWN], float))


def fabric_of(uri: str) -> FabricConfig:
    """The fabric of a device URI, :data:`FABRIC` where the URI names none.

    A board's fabric is known when its port is opened; its name is asked for there.
    """
    ideal, _, _ = uri.partition("?")  # behind it are the imperfections of a chip
    scheme, _, name = ideal.partition(":")
    if scheme in ("rtl", "model") and name:
        return preset(name)
    if scheme in ("rtl", "model", "float"):
        return preset(FABRIC)
    with open_device(uri) as device:
        return device.config or preset(FABRIC)

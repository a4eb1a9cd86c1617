# SPDX-License-Identifier: Apache-2.0
"""A hierarchy with the shape of Stable Diffusion 1.5 on the largest fabric, held against the model.

The weights are synthetic: random orthonormal factors.
"""

from collections.abc import Iterator

from ornstein.hdl.config import NEIGHBOURS, ULX3S, FabricConfig
from ornstein.hdl.regmap import Space
from ornstein.hdl.spaces import spaces
from ornstein.host.devices.comparison import check_equals_model
from ornstein.host.devices.fabric import FabricDevice
from ornstein.host.experiments.bench.figures import Figure, Progress, figure
from ornstein.host.experiments.bench.programs import random_biases, skip_program
from ornstein.sim.rtl import RtlTransport

SD15_CHANNELS = (320, 640, 1280, 1280)
"""Channels of Stable Diffusion 1.5's U-Net on the way down; the way up has the same."""
RANK, STEPS = 16, 16
ULX3S_BLOCK_RAMS = 208
"""18-kbit block RAMs of the ULX3S's chip, an LFE5U-85F."""


def large_figures(
    progress: Progress,
    fabric: FabricConfig = ULX3S,
    channels: tuple[int, ...] = SD15_CHANNELS,
    steps: int = STEPS,
) -> Iterator[Figure]:
    """Yields the cycles of a step over their bound of 4 D k / lanes.

    Raises ModelMismatchError if the gateware and the integer model differ in a bit.
    """
    progress(f"{2 * sum(channels):,} units on {fabric.lanes} lanes")
    program = skip_program(fabric, channels, RANK, steps)
    inputs = random_biases(program.problem.energies[0].units, 2)
    with FabricDevice(RtlTransport(fabric), "rtl", timeout=600.0) as device:
        device.load(program)
        outputs = device.run(inputs, seed=1)
    check_equals_model(program, inputs, outputs, seed=1)
    cycles = outputs.counters["cycles"]
    assert cycles is not None  # the gateware has a clock
    yield figure(
        "sd15_cycles_over_bound",
        cycles / len(inputs) / steps,
        4 * sum(channels) * RANK / fabric.lanes,
        modules=2 * len(channels),
        rank=RANK,
        lanes=fabric.lanes,
        steps=steps,
        words=len(program.factor),
        depth=fabric.factor_depth,
        rams=block_rams(fabric),
        most_rams=ULX3S_BLOCK_RAMS,
    )


def block_rams(config: FabricConfig) -> int:
    """Returns the 18-kbit block RAMs of an ECP5 that a fabric and its link take.

    Each is used as 1024 words of 18 bits or 512 words of 36 bits.
    """

    def rams(width: int, depth: int) -> int:
        return min(-(-width // 18) * -(-depth // 1024), -(-width // 36) * -(-depth // 512))

    total = 2  # the link's
    for info in spaces(config).values():
        if info.memory:
            # several unit lanes keep the factors of neighbouring multipliers without gaps
            grid = info.space == Space.FACTOR and config.unit_lanes > 1
            joined = min(NEIGHBOURS, config.rank_lanes) if grid else 1
            copies = 2 if info.space == Space.STATE else 1
            total += copies * info.lanes // joined * rams(joined * info.bits, info.depth)
    return total

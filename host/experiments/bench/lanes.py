# SPDX-License-Identifier: Apache-2.0
"""How much of the lanes' time is useful work, and how the cycles of a step grow with the problem.

A cell is one shape of problem on one fabric. Its cycles come from the counter of the gateware.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from ornstein.hdl.config import MIX_WINDOW, REFERENCE, FabricConfig
from ornstein.hdl.schedule import step_cycles
from ornstein.host.compile.program import Program
from ornstein.host.devices.fabric import FabricDevice
from ornstein.host.experiments.bench.figures import (
    CYCLES_PREFIX,
    UTILISATION_PREFIX,
    Figure,
    Progress,
    figure,
)
from ornstein.host.experiments.bench.programs import (
    random_biases,
    skip_program,
    useful_multiplies,
)
from ornstein.sim.rtl import RtlTransport

MIXED_SUFFIX = "_mixed"
"""The names of cells whose modes mix through Gram terms end with this."""
GRAM = 0.1
"""Coefficient of the Gram terms in cells that have them."""
Shape = tuple[int, int]
"""Rank lanes and unit lanes of a fabric."""
SHAPES: tuple[Shape, ...] = (8, 1), (16, 2), (16, 8)
"""Of the fabrics on which ranks of 16 and more are measured."""
NARROW_SHAPES: tuple[Shape, ...] = (4, 2), (4, 8)
"""As many lanes as the first two of `SHAPES`, for ranks below their rank lanes."""
NARROW_RANK = 4


@dataclass(frozen=True)
class Cell:
    """A shape of problem, and what was measured there.

    Attributes
    ----------
    sizes : units of each module of each pair
    shape : of the fabric
    mixed : whether the energy has Gram terms
    chains : inputs that the fabric relaxes at once
    bound, cycles : cycles of one step of one input; the bound is 4 D k / lanes, with D summed over
        the pairs of modules
    share : useful multiplies over lanes x cycles, for a whole streamed batch
    """

    sizes: tuple[int, ...]
    rank: int
    shape: Shape
    mixed: bool
    chains: int
    bound: float
    cycles: float
    share: float

    @property
    def label(self) -> str:
        """The shape in words."""
        modules = 2 * len(self.sizes)
        label = f"D = {self.sizes[0]}, {modules} modules, rank {self.rank}"
        label += f", {_lanes_name(self.shape)} lanes"
        return f"{label}, mixed" if self.mixed else label

    @property
    def name(self) -> str:
        """The shape as part of a figure's name."""
        return cell_name(self.shape, self.sizes, self.rank, self.mixed)


def cell_name(shape: Shape, sizes: tuple[int, ...], rank: int, mixed: bool) -> str:
    """Returns a shape of problem on a fabric as part of a figure's name."""
    name = f"d{sizes[0]}_m{2 * len(sizes)}_k{rank}_p{_lanes_name(shape)}"
    return name + MIXED_SUFFIX if mixed else name


def _lanes_name(shape: Shape) -> str:
    ranks, units = shape
    return f"{ranks}x{units}" if shape in NARROW_SHAPES else str(ranks * units)


def measure(fabric: FabricConfig, sizes: tuple[int, ...], rank: int, mixed: bool = False) -> Cell:
    """Runs one shape of problem on the gateware and returns its cell.

    The cycles of a step are the difference of two batches, the second of twice as many steps, so
    that loading and starting jobs do not count. In the share they count.
    """
    bound, steps = bound_cycles(fabric, sizes, rank), timed_steps(fabric, sizes, rank)
    gram = GRAM if mixed else 0.0
    short, long = (skip_program(fabric, sizes, rank, count, gram) for count in (steps, 2 * steps))
    inputs = 2 * short.layout.chains
    with FabricDevice(RtlTransport(fabric), "rtl", timeout=120.0) as device:
        first, second = (batch_cycles(device, program, inputs) for program in (short, long))
    return Cell(
        sizes,
        rank,
        (fabric.rank_lanes, fabric.unit_lanes),
        mixed,
        long.layout.chains,
        bound,
        cycles=(second - first) / inputs / steps,
        share=useful_multiplies(long) * inputs / (fabric.lanes * second),
    )


def bound_cycles(fabric: FabricConfig, sizes: tuple[int, ...], rank: int) -> float:
    """Returns the cycles that the multiplies of one step of one input take on all lanes."""
    return 4 * sum(sizes) * rank / fabric.lanes


def timed_steps(fabric: FabricConfig, sizes: tuple[int, ...], rank: int) -> int:
    """Returns the steps of the shorter batch, fewer where a step takes long."""
    return int(max(16, min(200, 100_000 / bound_cycles(fabric, sizes, rank))))


def batch_cycles(device: FabricDevice, program: Program, inputs: int) -> int:
    """Returns the cycles that a streamed batch takes, from the counter of the gateware."""
    device.load(program)
    biases = random_biases(program.problem.energies[0].units, inputs)
    cycles = device.run(biases).counters["cycles"]
    assert cycles is not None  # the gateware has a clock
    return cycles


def shapes() -> Iterator[tuple[Shape, tuple[int, ...], int, bool]]:
    """Yields lanes, sizes, rank, and whether modes are mixed, of all cells."""
    for lanes in SHAPES:
        yield from ((lanes, (size,), rank, False) for size in (64, 320, 1280) for rank in (16, 64))
        yield from ((lanes, (64,) * pairs, 16, False) for pairs in (2, 4))
        yield from ((lanes, (size,), rank, True) for size in (64, 320) for rank in (16, 64))
    for lanes in NARROW_SHAPES:
        yield from ((lanes, (size,), NARROW_RANK, False) for size in (64, 320))


def lane_figures(progress: Progress) -> Iterator[Figure]:
    """Yields the figures of all cells on fabrics of 8, 32 and 128 lanes."""
    cells = []
    for lanes, sizes, rank, mixed in shapes():
        progress(f"lane utilisation: {_lanes_name(lanes)} lanes")
        cells.append(measure(lanes_fabric(lanes), sizes, rank, mixed))
    yield from cell_figures(cells)


def scheduled_cycles(
    fabric: FabricConfig, sizes: tuple[int, ...], rank: int, mixed: bool = False
) -> float:
    """Returns the cycles of one step of one input, counted from the program in milliseconds.
    :func:`measure` finds as many on the gateware, and two more in some programs of one chain.
    """
    steps = timed_steps(fabric, sizes, rank)
    program = skip_program(fabric, sizes, rank, steps, GRAM if mixed else 0.0)
    relaxing = [passes for level, passes in program.schedule if level.keep]
    return sum(step_cycles(fabric, passes) for passes in relaxing) / program.layout.chains


def scheduled_figures() -> Iterator[tuple[str, float]]:
    """Yields name and value of the cycles of a step of every cell, counted from its program."""
    for lanes, sizes, rank, mixed in shapes():
        cycles = scheduled_cycles(lanes_fabric(lanes), sizes, rank, mixed)
        yield CYCLES_PREFIX + cell_name(lanes, sizes, rank, mixed), cycles


def lanes_fabric(shape: Shape) -> FabricConfig:
    """Returns a fabric of that shape with memories for every cell."""
    ranks, units = shape
    return replace(
        REFERENCE,
        name=f"bench{_lanes_name(shape)}",
        rank_lanes=ranks,
        unit_lanes=units,
        factor_depth=(1 << 18) // (ranks * units),
        state_depth=(1 << 13) // units,
        drive_depth=(1 << 14) // units,
        rank_depth=1 << 9,
        descriptor_depth=256,
        descriptor_width=128,
        accumulator_width=40,
        second_moment=False,
        sample_depth=0,
        quartic=False,
        mix_window=units >= MIX_WINDOW,
    )


def cell_figures(cells: list[Cell]) -> Iterator[Figure]:
    """Yields the figures of measured cells: first utilisation, then cycles, then their fit."""
    narrow = [cell for cell in cells if cell.shape in NARROW_SHAPES]
    mixed = [cell for cell in cells if cell.mixed]
    skips = [cell for cell in cells if cell.shape in SHAPES and not cell.mixed]
    yield figure("lane_utilisation_d64_k16_p8", skips[0].share)
    for name, group in (("min", skips), ("mixed_min", mixed), ("narrow_min", narrow)):
        worst = min(group, key=lambda cell: cell.share)
        yield figure(UTILISATION_PREFIX + name, worst.share, place=worst.label, chains=worst.chains)
    for cell in skips + mixed + narrow:
        name = CYCLES_PREFIX + cell.name
        yield figure(name, cell.cycles, cell.bound, share=cell.share, chains=cell.chains)
    slope, constant, residual = fit(skips)
    yield figure("cycle_fit_residual", residual, slope=slope, constant=constant)


def fit(cells: list[Cell]) -> tuple[float, float, float]:
    """Returns (slope, constant, largest relative residual) of cycles = slope x bound + constant.

    Least squares of the relative residuals.
    """
    bounds = np.array([cell.bound for cell in cells])
    cycles = np.array([cell.cycles for cell in cells])
    design = np.stack([bounds, np.ones_like(bounds)], axis=1) / cycles[:, None]
    solution, *_ = np.linalg.lstsq(design, np.ones_like(cycles), rcond=None)
    residual = np.abs(design @ solution - 1).max()
    return float(solution[0]), float(solution[1]), float(residual)

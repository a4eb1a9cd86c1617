# SPDX-License-Identifier: Apache-2.0
"""Lane utilisation: cells are measured as they say, and figures are those of the right cells."""

import json
from dataclasses import replace

import pytest

from ornstein.hdl.config import REFERENCE
from ornstein.host.devices.fabric import FabricDevice
from ornstein.host.experiments.bench.figures import STORED, losses
from ornstein.host.experiments.bench.lanes import (
    NARROW_RANK,
    NARROW_SHAPES,
    SHAPES,
    Cell,
    batch_cycles,
    bound_cycles,
    cell_figures,
    fit,
    lanes_fabric,
    measure,
    scheduled_cycles,
    scheduled_figures,
)
from ornstein.host.experiments.bench.programs import skip_program, useful_multiplies
from ornstein.sim.rtl import RtlTransport

CELL = Cell((64,), 16, (8, 1), False, chains=4, bound=512.0, cycles=513.0, share=0.99)


def test_the_cycles_of_a_step_are_just_above_their_bound_and_grow_with_it():
    small, large = (measure(REFERENCE, (units,), 16) for units in (32, 64))
    for cell, units in ((small, 32), (large, 64)):
        assert cell.bound == 4 * units * 16 / REFERENCE.lanes
        assert cell.bound <= cell.cycles < 1.1 * cell.bound
    assert large.cycles > 1.8 * small.cycles


def test_the_share_of_a_cell_is_useful_work_over_the_cycles_of_its_batch():
    cell = measure(REFERENCE, (32,), 16)
    steps = 2 * 200
    program = skip_program(REFERENCE, (32,), 16, steps)
    inputs = 2 * program.layout.chains
    with FabricDevice(RtlTransport(REFERENCE), "rtl") as device:
        cycles = batch_cycles(device, program, inputs)
    assert cell.chains == program.layout.chains
    assert cell.share == useful_multiplies(program) * inputs / (REFERENCE.lanes * cycles)


def test_gram_terms_take_cycles_of_their_own():
    plain, mixed = (measure(REFERENCE, (32,), 16, mixed=value) for value in (False, True))
    assert mixed.mixed and mixed.cycles > plain.cycles
    assert mixed.bound == plain.bound


def test_no_cell_takes_more_cycles_than_stored():
    """The cycles of every cell, counted from its program. That the gateware takes as many is what
    the next test says of one cell, and ``ornstein bench`` of all. A change that is meant to alter
    cycles stores the rows of ``ornstein bench --json`` in the same commit."""
    stored = json.loads(STORED.read_text())
    found = dict(scheduled_figures())
    assert found.keys() <= {row["name"] for row in stored}
    assert losses(found, stored) == []


@pytest.mark.parametrize("mixed", (False, True))
def test_the_gateware_takes_the_cycles_that_are_counted_from_the_program(mixed):
    cell = measure(REFERENCE, (32,), 16, mixed)
    assert cell.cycles == scheduled_cycles(REFERENCE, (32,), 16, mixed)


def test_a_cell_is_named_after_its_shape():
    assert CELL.name == "d64_m2_k16_p8" and CELL.label == "D = 64, 2 modules, rank 16, 8 lanes"
    other = replace(CELL, sizes=(64, 64), mixed=True)
    assert other.name == "d64_m4_k16_p8_mixed"
    assert other.label == "D = 64, 4 modules, rank 16, 8 lanes, mixed"
    narrow = replace(CELL, rank=4, shape=NARROW_SHAPES[0])
    assert narrow.name == "d64_m2_k4_p4x2"
    assert narrow.label == "D = 64, 2 modules, rank 4, 4x2 lanes"


def test_figures_name_the_cells_with_the_least_utilisation():
    skips = [
        CELL,
        replace(CELL, rank=64, chains=7, share=0.91, bound=2048.0, cycles=2100.0),
        replace(CELL, sizes=(320,), share=0.95, bound=2560.0, cycles=2570.0),
    ]
    mixed = [
        replace(CELL, mixed=True, share=0.88, cycles=600.0),
        replace(CELL, shape=(16, 2), mixed=True, chains=3, share=0.81, bound=128.0, cycles=160.0),
    ]
    narrow = [replace(CELL, rank=4, shape=shape, share=0.97) for shape in NARROW_SHAPES]
    rows = {row.name: row for row in cell_figures(skips + mixed + narrow)}
    assert rows["lane_utilisation_d64_k16_p8"].value == 0.99
    assert rows["lane_utilisation_min"].value == 0.91
    assert f"at {skips[1].label}, 7 inputs" in rows["lane_utilisation_min"].note
    assert rows["lane_utilisation_mixed_min"].value == 0.81
    assert f"at {mixed[1].label}, 3 inputs" in rows["lane_utilisation_mixed_min"].note
    assert rows["lane_utilisation_narrow_min"].value == 0.97
    for cell in skips + mixed + narrow:
        row = rows[f"cycles_per_step_{cell.name}"]
        assert (row.value, row.reference) == (cell.cycles, cell.bound)
        assert f"utilisation {cell.share:.3f}, {cell.chains} inputs" in row.note
    slope, constant, residual = fit(skips)
    fitted = rows["cycle_fit_residual"]
    assert fitted.value == residual > 0
    assert f"= {slope:.4f} x" in fitted.note and f"+ {constant:.2f}" in fitted.note
    assert len(rows) == 4 + 7 + 1


def test_the_fit_finds_a_straight_line_and_what_is_off_it():
    bounds = (512.0, 1024.0, 4096.0)
    line = [replace(CELL, bound=bound, cycles=1.5 * bound + 8) for bound in bounds]
    slope, constant, residual = fit(line)
    assert (slope, constant) == pytest.approx((1.5, 8.0))
    assert residual < 1e-12
    off = [*line, replace(CELL, bound=2048.0, cycles=1.1 * (1.5 * 2048 + 8))]
    assert 0.02 < fit(off)[2] < 0.1


def test_fabrics_have_the_lanes_they_are_asked_for():
    for shape in SHAPES + NARROW_SHAPES:
        fabric = lanes_fabric(shape)
        assert (fabric.rank_lanes, fabric.unit_lanes) == shape


@pytest.mark.parametrize("shape", NARROW_SHAPES)
def test_a_rank_below_the_rank_lanes_leaves_lanes_idle(shape):
    """Lanes that hold more modes at once than there are do nothing for a part of the time."""
    wide = next(other for other in SHAPES if lanes_fabric(other).lanes == lanes_fabric(shape).lanes)
    share, wide_share = (
        bound_cycles(fabric, (64,), NARROW_RANK) / scheduled_cycles(fabric, (64,), NARROW_RANK)
        for fabric in map(lanes_fabric, (shape, wide))
    )
    assert share > 0.99
    assert wide_share == pytest.approx(NARROW_RANK / wide[0], rel=0.01)

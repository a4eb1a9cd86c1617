# SPDX-License-Identifier: Apache-2.0
"""The self-test: sound gateware passes on every kind of fabric, and each broken part is found and
named.
"""

import numpy as np
import pytest

from ornstein.hdl.config import PRESETS, TINY, WIDE
from ornstein.hdl.regmap import Space
from ornstein.hdl.spaces import spaces
from ornstein.host.devices import selftest
from ornstein.host.devices.device import DeviceError
from ornstein.host.devices.fabric import FabricDevice
from ornstein.sim import faults
from ornstein.sim.faults import Fault
from ornstein.sim.rtl import RtlTransport

STAGES = ["identity", "memories", "read-outs", "lanes", "noise", "updates", "program"]


@pytest.fixture(scope="module")
def bench(breakable):
    """The fabric that can be broken, and what breaks it."""
    transport = RtlTransport(faults.CONFIG, faults.LINE, faulty=True)
    with FabricDevice(transport, "rtl:bench", timeout=60.0) as device:
        yield device, transport.break_down


@pytest.fixture(scope="module", params=[TINY, WIDE], ids=lambda config: config.name)
def sound(request, device):
    """A fabric, and the checks of its sound gateware."""
    config = request.param
    return config, list(selftest.selftest(device(f"rtl:{config.name}")))


def test_sound_gateware_passes(sound):
    _, checks = sound
    assert all(check.ok for check in checks), checks
    assert [check.name for check in checks] == STAGES


@pytest.mark.parametrize(
    ("fault", "stage", "said"),
    [
        (Fault.NONE, None, ""),
        (
            Fault.FACTOR_BIT,
            "memories",
            "FACTOR element 22 (word 5, lane 2): bit 3 always reads one",
        ),
        (Fault.DRIVE_ADDRESS, "memories", "DRIVE: word address bit 2 is stuck at 0"),
        (
            Fault.COPY_BIT,
            "read-outs",
            "second copy of STATE element 15 (word 7, lane 1): bit 14 always reads zero",
        ),
        (Fault.SUM_BIT, "read-outs", "SUM element 140 (word 70, lane 0): bit 20 always reads zero"),
        (
            Fault.SQUARE_BIT,
            "read-outs",
            "SQUARE element 7 (word 3, lane 1): bit 12 always reads one",
        ),
        (
            Fault.SAMPLE_BIT,
            "read-outs",
            "SAMPLE element 81 (word 40, lane 1): bit 0 always reads one",
        ),
        (
            Fault.LANE_HIGH,
            "lanes",
            "multiplier of unit lane 1, rank lane 0: its product is not zero where its factor is",
        ),
        (
            Fault.LANE_LOW,
            "lanes",
            "multiplier of unit lane 0, rank lane 1: 15 of 32 sums of products are wrong",
        ),
        (Fault.NOISE_TAP, "noise", "noise of unit lane 1: wrong taps, of bit 17 from bit 40"),
        (Fault.DITHER, "updates", "update of unit lane 0: "),
    ],
)
def test_faults_are_named(bench, fault, stage, said):
    device, break_down = bench
    break_down(fault)
    *before, last = selftest.selftest(device)
    assert all(check.ok for check in before)  # the broken part and no other
    assert last.ok == (fault == Fault.NONE)
    assert last.name == (stage or STAGES[-1])
    assert last.detail.startswith(said)


def test_every_fault_is_tried():
    mark = next(mark for mark in test_faults_are_named.pytestmark if mark.name == "parametrize")
    assert [row[0] for row in mark.args[1]] == list(Fault)


def test_patterns_tell_every_element_and_move_every_bit():
    patterns = np.array(selftest._patterns(300, 2))
    assert len(np.unique(patterns, axis=1).T) == 300
    assert (np.bitwise_or.reduce(patterns) == 3).all() and not np.bitwise_and.reduce(patterns).any()
    assert not patterns[-1].any()


def test_many_wrong_elements_are_summed_up():
    written = np.array(selftest._patterns(64, 12))
    read = written | np.where(np.arange(64) % 4 == 2, 1 << 7, 0)
    found = selftest._diagnosis(faults.CONFIG, Space.FACTOR, written, read)
    assert found == [
        "FACTOR: 16 of 64 elements, from element 2 to 62, in lanes 2; bit 7 always reads one"
    ]


def test_a_stuck_lane_select():
    written = np.array(selftest._patterns(64, 12))
    found = selftest._diagnosis(faults.CONFIG, Space.FACTOR, written, written[:, np.arange(64) | 2])
    assert found == ["FACTOR: lane select bit 1 is stuck at 1"]


@pytest.mark.parametrize("uri", ["model:tiny", "float"])
def test_only_hardware_is_tested(device, uri):
    with pytest.raises(DeviceError, match="is no hardware to test; use rtl or serial:PORT"):
        next(selftest.selftest(device(uri)))


def test_figures_are_those_of_the_fabric(sound):
    """Every figure of the report, computed here from the fabric's sizes."""
    config, checks = sound[0], {check.name: check.detail for check in sound[1]}
    ranks, units = config.rank_lanes, config.unit_lanes
    assert checks["identity"] == (
        f"fabric {config.name}, {ranks} x {units} lanes, build {config.build_hash:#010x}"
    )
    bits = (
        config.factor_depth * ranks * units * config.factor_width
        + (config.state_depth * units + config.drive_depth * units + config.rank_depth * ranks) * 16
        + config.descriptor_depth * 8 * 16
        + 256 * spaces(config)[Space.ACTIVATION].bits
        + config.state_depth * units * 2
    )
    assert checks["memories"] == f"{bits:,} bits in 7 memories keep what is written"
    rows = min(16, config.factor_depth // (ranks * units), config.rank_depth // 2)
    products = min(config.drive_depth // 2, 256)
    assert checks["lanes"] == (
        f"{ranks * units} multipliers, each alone, {2 * rows} sums of {products} products"
    )
    assert checks["noise"].startswith(f"{units} generators, ")
    states = min(config.state_depth, config.drive_depth) * len(config.bias_shifts)
    assert checks["updates"] == f"{units} unit lanes, {states} states, 8 steps each"
    assert checks["program"] == "5 inputs, 70 steps each, equal the integer model"


def test_the_identity_tells_clock_and_rate(bench):
    device, break_down = bench
    break_down(Fault.NONE)
    first = next(selftest.selftest(device))
    assert f", clock {faults.LINE.clock / 1e6:g} MHz" in first.detail


def test_a_wrong_answer_names_its_units_and_lanes(device, monkeypatch):
    """Units 2 and 3 of 16 are wrong in two inputs; a fabric of four unit lanes. The stages before,
    which do not run the program, are left out.
    """
    for stage in ("_memories", "_readouts", "_lanes", "_noise", "_updates"):
        monkeypatch.setattr(selftest, stage, lambda device, rng: ("left out", []))
    wide = device("rtl:wide")
    assert wide.config.unit_lanes == 4

    def run_wrong(*arguments, **options):
        outputs = run(*arguments, **options)
        outputs.sums[1, 2] += 1
        outputs.squares[3, 3] += 1
        return outputs

    run = wide.run
    monkeypatch.setattr(wide, "run", run_wrong)
    *_, sums, squares, last = selftest.selftest(wide)
    assert not any(check.ok for check in (sums, squares, last))
    assert sums.detail.startswith("sums: 1 of 80 differ, first unit 2 of input 1: ")
    assert squares.detail.startswith("squares: 1 of 80 differ, first unit 3 of input 3: ")
    assert last.detail == "units 2-3 differ, of unit lanes 2-3"


@pytest.mark.parametrize("config", PRESETS.values(), ids=lambda config: config.name)
def test_the_program_has_factors_for_every_multiplier(config):
    program, _ = selftest.builtin_program(config)
    assert (program.factor != 0).any(axis=0).all()

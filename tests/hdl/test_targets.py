# amaranth: UnusedElaboratable=no
# SPDX-License-Identifier: Apache-2.0
"""The targets' arithmetic: the same numbers after the same latency, whatever the cells."""

import ast
import itertools
from pathlib import Path
from random import Random
from types import SimpleNamespace

import pytest
from amaranth.back import rtlil
from amaranth.hdl import Module, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator

from helpers.vendor_bench import assert_equal
from ornstein.hdl import targets
from ornstein.hdl.targets.ecp5 import Ecp5Target
from ornstein.hdl.targets.generic import GenericTarget, MultiplyAdd
from ornstein.hdl.targets.ice40 import Ice40Target, Mac16, UltraPlusTarget
from ornstein.hdl.timing import MULTIPLY

HDL = Path(targets.__file__).parents[1]
DEVICES = {
    "iCE40UP5K": UltraPlusTarget,
    "iCE40HX8K": Ice40Target,
    "iCE40LP1K": Ice40Target,
    "LFE5U-85F": Ecp5Target,
    "xc7a35t": GenericTarget,
    "iCE40UP3K": GenericTarget,
}
LOGIC_TARGETS = GenericTarget(), Ice40Target()
"""Those whose multipliers are made of plain logic, which the Python simulator runs."""


@pytest.mark.parametrize("device", DEVICES)
def test_device_decides_the_target(device):
    assert type(targets.of(SimpleNamespace(device=device))) is DEVICES[device]


def test_no_platform_is_generic():
    assert type(targets.of(None)) is GenericTarget
    assert type(targets.of(SimpleNamespace())) is GenericTarget


def test_order_of_targets_does_not_matter():
    """No device matches two of the names."""
    for first, second in itertools.permutations(targets._BY_DEVICE, 2):
        assert not first.startswith(second)


def test_only_targets_know_devices():
    """No other gateware looks at the platform's device or imports a vendor's file."""
    for path in HDL.rglob("*.py"):
        if path.parent.name == "targets":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute):
                assert node.attr != "device", path
            if isinstance(node, ast.ImportFrom):
                names = {f"{node.module}.{alias.name}" for alias in node.names}
                assert not any(".ice40" in name or ".ecp5" in name for name in names), path


def run(component, bench):
    """Runs a bench, and fails if it has not ended in time."""
    ended = False

    async def watched(ctx):
        nonlocal ended
        await bench(ctx)
        ended = True

    simulator = Simulator(component)
    simulator.add_clock(1e-6)
    simulator.add_testbench(watched)
    simulator.run_until(1e-6 * 1000)
    assert ended, "the bench has not ended"


def numbers(random, width):
    """A random number, or an extreme one."""
    high = (1 << width - 1) - 1
    return random.choice([high, -high - 1, random.randint(-high - 1, high)])


@pytest.mark.parametrize("target", LOGIC_TARGETS, ids=lambda target: type(target).__name__)
def test_multiply(target):
    """A new product every cycle, ``MULTIPLY`` cycles after its factors."""
    dut = target.multiply(9, 16)
    random = Random(1)
    factors = [(numbers(random, 9), numbers(random, 16)) for _ in range(200)]

    async def bench(ctx):
        for cycle in range(len(factors) + MULTIPLY):
            if cycle >= MULTIPLY:
                a, b = factors[cycle - MULTIPLY]
                assert ctx.get(dut.product) == a * b
            if cycle < len(factors):
                ctx.set(dut.a, factors[cycle][0])
                ctx.set(dut.b, factors[cycle][1])
            await ctx.tick()

    run(dut, bench)


@pytest.mark.parametrize("latency", [MULTIPLY, MULTIPLY + 1])
@pytest.mark.parametrize("target", LOGIC_TARGETS, ids=lambda target: type(target).__name__)
def test_multiply_add(target, latency):
    """The addend and ``enable`` come one cycle before the sum, which holds its value without
    ``enable`` and wraps."""
    width = 27
    dut = target.multiply_add(12, 16, width, latency)
    random = Random(2)
    cycles = [
        (numbers(random, 12), numbers(random, 16), numbers(random, width), random.random() < 0.7)
        for _ in range(200)
    ]

    async def bench(ctx):
        expected = None
        for cycle in range(len(cycles)):
            a, b, *_ = cycles[cycle]
            ctx.set(dut.a, a)
            ctx.set(dut.b, b)
            *_, addend, enable = cycles[cycle]
            ctx.set(dut.addend, addend)
            ctx.set(dut.enable, enable)
            if enable and cycle >= latency - 1:
                a, b, *_ = cycles[cycle - latency + 1]
                half = 1 << width - 1
                expected = (a * b + addend + half) % (2 * half) - half
            await ctx.tick()
            if expected is not None:
                assert ctx.get(dut.sum) == expected

    run(dut, bench)


def test_latency_is_the_callers():
    with pytest.raises(ValueError, match="latency must be 2 or 3, not 4"):
        MultiplyAdd(GenericTarget(), 12, 16, 32, 4)


@pytest.mark.parametrize(
    "a_width, sum_width, latency, fits",
    [(12, 32, 2, True), (17, 32, 2, False), (12, 33, 2, False), (12, 32, 3, False)],
)
def test_multipliers_of_an_ultra_plus(a_width, sum_width, latency, fits):
    """A MAC16 where the sum fits and its latency is the one asked for, logic elsewhere."""
    component = UltraPlusTarget().multiply_add(a_width, 16, sum_width, latency)
    assert isinstance(component, Mac16) == fits
    cells = rtlil.convert(component, emit_src=False).count("cell \\SB_MAC16 ")
    assert cells == fits


class LeakProduct(wiring.Component):
    """The terms of a target's leak product, summed."""

    state: In(signed(16))
    factor: In(signed(12))
    product: Out(signed(40))

    def __init__(self, target, wait):
        self.target, self.wait = target, wait
        super().__init__()

    def elaborate(self, platform):
        m = Module()
        states = [self.state]
        for _ in range(self.wait):
            following = Signal(signed(16))
            m.d.sync += following.eq(states[-1])
            states.append(following)
        terms, correction = self.target.leak_product(m, states, self.factor)
        m.d.comb += self.product.eq(sum(terms) + correction)
        return m


@pytest.mark.parametrize("wait", [0, 2])
@pytest.mark.parametrize("target", LOGIC_TARGETS, ids=lambda target: type(target).__name__)
def test_leak_product(target, wait):
    """Two cycles after the last of the delayed states; the factor is constant from the cycle before
    the first state on."""
    dut = LeakProduct(target, wait)
    random = Random(3)

    async def bench(ctx):
        for factor in (0, 1, 512, 682, 1023, 1024):
            ctx.set(dut.factor, factor)
            await ctx.tick()
            states = [numbers(random, 16) for _ in range(30)]
            for cycle in range(len(states) + wait + 2):
                if cycle < len(states):
                    ctx.set(dut.state, states[cycle])
                if cycle >= wait + 2:
                    assert ctx.get(dut.product) == states[cycle - wait - 2] * factor
                await ctx.tick()

    run(dut, bench)


class DeviceMultiplyAdd(wiring.Component):
    """The multiplication and addition of the platform's target."""

    def __init__(self, a_width, latency):
        self.latency = latency
        super().__init__(
            {
                "a": In(signed(a_width)),
                "b": In(signed(16)),
                "addend": In(signed(32)),
                "enable": In(1),
                "sum": Out(signed(32)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.cell = cell = targets.of(platform).multiply_add(
            len(self.a), 16, 32, self.latency
        )
        wiring.connect(m, wiring.flipped(self), cell)
        return m


@pytest.mark.parametrize(
    "device, a_width, latency",
    [("iCE40UP5K", 12, 2), ("iCE40HX8K", 8, 2), ("iCE40HX8K", 8, 3)],
)
def test_device_multiply_add_equals_generic_one(tmp_path, device, a_width, latency):
    """MAC16 and sums of multiples: random and extreme operands, addends and pauses."""

    def operand(width):
        extreme = f"($urandom % 2 != 0) ? 1 << {width - 1} : (1 << {width - 1}) - 1"
        return f"($urandom % 4 != 0) ? $urandom : {extreme}"

    assert_equal(
        lambda: DeviceMultiplyAdd(a_width, latency),
        tmp_path,
        warm=4,
        stimuli={
            "a": operand(a_width),
            "b": operand(16),
            "addend": operand(32),
            "enable": "warm | ($urandom % 4 != 0)",
        },
        compare="1",
        outputs=["sum"],
        device=device,
    )

# SPDX-License-Identifier: Apache-2.0
"""Lattice iCE40: its multipliers, single-port memories and PLL, and arithmetic for its LUTs.

Sources: Lattice, "iCE Technology Library" (SB_MAC16, SB_SPRAM256KA, SB_PLL40 family) and data
sheets FPGA-DS-02008 (UltraPlus) and FPGA-DS-02029 (LP/HX). ``tests/hdl/test_targets.py`` and
``tests/hdl/test_memory.py`` compare the components with the generic ones, using the simulation
models that come with Yosys.
"""

from amaranth.hdl import (
    Cat,
    ClockDomain,
    ClockSignal,
    Const,
    Instance,
    IOPort,
    Module,
    Signal,
    Value,
    signed,
)
from amaranth.lib import data, wiring
from amaranth.lib.cdc import FFSynchronizer
from amaranth.lib.wiring import In, Out

from ornstein.hdl.arithmetic import add_up, borrows, multiple, radix_four
from ornstein.hdl.hops import kept_register
from ornstein.hdl.targets.generic import GenericTarget
from ornstein.hdl.timing import MULTIPLY

MULTIPLIER_WIDTH = 16
"""Bits of each factor of a MAC16."""

SPRAM_COUNT, SPRAM_WIDTH, SPRAM_DEPTH = 4, 16, 1 << 14
"""Single-port memories of an iCE40UP5K, and the bits and the number of their words."""

BLOCK_RAM_BITS = 4096
"""Bits of a block RAM."""


class Mac16(wiring.Component):
    """One SB_MAC16 with its input and output registers: ``sum`` becomes ``a * b + addend`` in every
    cycle with ``enable``. Latency 2, one sum a cycle.

    Parameters
    ----------
    a_width, b_width : bits of the factors, at most 16
    sum_width : bits of the addend and of the sum, at most 32

    Members
    -------
    a : In(signed(a_width))
    b : In(signed(b_width))
    addend : In(signed(sum_width)), one cycle after ``a`` and ``b``
    enable : In(1), in the same cycle as ``addend``; otherwise ``sum`` keeps its value
    sum : Out(signed(sum_width)), wraps
    """

    def __init__(
        self,
        a_width: int = MULTIPLIER_WIDTH,
        b_width: int = MULTIPLIER_WIDTH,
        sum_width: int = 2 * MULTIPLIER_WIDTH,
    ):
        super().__init__(
            {
                "a": In(signed(a_width)),
                "b": In(signed(b_width)),
                "addend": In(signed(sum_width)),
                "enable": In(1),
                "sum": Out(signed(sum_width)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        settings = {name: Const(1, 1) for name in ("A_REG", "B_REG", "A_SIGNED", "B_SIGNED")}
        settings["TOPADDSUB_CARRYSELECT"] = Const(3, 2)  # the halves are one adder
        for half in ("TOP", "BOT"):
            settings |= {
                f"{half}ADDSUB_LOWERINPUT": Const(2, 2),  # the 32-bit product
                f"{half}ADDSUB_UPPERINPUT": Const(1, 1),  # C and D
                f"{half}OUTPUT_SELECT": Const(1, 2),  # the register behind the adder
            }
        unused = (
            "AHOLD",
            "BHOLD",
            "CHOLD",
            "DHOLD",
            "IRSTTOP",
            "IRSTBOT",
            "ORSTTOP",
            "ORSTBOT",
            "OLOADTOP",
            "OLOADBOT",
            "ADDSUBTOP",
            "ADDSUBBOT",
            "CI",
            "ACCUMCI",
            "SIGNEXTIN",
        )
        a, b = (Signal(signed(MULTIPLIER_WIDTH), name=name) for name in ("factor_a", "factor_b"))
        addend, total = (
            Signal(signed(2 * MULTIPLIER_WIDTH), name=name) for name in ("extended", "total")
        )
        m.d.comb += [a.eq(self.a), b.eq(self.b), addend.eq(self.addend), self.sum.eq(total)]
        m.submodules.mac16 = Instance(
            "SB_MAC16",
            *(("p", name, value) for name, value in settings.items()),
            *(("i", name, Const(0, 1)) for name in unused),
            i_CLK=ClockSignal(),
            i_CE=Const(1, 1),
            i_OHOLDTOP=~self.enable,
            i_OHOLDBOT=~self.enable,
            i_A=a,
            i_B=b,
            i_C=addend[MULTIPLIER_WIDTH:],
            i_D=addend[:MULTIPLIER_WIDTH],
            o_O=total,
        )
        return m


class SinglePortMemory(wiring.Component):
    """One SB_SPRAM256KA. Read latency 1, except in a cycle that writes: then ``read_data`` is
    undefined. The contents are undefined at power-up.

    Members
    -------
    address : In(range(16384))
    write : In(1), write in this cycle
    write_nibbles : In(4), which groups of four bits of the word to write
    write_data : In(16)
    read_data : Out(16)
    """

    address: In(range(SPRAM_DEPTH))
    write: In(1)
    write_nibbles: In(SPRAM_WIDTH // 4)
    write_data: In(SPRAM_WIDTH)
    read_data: Out(SPRAM_WIDTH)

    def elaborate(self, platform):
        m = Module()
        m.submodules.spram = Instance(
            "SB_SPRAM256KA",
            i_CLOCK=ClockSignal(),
            i_ADDRESS=self.address,
            i_DATAIN=self.write_data,
            i_MASKWREN=self.write_nibbles,
            i_WREN=self.write,
            o_DATAOUT=self.read_data,
            i_CHIPSELECT=Const(1, 1),
            i_STANDBY=Const(0, 1),
            i_SLEEP=Const(0, 1),
            i_POWEROFF=Const(1, 1),
        )  # active low
        return m


class HighBytes(wiring.Component):
    """A byte of every lane in the chip's single-port memories, two lanes in each. Read latency 1,
    except in a cycle that writes: then ``read_data`` is undefined. The contents are undefined at
    power-up.

    Parameters
    ----------
    lanes : number of lanes, at most ``2 * SPRAM_COUNT``

    Members
    -------
    address : In(range(16384))
    write_data : In(8), written to every lane of ``write_lanes``
    write_lanes : In(lanes), one bit for each lane: write in this cycle
    read_data : Out(ArrayLayout(8, lanes))
    """

    WIDTH = SPRAM_WIDTH // 2

    def __init__(self, lanes: int):
        super().__init__(
            {
                "address": In(range(SPRAM_DEPTH)),
                "write_data": In(self.WIDTH),
                "write_lanes": In(lanes),
                "read_data": Out(data.ArrayLayout(self.WIDTH, lanes)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        for first in range(0, len(self.write_lanes), 2):
            lanes = self.write_lanes[first : first + 2]
            m.submodules[f"lanes_{first}"] = memory = SinglePortMemory()
            m.d.comb += [
                memory.address.eq(self.address),
                memory.write.eq(lanes.any()),
                memory.write_data.eq(self.write_data.replicate(2)),
                memory.write_nibbles.eq(Cat(lane.replicate(2) for lane in lanes)),
                *(
                    self.read_data[first + half].eq(memory.read_data.word_select(half, self.WIDTH))
                    for half in range(len(lanes))
                ),
            ]
        return m


class Ice40Target(GenericTarget):
    """An iCE40 without multipliers: a product is a sum of multiples of one factor, one multiple for
    each pair of bits of the other."""

    block_ram_output = {"init": ""}  # the block RAM's own register, which has no initial value

    def registered_product(self, m: Module, a, b) -> Value:
        codes = radix_four(a, len(a) // 2 + 1)
        digits = _registers(m, codes)
        b_register = Signal(b.shape(), name="b_register", reset_less=True)
        m.d.sync += b_register.eq(b)
        rows = [multiple(b_register, digit) << 2 * place for place, digit in enumerate(digits)]
        return add_up(m, [borrows(digits).as_signed(), *rows], "product")

    def leak_product(self, m: Module, states: list, factor) -> tuple[list, Value]:
        digits = _registers(m, radix_four(factor, len(factor) // 2))
        rows = [
            kept_register(m, multiple(states[-1], digit), f"row_{place}") << 2 * place
            for place, digit in enumerate(digits)
        ]
        pairs = [
            kept_register(m, sum(rows[place + 1 : place + 2], start=rows[place]), f"rows_{place}")
            for place in range(0, len(rows), 2)
        ]
        return pairs, borrows(digits)


class UltraPlusTarget(Ice40Target):
    """An iCE40UP5K. Its few multipliers serve the multiply lanes, if the sum fits into one. The
    leak's product is made of LUTs."""

    block_ram_bits = BLOCK_RAM_BITS

    def multiply_add(
        self, a_width: int, b_width: int, sum_width: int, latency: int
    ) -> wiring.Component:
        fits = max(a_width, b_width) <= MULTIPLIER_WIDTH and sum_width <= 2 * MULTIPLIER_WIDTH
        if fits and latency == MULTIPLY:
            return Mac16(a_width, b_width, sum_width)
        return super().multiply_add(a_width, b_width, sum_width, latency)

    def single_port_memory(self, lanes: int, width: int, depth: int) -> HighBytes | None:
        fits = lanes <= 2 * SPRAM_COUNT and depth <= SPRAM_DEPTH and width > HighBytes.WIDTH
        return HighBytes(lanes) if fits else None


def _registers(m: Module, codes: list) -> list[Signal]:
    """The codes of :func:`ornstein.hdl.arithmetic.radix_four`, one cycle later."""
    digits = [Signal(2, name=f"digit_{place}", reset_less=True) for place in range(len(codes))]
    m.d.sync += [digit.eq(code) for digit, code in zip(digits, codes, strict=True)]
    return digits


class PllClock(wiring.Component):
    """The clock and reset that a PLL makes for a clock domain.

    The reset ends ``START_CYCLES`` cycles after the PLL has locked, because the block RAMs read as
    zero for some microseconds after configuration (IceStorm issue 76).

    Parameters
    ----------
    source : the reference clock: the IOPort of the PLL's own pad, or a signal
    reference : frequency of the reference clock in Hz
    frequency : frequency of the clock to make in Hz

    Members
    -------
    clock : Out(1)
    reset : Out(1), synchronous to ``clock``
    """

    clock: Out(1)
    reset: Out(1)

    START_CYCLES = 1024

    def __init__(self, source, *, reference: float, frequency: float):
        self._source = source
        self._multiplier, self._divider = self.settings(reference, frequency)
        super().__init__()

    @staticmethod
    def settings(reference: float, frequency: float) -> tuple[int, int]:
        """(multiplier, exponent): ``frequency == reference * multiplier / 2**exponent``, exactly.

        The PLL's oscillator must run at 533 to 1,066 MHz. Raises ValueError if no setting makes the
        frequency.
        """
        for exponent in range(1, 7):
            oscillator = frequency * 2**exponent
            if (
                533e6 <= oscillator <= 1066e6
                and oscillator % reference == 0
                and oscillator // reference <= 128
            ):
                return int(oscillator // reference), exponent
        raise ValueError(
            f"the PLL cannot make {frequency / 1e6:g} MHz out of {reference / 1e6:g} MHz"
        )

    def elaborate(self, platform):
        m = Module()
        locked, steady = Signal(), Signal()
        kind, pin = (
            ("PAD", "io_PACKAGEPIN")
            if isinstance(self._source, IOPort)
            else ("CORE", "i_REFERENCECLK")
        )
        m.submodules.pll = Instance(
            f"SB_PLL40_{kind}",
            **{pin: self._source},
            o_PLLOUTGLOBAL=self.clock,
            p_FEEDBACK_PATH="SIMPLE",
            p_DIVR=Const(0, 4),
            p_DIVF=Const(self._multiplier - 1, 7),
            p_DIVQ=Const(self._divider, 3),
            p_FILTER_RANGE=Const(1, 3),
            i_RESETB=Const(1, 1),
            i_BYPASS=Const(0, 1),
            o_LOCK=locked,
        )
        m.domains.start = start = ClockDomain(local=True, reset_less=True)
        m.submodules.synchronizer = FFSynchronizer(locked, steady, o_domain="start")
        waited, ready = Signal(range(self.START_CYCLES)), Signal()
        m.d.comb += [start.clk.eq(self.clock), self.reset.eq(~ready)]
        with m.If(steady & ~ready):
            m.d.start += [waited.eq(waited + 1), ready.eq(waited == self.START_CYCLES - 1)]
        return m

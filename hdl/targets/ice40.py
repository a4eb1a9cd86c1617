# SPDX-License-Identifier: Apache-2.0
"""Primitives of the Lattice iCE40 that synthesis does not infer the way the fabric needs them.

Sources: Lattice, "iCE Technology Library" (SB_MAC16, SB_SPRAM256KA, SB_PLL40 family) and data
sheets FPGA-DS-02008 (UltraPlus) and FPGA-DS-02029 (LP/HX).
``tests/test_lanes.py`` and ``tests/test_memory.py`` compare the components built on the wrappers
with the plain ones, on the simulation models that come with Yosys.
"""

from amaranth.hdl import ClockDomain, ClockSignal, Const, Instance, IOPort, Module, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.cdc import FFSynchronizer
from amaranth.lib.wiring import In, Out

DEVICE = "iCE40UP5K"

MULTIPLIER_WIDTH = 16
"""Bits of each factor of a MAC16."""

SPRAM_COUNT, SPRAM_WIDTH, SPRAM_DEPTH = 4, 16, 1 << 14
"""Single-port memories of the device, and the bits and the number of their words."""


BLOCK_RAM_BITS = 4096
"""Bits of a block RAM."""


def is_target(platform) -> bool:
    """Whether ``platform`` has these primitives. Simulation has no platform at all."""
    return getattr(platform, "device", None) == DEVICE


def lacks_multipliers(platform) -> bool:
    """Whether ``platform`` is an iCE40 whose logic has to multiply."""
    return getattr(platform, "device", "").startswith(("iCE40HX", "iCE40LP"))


def saves_multipliers(platform) -> bool:
    """Whether ``platform`` is an iCE40, whose few multipliers, if any, are for the lanes."""
    return getattr(platform, "device", "").startswith("iCE40")


class MultiplyAdd(wiring.Component):
    """One SB_MAC16 with its input and output registers: ``sum`` becomes ``a * b + addend`` with
    ``a``, ``b`` of the cycle before, in every cycle with ``enable``.

    Members
    -------
    a, b : signed(16), in
    addend : signed(32), in; one cycle after ``a`` and ``b``
    enable : in; likewise
    sum : signed(32), out; two cycles after ``a`` and ``b``; wraps
    """

    a: In(signed(MULTIPLIER_WIDTH))
    b: In(signed(MULTIPLIER_WIDTH))
    addend: In(signed(2 * MULTIPLIER_WIDTH))
    enable: In(1)
    sum: Out(signed(2 * MULTIPLIER_WIDTH))

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
        m.submodules.mac16 = Instance(
            "SB_MAC16",
            *(("p", name, value) for name, value in settings.items()),
            *(("i", name, Const(0, 1)) for name in unused),
            i_CLK=ClockSignal(),
            i_CE=Const(1, 1),
            i_OHOLDTOP=~self.enable,
            i_OHOLDBOT=~self.enable,
            i_A=self.a,
            i_B=self.b,
            i_C=self.addend[MULTIPLIER_WIDTH:],
            i_D=self.addend[:MULTIPLIER_WIDTH],
            o_O=self.sum,
        )
        return m


class SinglePortMemory(wiring.Component):
    """One SB_SPRAM256KA: reads ``address`` unless it writes; undefined at power-up and after a
    write.

    Members
    -------
    address : range(16384), in
    write : in; write in this cycle
    write_nibbles : one bit per four bits of a word, in; those to write
    write_data : unsigned(16), in
    read_data : unsigned(16), out; one cycle after its address
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


class PllClock(wiring.Component):
    """A clock made by the PLL.

    The reset ends ``START_CYCLES`` after the PLL has locked: for some microseconds after
    configuration the block RAMs read as zero (IceStorm issue 76).

    Parameters
    ----------
    source : the reference: the IOPort of the PLL's own pad, or a signal
    reference : its frequency in Hz
    frequency : that of the clock made, in Hz

    Members
    -------
    clock, reset : out, for a clock domain; ``reset`` is synchronous
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
        """(multiplier, divider exponent): ``frequency == reference * multiplier / 2**exponent``,
        exactly.

        The oscillator runs at 533 to 1,066 MHz. Raises ValueError if no setting does it.
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

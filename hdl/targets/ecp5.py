# SPDX-License-Identifier: Apache-2.0
"""Primitives of the Lattice ECP5 that synthesis does not infer.

Sources: Lattice, data sheet FPGA-DS-02012, "ECP5 sysCLOCK PLL/DLL Design and Usage Guide"
FPGA-TN-02200 and "ECP5 sysDSP Usage Guide" FPGA-TN-02205. But for the carry cell, with which
``tests/test_sums.py`` adds, Yosys brings no simulation models of them: what is said here of their
settings is compared with the guides, not with a netlist.
"""

from amaranth.hdl import Cat, ClockDomain, ClockSignal, Const, Instance, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.cdc import ResetSynchronizer
from amaranth.lib.wiring import In, Out

MULTIPLIER_WIDTH = 18
"""Bits of each factor of a MULT18X18D."""

EITHER = 0x665A
"""A carry cell's table for the sum of A and either B or C, as D says: with D what differs of A and
B, with C alone the complement of A, else A."""

OSCILLATOR_HZ = 400e6, 800e6
"""Range of the PLL's own oscillator."""
COMPARED_HZ = 10e6
"""Lowest frequency that the PLL's phase detector compares."""


def is_target(platform) -> bool:
    """Whether ``platform`` has these primitives. Simulation has no platform at all."""
    return getattr(platform, "device", "").startswith("LFE5U")


def add_either(m: Module, term, one, other, choice, platform):
    """``term + (one if choice else other)`` of three signed numbers of one width, a bit more than
    theirs wide.

    On an ECP5 a LUT a bit, which synthesis finds only for ``one + other``: a carry cell makes the
    sum of ``A`` and nothing when ``C`` and ``D`` are zero, so ``D`` must choose between ``B`` and
    ``C`` and not the other way round.
    """
    width = len(term) + 1
    if not is_target(platform):
        return (term + Mux(choice, one, other))[:width].as_signed()
    operands = [Cat(value, value[-1].replicate(2)) for value in (term, one, other)]
    total, carry = Signal(signed(width + width % 2)), Const(0, 1)
    for place in range(0, width, 2):
        following = Signal()
        m.submodules += Instance(
            "CCU2C",
            p_INIT0=Const(EITHER, 16),
            p_INIT1=Const(EITHER, 16),
            p_INJECT1_0="NO",
            p_INJECT1_1="NO",
            i_CIN=carry,
            o_COUT=following,
            **{
                f"i_{pin}{half}": operand[place + half]
                for half in range(2)
                for pin, operand in zip("ABC", operands, strict=True)
            },
            **{f"i_D{half}": choice for half in range(2)},
            **{f"o_S{half}": total[place + half] for half in range(2)},
        )
        carry = following
    return total[:width].as_signed()


class Multiply(wiring.Component):
    """A multiplier with registers at its factors and its product, on an ECP5 those of a MULT18X18D.

    Members
    -------
    a, b : signed(18), in
    product : signed(36), out; ``LATENCY`` cycles after ``a`` and ``b``; undefined before
    """

    a: In(signed(MULTIPLIER_WIDTH))
    b: In(signed(MULTIPLIER_WIDTH))
    product: Out(signed(2 * MULTIPLIER_WIDTH))

    LATENCY = 2
    """Cycles from factors to product."""

    def elaborate(self, platform):
        m = Module()
        if not is_target(platform):
            a, b = Signal.like(self.a, reset_less=True), Signal.like(self.b, reset_less=True)
            m.d.sync += [a.eq(self.a), b.eq(self.b), self.product.eq(a * b)]
            return m
        registers = {f"p_REG_{name}_CLK": "CLK0" for name in ("INPUTA", "INPUTB", "OUTPUT")}
        settings = {"p_GSR": "DISABLED", "p_RESETMODE": "SYNC"}
        ones = {
            f"i_{name}": Const(1, 1) for name in ("SIGNEDA", "SIGNEDB", "CE0", "CE1", "CE2", "CE3")
        }
        zeros = {
            f"i_{name}": Const(0, 1)
            for name in (
                "SOURCEA",
                "SOURCEB",
                "CLK1",
                "CLK2",
                "CLK3",
                "RST0",
                "RST1",
                "RST2",
                "RST3",
                *(f"C{bit}" for bit in range(MULTIPLIER_WIDTH)),
            )
        }
        m.submodules.mult18x18d = Instance(
            "MULT18X18D",
            **registers,
            **settings,
            **ones,
            **zeros,
            i_CLK0=ClockSignal(),
            **{
                f"i_{name}{bit}": value
                for name, factor in (("A", self.a), ("B", self.b))
                for bit, value in enumerate(factor)
            },
            **{f"o_P{bit}": value for bit, value in enumerate(self.product)},
        )
        return m


class Clocks(wiring.Component):
    """Drives clock domains with one EHXPLLL, their rising edges aligned, in reset until it has
    locked.

    The component that this one is in has the domains (:meth:`driven`). The feedback goes through an
    output of its own, so that every clock may be any fraction of the oscillator.

    Parameters
    ----------
    domains : names of the domains, up to three, and their frequencies in Hz
    reference : frequency of ``i`` in Hz

    Members
    -------
    i : in, the reference
    """

    i: In(1)

    OUTPUTS = "CLKOS", "CLKOS2", "CLKOS3"

    def __init__(self, domains: dict[str, float], *, reference: float):
        self._names = tuple(domains)
        self._settings = self.settings(reference, tuple(domains.values()))
        super().__init__()

    @staticmethod
    def driven(domains: dict[str, float]) -> list[ClockDomain]:
        """The clock domains. The first has no reset signal: the chip's global one, which reaches
        every register without a wire of the fabric, gives all of them their initial values."""
        return [ClockDomain(name, reset_less=place == 0) for place, name in enumerate(domains)]

    @classmethod
    def settings(
        cls, reference: float, frequencies: tuple[float, ...]
    ) -> tuple[int, int, tuple[int, ...]]:
        """(reference divider, feedback divider, divider of each clock).

        The oscillator runs at ``reference / first * second``. Raises ValueError if no setting makes
        every frequency exactly, or there are too many.
        """
        for divider in range(1, int(reference / COMPARED_HZ) + 1):
            for feedback in range(1, 129):
                oscillator = reference * feedback / divider
                if (
                    OSCILLATOR_HZ[0] <= oscillator <= OSCILLATOR_HZ[1]
                    and len(frequencies) <= len(cls.OUTPUTS)
                    and all(
                        oscillator % each == 0 and oscillator // each <= 128 for each in frequencies
                    )
                ):
                    return divider, feedback, tuple(int(oscillator // each) for each in frequencies)
        made = ", ".join(f"{each / 1e6:g}" for each in frequencies)
        raise ValueError(f"the PLL cannot make {made} MHz out of {reference / 1e6:g} MHz")

    def elaborate(self, platform):
        m = Module()
        divider, feedback, dividers = self._settings
        compared, locked = Signal(), Signal()
        outputs = {"CLKOP": (compared, feedback)}
        for domain_name, output, each in zip(self._names, self.OUTPUTS, dividers, strict=False):
            outputs[output] = clock, each = Signal(name=f"{domain_name}_clk"), each
            m.d.comb += ClockSignal(domain_name).eq(clock)
            if output != self.OUTPUTS[0]:
                m.submodules[f"reset_{domain_name}"] = ResetSynchronizer(
                    ~locked, domain=domain_name
                )
        arguments = {}
        for output, (clock, each) in outputs.items():
            arguments |= {
                f"p_{output}_ENABLE": "ENABLED",
                f"p_{output}_DIV": each,
                f"p_{output}_CPHASE": each - 1,
                f"p_{output}_FPHASE": 0,
                f"o_{output}": clock,
            }
        first = ClockSignal(self._names[0])
        steady = locked
        for stage in range(2):  # of registers that the global reset itself does not hold
            synchronized = Signal(name=f"locked_{stage}")
            m.submodules[f"synchronizer_{stage}"] = Instance(
                "FD1S3AX", p_GSR="DISABLED", i_CK=first, i_D=steady, o_Q=synchronized
            )
            steady = synchronized
        m.submodules.reset = Instance("SGSR", i_CLK=first, i_GSR=steady)
        unused = (
            "RST",
            "STDBY",
            "PHASESEL0",
            "PHASESEL1",
            "PHASEDIR",
            "PHASESTEP",
            "PHASELOADREG",
            "PLLWAKESYNC",
            "ENCLKOP",
        )
        m.submodules.pll = Instance(
            "EHXPLLL",
            a_ICP_CURRENT="12",
            a_LPF_RESISTOR="8",
            a_MFG_ENABLE_FILTEROPAMP="1",
            a_MFG_GMCREF_SEL="2",
            p_CLKI_DIV=divider,
            p_CLKFB_DIV=1,
            p_FEEDBK_PATH="CLKOP",
            i_CLKI=self.i,
            i_CLKFB=compared,
            o_LOCK=locked,
            **arguments,
            **{f"i_{name}": Const(0, 1) for name in unused},
        )
        return m

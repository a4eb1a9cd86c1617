# SPDX-License-Identifier: Apache-2.0
"""Lattice ECP5: its multipliers, carry cells and PLL.

Sources: Lattice, data sheet FPGA-DS-02012, "ECP5 sysCLOCK PLL/DLL Design and Usage Guide"
FPGA-TN-02200 and "ECP5 sysDSP Usage Guide" FPGA-TN-02205. Yosys has a simulation model of the
carry cell, which ``tests/hdl/test_sums.py`` uses. It has none of the multiplier and the PLL: their
settings have been compared with the guides only.
"""

from amaranth.hdl import (
    Cat,
    ClockDomain,
    ClockSignal,
    Const,
    Instance,
    Module,
    Signal,
    Value,
    signed,
)
from amaranth.lib import wiring
from amaranth.lib.cdc import ResetSynchronizer
from amaranth.lib.wiring import In, Out

from ornstein.hdl.hops import kept_register
from ornstein.hdl.targets.generic import GenericTarget

MULTIPLIER_WIDTH = 18
"""Bits of each factor of a MULT18X18D."""

EITHER = 0x665A
"""Look-up table of a carry cell that adds A and either B or C, as D says: D = 1 selects B and D = 0
selects C."""

OSCILLATOR_HZ = 400e6, 800e6
"""Frequency range of the PLL's oscillator."""
COMPARED_HZ = 10e6
"""Lowest frequency that the PLL's phase detector compares."""


class Multiply(wiring.Component):
    """One MULT18X18D with its registers for the factors and the product. Latency 2, one product a
    cycle; undefined for the first two cycles. It never overflows.

    Parameters
    ----------
    a_width, b_width : bits of the factors, at most 18

    Members
    -------
    a : In(signed(a_width))
    b : In(signed(b_width))
    product : Out(signed(a_width + b_width))
    """

    def __init__(self, a_width: int = MULTIPLIER_WIDTH, b_width: int = MULTIPLIER_WIDTH):
        super().__init__(
            {
                "a": In(signed(a_width)),
                "b": In(signed(b_width)),
                "product": Out(signed(a_width + b_width)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        a, b = (Signal(signed(MULTIPLIER_WIDTH), name=name) for name in ("factor_a", "factor_b"))
        product = Signal(signed(2 * MULTIPLIER_WIDTH), name="whole_product")
        m.d.comb += [a.eq(self.a), b.eq(self.b), self.product.eq(product)]
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
                for name, factor in (("A", a), ("B", b))
                for bit, value in enumerate(factor)
            },
            **{f"o_P{bit}": value for bit, value in enumerate(product)},
        )
        return m


class Ecp5Target(GenericTarget):
    """An ECP5."""

    block_ram_output = {"init": ""}  # the block RAM's own register, which has no initial value
    rom = {"ram_style": "logic"}  # the fabric needs all block RAMs, and has LUTs to spare
    ram = {"ram_style": "distributed"}

    def multiply(self, a_width: int, b_width: int) -> wiring.Component:
        if max(a_width, b_width) > MULTIPLIER_WIDTH:
            return super().multiply(a_width, b_width)
        return Multiply(a_width, b_width)

    def leak_product(self, m: Module, states: list, factor) -> tuple[list, Value]:
        """With at least two cycles before the last state, the multiplier's own registers are used,
        and the state has a register on its way to the multiplier."""
        if len(states) < 3:
            return super().leak_product(m, states, factor)
        m.submodules.multiply = multiply = Multiply()
        state = states[0]
        for cycle in range(1, len(states) - 1):
            state = kept_register(m, state, f"multiplied_state_{cycle}")
        for cycle in range(2):
            factor = kept_register(m, factor, f"factor_{cycle}")
        m.d.comb += [multiply.a.eq(state), multiply.b.eq(factor)]
        return [kept_register(m, multiply.product, "product")], Cat()

    def add_either(self, m: Module, term, one, other, choice) -> Value:
        """Takes one LUT for each bit; synthesis finds such a form only for ``one + other``.

        A carry cell adds A and nothing when C and D are zero. So D must be the choice, and B and C
        the numbers to choose from; no other assignment of the pins works.
        """
        width = len(term) + 1
        operands = [Cat(value, value[-1].replicate(2)) for value in (term, one, other)]
        total, carry = Signal(signed(width + width % 2)), Const(0, 1)
        for bit in range(0, width, 2):
            carry_out = Signal()
            m.submodules += Instance(
                "CCU2C",
                p_INIT0=Const(EITHER, 16),
                p_INIT1=Const(EITHER, 16),
                p_INJECT1_0="NO",
                p_INJECT1_1="NO",
                i_CIN=carry,
                o_COUT=carry_out,
                **{
                    f"i_{pin}{half}": operand[bit + half]
                    for half in range(2)
                    for pin, operand in zip("ABC", operands, strict=True)
                },
                **{f"i_D{half}": choice for half in range(2)},
                **{f"o_S{half}": total[bit + half] for half in range(2)},
            )
            carry = carry_out
        return total[:width].as_signed()


class Clocks(wiring.Component):
    """Drives clock domains from one EHXPLLL, with aligned rising edges. They are in reset until the
    PLL has locked.

    The parent component must add the domains, which :meth:`driven` makes. The feedback uses an
    output of its own, so every clock can be any fraction of the oscillator's frequency.

    Parameters
    ----------
    domains : frequency in Hz of each domain, at most three
    reference : frequency of ``i`` in Hz

    Members
    -------
    i : In(1), the reference clock
    """

    i: In(1)

    OUTPUTS = "CLKOS", "CLKOS2", "CLKOS3"

    def __init__(self, domains: dict[str, float], *, reference: float):
        self._names = tuple(domains)
        self._settings = self.settings(reference, tuple(domains.values()))
        super().__init__()

    @staticmethod
    def driven(domains: dict[str, float]) -> list[ClockDomain]:
        """The clock domains. The first has no reset signal: the chip's global reset gives its
        registers their initial values, and needs no routing."""
        return [ClockDomain(name, reset_less=number == 0) for number, name in enumerate(domains)]

    @classmethod
    def settings(
        cls, reference: float, frequencies: tuple[float, ...]
    ) -> tuple[int, int, tuple[int, ...]]:
        """(reference divider, feedback divider, dividers of the clocks).

        The oscillator runs at ``reference * feedback / reference_divider``. Raises ValueError if no
        setting makes every frequency exactly, or if there are too many frequencies.
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
        for domain_name, output, clock_divider in zip(
            self._names, self.OUTPUTS, dividers, strict=False
        ):
            clock = Signal(name=f"{domain_name}_clk")
            outputs[output] = clock, clock_divider
            m.d.comb += ClockSignal(domain_name).eq(clock)
            if output != self.OUTPUTS[0]:
                m.submodules[f"reset_{domain_name}"] = ResetSynchronizer(
                    ~locked, domain=domain_name
                )
        arguments = {}
        for output, (clock, clock_divider) in outputs.items():
            arguments |= {
                f"p_{output}_ENABLE": "ENABLED",
                f"p_{output}_DIV": clock_divider,
                f"p_{output}_CPHASE": clock_divider - 1,
                f"p_{output}_FPHASE": 0,
                f"o_{output}": clock,
            }
        first = ClockSignal(self._names[0])
        steady = locked
        for stage in range(2):  # these registers are not affected by the global reset
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

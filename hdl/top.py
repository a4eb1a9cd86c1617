# SPDX-License-Identifier: Apache-2.0
"""The whole machine behind a byte stream: what the simulator compiles and every board wraps."""

import math

from amaranth.back import verilog as back
from amaranth.hdl import ClockDomain, Module, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from ornstein.hdl import regmap
from ornstein.hdl.config import FabricConfig
from ornstein.hdl.fabric import Fabric
from ornstein.hdl.link.bridge import Bridge
from ornstein.hdl.link.rate import Rate
from ornstein.hdl.link.uart import Uart
from ornstein.hdl.parts import Substitute, as_designed
from ornstein.hdl.timing import Timing

SILENCE = 1 << 20
"""Cycles after which an unfinished request is dropped: 22 ms at 48 MHz, longer than any host pauses
in a frame.
"""


class Register(wiring.Component):
    """Holds one byte, so that no logic lies between a port and a register; a byte every second
    cycle, latency one.

    Members
    -------
    i, o : streams of bytes
    """

    i: In(stream.Signature(8))
    o: Out(stream.Signature(8))

    def elaborate(self, platform):
        m = Module()
        held = Signal(8, reset_less=True)
        full = Signal()
        m.d.comb += [self.i.ready.eq(~full), self.o.valid.eq(full), self.o.payload.eq(held)]
        with m.If(~full):
            m.d.sync += [held.eq(self.i.payload), full.eq(self.i.valid)]
        with m.Elif(self.o.ready):
            m.d.sync += full.eq(0)
        return m


class Top(wiring.Component):
    """Fabric and link.

    Members
    -------
    i, o : streams of bytes from and to the host
    idle : in; the line has sent all that came from ``o``
    rate : out; the line's divisor in force, counted from zero

    Parameters
    ----------
    line : the serial line that carries the streams; without a choice of divisors ``idle`` and
        ``rate`` mean nothing
    silence : cycles after which an unfinished request is dropped
    substitute : may replace parts of the fabric, see :mod:`ornstein.hdl.parts`
    """

    def __init__(
        self,
        config: FabricConfig,
        line: regmap.Line = regmap.NO_LINE,
        *,
        silence: int = SILENCE,
        substitute: Substitute = as_designed,
    ):
        self._config, self._line, self._silence = config, line, silence
        self._substitute = substitute
        super().__init__(
            {
                "i": In(stream.Signature(8)),
                "o": Out(stream.Signature(8)),
                "idle": In(1),
                "rate": Out(range(max(2, len(line.divisors)))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.fabric = fabric = Fabric(self._config, self._line, substitute=self._substitute)
        m.submodules.bridge = bridge = Bridge(self._config, timeout=self._silence)
        connect(m, flipped(self.i), bridge.i)
        connect(m, bridge.o, flipped(self.o))
        connect(m, bridge.bus, fabric.bus)
        m.d.comb += bridge.events.eq(fabric.events)
        if len(self._line.divisors) > 1:
            patience = math.ceil(regmap.FALLBACK_SECONDS * self._line.clock / self._silence)
            m.submodules.rate = rate = Rate(len(self._line.divisors), patience=patience)
            bus = bridge.bus
            m.d.comb += [
                rate.ask.eq(
                    bus.request
                    & bus.write
                    & (bus.space == regmap.Space.CONTROL)
                    & (bus.address == regmap.Control.RATE)
                ),
                rate.index.eq(bus.wdata),
                rate.idle.eq(bridge.resting & self.idle),
                rate.heard.eq(self.i.valid & self.i.ready),
                rate.valid.eq(bridge.valid),
                rate.silence.eq(bridge.silence),
                self.rate.eq(rate.rate),
            ]
        return m


def on_serial_line(m: Module, config: FabricConfig, line: regmap.Line, rx: Value, tx: Signal):
    """Adds the machine and a UART, whose wires ``rx`` and ``tx`` are seen from the device."""
    m.submodules.uart = uart = Uart(*line.divisors, spare=line.spare)
    m.submodules.top = top = Top(config, line)
    if Timing.of(config).hop:  # a byte from the queue's block RAM would come too late
        m.submodules.received = received = Register()
        connect(m, uart.o, received.i)
        connect(m, received.o, top.i)
    else:
        connect(m, uart.o, top.i)
    connect(m, top.o, uart.i)
    m.d.comb += [uart.rx.eq(rx), tx.eq(uart.tx), top.idle.eq(uart.idle), uart.rate.eq(top.rate)]


def verilog(
    config: FabricConfig,
    line: regmap.Line = regmap.NO_LINE,
    *,
    silence: int = SILENCE,
    inputs: dict[str, Signal] | None = None,
    substitute: Substitute = as_designed,
) -> str:
    """The top as Verilog for a simulator: ports ``clk``, ``rate`` and the streams as ``i__payload``
    and so on. ``inputs`` are further signals, by name, that the simulator drives. ``substitute``
    may replace parts of the fabric.

    A simulator evaluates everything between a port and a register on every edge of the clock, so
    the streams pass a register, as they do in a board's UART, and there is no reset: registers
    begin at their initial values, as on a chip that has just been configured.
    """
    m = Module()
    m.domains.sync = clock = ClockDomain(reset_less=True)
    m.submodules.machine = machine = Top(config, line, silence=silence, substitute=substitute)
    m.submodules.receive = receive = Register()
    m.submodules.send = send = Register()
    connect(m, receive.o, machine.i)
    connect(m, machine.o, send.i)
    i, o = receive.i, send.o
    m.d.comb += machine.idle.eq(send.i.ready & ~machine.o.valid)
    ports = {"clk": (clock.clk, None), "rate": (machine.rate, None)}
    ports |= {name: (signal, None) for name, signal in (inputs or {}).items()}
    ports |= {
        f"{name}__{part}": (getattr(port, part), None)
        for name, port in (("i", i), ("o", o))
        for part in ("payload", "valid", "ready")
    }
    return back.convert(m, name="top", ports=ports, emit_src=False, strip_internal_attrs=True)

"""The whole machine behind a byte stream: what the simulator compiles and every board wraps."""

from amaranth.back import verilog as back
from amaranth.hdl import ClockDomain, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from ornstein.hdl.config import FabricConfig
from ornstein.hdl.fabric import Fabric
from ornstein.hdl.link.bridge import Bridge

SILENCE = 1 << 20
"""Cycles after which an unfinished request is dropped: 22 ms at 48 MHz, longer than any host pauses in a frame."""


class Register(wiring.Component):
    """Holds one byte, so that no logic lies between a port and a register; a byte every second cycle, latency one.

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
    """

    i: In(stream.Signature(8))
    o: Out(stream.Signature(8))

    def __init__(self, config: FabricConfig):
        self._config = config
        super().__init__()

    def elaborate(self, platform):
        m = Module()
        m.submodules.fabric = fabric = Fabric(self._config)
        m.submodules.bridge = bridge = Bridge(self._config, timeout=SILENCE)
        connect(m, flipped(self.i), bridge.i)
        connect(m, bridge.o, flipped(self.o))
        connect(m, bridge.bus, fabric.bus)
        m.d.comb += bridge.events.eq(fabric.events)
        return m


def verilog(config: FabricConfig) -> str:
    """The top as Verilog for a simulator: ports ``clk`` and the streams as ``i__payload`` and so on.

    A simulator evaluates everything between a port and a register on every edge of the clock, so the streams pass a
    register, as they do in a board's UART, and there is no reset: registers begin at their initial values, as on a chip
    that has just been configured.
    """
    m = Module()
    m.domains.sync = clock = ClockDomain(reset_less=True)
    m.submodules.machine = machine = Top(config)
    m.submodules.receive = receive = Register()
    m.submodules.send = send = Register()
    connect(m, receive.o, machine.i)
    connect(m, machine.o, send.i)
    i, o = receive.i, send.o
    ports = {"clk": (clock.clk, None)}
    ports |= {f"{name}__{part}": (getattr(port, part), None)
              for name, port in (("i", i), ("o", o)) for part in ("payload", "valid", "ready")}
    return back.convert(m, name="top", ports=ports, emit_src=False, strip_internal_attrs=True)

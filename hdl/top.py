"""The whole machine behind a byte stream: what the simulator compiles and every board wraps."""

from amaranth.hdl import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from ornstein.hdl.config import FabricConfig
from ornstein.hdl.fabric import Fabric
from ornstein.hdl.link.bridge import Bridge

SILENCE = 1 << 20
"""Cycles after which an unfinished request is dropped: 22 ms at 48 MHz, longer than any host pauses in a frame."""


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
    """The top as Verilog: ports ``clk``, ``rst``, and the streams as ``i__payload`` and so on."""
    from amaranth.back import verilog as back

    top = Top(config)
    ports = [top.i.payload, top.i.valid, top.i.ready, top.o.payload, top.o.valid, top.o.ready]
    return back.convert(top, name="top", ports=ports, emit_src=False, strip_internal_attrs=True)

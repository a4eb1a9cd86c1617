# SPDX-License-Identifier: Apache-2.0
"""Gateware that several boards share: the machine on a serial port, and the machine on USB."""

from types import SimpleNamespace

from amaranth.hdl import Module
from amaranth.lib import io
from amaranth.lib.wiring import connect

from ornstein.hdl.config import FabricConfig
from ornstein.hdl.link.usb import UsbSerial
from ornstein.hdl.regmap import Line
from ornstein.hdl.top import Top, on_serial_line


def request(platform, name: str):
    """The ports of a resource, without buffers."""
    resource = platform.lookup(name)
    parts = {part.name: "-" for part in resource.ios if hasattr(part, "name")}
    return platform.request(name, 0, dir=parts or "-")


def on_uart(m: Module, platform, config: FabricConfig, line: Line):
    """Adds the machine and connects it to the board's serial port."""
    pins = request(platform, "uart")
    m.submodules.rx = rx = io.Buffer("i", pins.rx)
    m.submodules.tx = tx = io.Buffer("o", pins.tx)
    on_serial_line(m, config, line, rx.i, tx.o)


def usb_serial(m: Module, platform, domain: str) -> UsbSerial:
    """Adds a serial port on the board's USB connector. The frequency of the pins' clock domain must
    be :data:`ornstein.hdl.link.usb.transceiver.CLOCK_HZ`."""
    pins = request(platform, "usb")
    buffers = {
        name: io.DDRBuffer("io", getattr(pins, name), i_domain=domain, o_domain=domain)
        for name in ("d_p", "d_n")
    }
    buffers["pullup"] = io.Buffer("o", pins.pullup)
    for name, buffer in buffers.items():
        m.submodules[name] = buffer
    m.submodules.usb = usb = UsbSerial(SimpleNamespace(**buffers), domain)
    return usb


def on_usb(m: Module, platform, config: FabricConfig, domain: str):
    """Adds the machine and connects it to a :func:`usb_serial`."""
    usb = usb_serial(m, platform, domain)
    m.submodules.top = top = Top(config)
    connect(m, usb.o, top.i)
    connect(m, top.o, usb.i)

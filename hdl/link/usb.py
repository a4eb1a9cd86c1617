"""The link's bytes over native USB: a CDC-ACM serial port made by LUNA, down to the wires.

LUNA 0.2 warns about the Amaranth it is written for, so only what needs USB imports this module.
"""

from amaranth.hdl import Elaboratable, Fragment, Module, ResetInserter, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped
from luna.gateware.usb.devices.acm import ACMRequestHandlers, USBSerialDevice
from luna.gateware.usb.usb2.device import USBDevice
from luna.gateware.usb.usb2.endpoints.stream import USBStreamInEndpoint, USBStreamOutEndpoint

from ornstein.hdl.link.crossing import Crossing
from ornstein.hdl.protocol import END

__all__ = ["DATA_ENDPOINT", "MAX_PACKET", "PRODUCT_ID", "VENDOR_ID", "UsbSerial"]

VENDOR_ID, PRODUCT_ID = 0x1209, 0x0001
"""pid.codes' numbers for tests and private use."""

MAX_PACKET = 64
"""Bytes of the longest bulk packet at full speed."""

DATA_ENDPOINT = USBSerialDevice._DATA_ENDPOINT_NUMBER
"""Of the bytes, both ways."""


class _Endpoint(Elaboratable):
    """An endpoint that a bus reset puts back to its first data toggle, which LUNA's own leave as it was."""

    def __init__(self, endpoint, reset):
        self.interface = endpoint.interface
        self._endpoint, self._reset = endpoint, reset

    def elaborate(self, platform):
        return ResetInserter({"usb": self._reset})(self._endpoint)


class _SerialDevice(USBSerialDevice):
    """LUNA's, with endpoints that know of bus resets."""

    def elaborate(self, platform):
        m = Module()
        m.submodules.usb = usb = USBDevice(bus=self._bus)
        usb.add_standard_control_endpoint(self.create_descriptors()).add_request_handler(ACMRequestHandlers())
        status, to_host = (USBStreamInEndpoint(endpoint_number=number, max_packet_size=self._max_packet_size)
                           for number in (self._STATUS_ENDPOINT_NUMBER, self._DATA_ENDPOINT_NUMBER))
        from_host = USBStreamOutEndpoint(endpoint_number=self._DATA_ENDPOINT_NUMBER,
                                         max_packet_size=self._max_packet_size)
        for endpoint in (status, to_host, from_host):
            usb.add_endpoint(_Endpoint(endpoint, usb.reset_detected))
        m.d.comb += [
            to_host.stream.stream_eq(self.tx),
            self.rx.stream_eq(from_host.stream),
            usb.connect.eq(self.connect),
        ]
        return m


class UsbSerial(wiring.Component):
    """Serial port in the clock domains ``usb`` (12 MHz) and ``usb_io`` (48 MHz, edges aligned); streams in ``sync``.

    A packet to the host ends where a frame ends, or when it is full: an answer never waits for the next one.

    Parameters
    ----------
    pins : object with ``d_p`` and ``d_n``, each with ``i``, ``o`` and ``oe``, and ``pullup`` with ``o``

    Members
    -------
    i : In(stream of 8), bytes to the host
    o : Out(stream of 8), bytes from the host
    """

    i: In(stream.Signature(8))
    o: Out(stream.Signature(8))

    def __init__(self, pins):
        self._pins = pins
        super().__init__()

    def elaborate(self, platform):
        m = Module()
        device = _SerialDevice(
            bus=self._pins, idVendor=VENDOR_ID, idProduct=PRODUCT_ID, manufacturer_string="Ornstein",
            product_string="Ornstein thermodynamic fabric", max_packet_size=MAX_PACKET)
        # told of an iCE40UP, LUNA would count with two multipliers, which the lanes need
        m.submodules.device = Fragment.get(device, platform=None)
        m.submodules.inward = inward = Crossing(8, i_domain="usb", o_domain="sync")
        m.submodules.outward = outward = Crossing(8, i_domain="sync", o_domain="usb")
        connect(m, flipped(self.i), outward.i)
        connect(m, inward.o, flipped(self.o))
        in_frame = Signal()  # a frame has an END before it and one after it
        ends = Signal()
        m.d.comb += [
            device.connect.eq(1),
            inward.i.payload.eq(device.rx.payload),
            inward.i.valid.eq(device.rx.valid),
            device.rx.ready.eq(inward.i.ready),
            ends.eq(outward.o.payload == END),
            device.tx.payload.eq(outward.o.payload),
            device.tx.valid.eq(outward.o.valid),
            device.tx.last.eq(ends & in_frame),
            outward.o.ready.eq(device.tx.ready),
        ]
        with m.If(outward.o.valid & outward.o.ready):
            m.d.usb += in_frame.eq(~ends)
        return m

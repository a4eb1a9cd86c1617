# SPDX-License-Identifier: Apache-2.0
"""The interface between the USB engine, which handles bytes and packets, and the transceiver, which
handles bits.
"""

from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["LineSignature"]


class LineSignature(wiring.Signature):
    """Packets as bytes, half duplex. Directions are those of the engine.

    Members
    -------
    send : Out(1), offer ``data`` to the transceiver; held until ``ready`` or ``idle``
    data : Out(8), the byte to send
    checksum : Out(1), with ``send``: send the next byte of the packet's CRC-16 instead of ``data``
    start : Out(1), with ``ready``: the checksums begin with the next bit
    ready : In(1), one cycle; while receiving, ``byte`` is complete; while sending, the next byte is
        needed now, and taken if ``send`` offers one
    byte : In(8), the byte received
    active : In(1), a packet is being received
    idle : In(1), no packet is being received or sent
    good_5, good_16 : In(1), the CRC-5 or CRC-16 of the bytes received since ``start`` is right;
        valid once ``active`` is low
    se0 : In(1), both wires are low
    """

    def __init__(self):
        super().__init__(
            {
                "send": Out(1),
                "data": Out(8),
                "checksum": Out(1),
                "start": Out(1),
                "ready": In(1),
                "byte": In(8),
                "active": In(1),
                "idle": In(1),
                "good_5": In(1),
                "good_16": In(1),
                "se0": In(1),
            }
        )

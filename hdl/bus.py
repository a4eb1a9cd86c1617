# SPDX-License-Identifier: Apache-2.0
"""The bus between the link and the fabric: one element at a time, addressed by space and
element.
"""

from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ornstein.hdl.protocol import REQUEST_HEADER, STATUS_BITS

__all__ = ["ADDRESS_BITS", "SPACE_BITS", "BusSignature"]

SPACE_BITS = 4
"""Bits of a space's number on the bus."""

ADDRESS_BITS = dict(REQUEST_HEADER)["address"]


class BusSignature(wiring.Signature):
    """One transaction at a time, from the initiator's view.

    The initiator sets ``space`` and ``write`` at least two cycles and ``address`` at least one
    cycle before it raises ``request`` with ``wdata``, so that they can be decoded. It holds all of
    them until ``done``, then drops ``request``. ``done`` may come in the same cycle as ``request``
    or any number of cycles later.

    Parameters
    ----------
    width : bits of the widest element. A narrower one travels in the low bits; the bits above it
        mean nothing.

    Members
    -------
    request : Out(1)
    space : Out(4), a :class:`ornstein.hdl.regmap.Space`
    address : Out(24), element in the space
    write : Out(1)
    wdata : Out(width)
    done : In(1), one cycle
    status : In(3), a :class:`ornstein.hdl.protocol.Status`, valid with ``done``
    rdata : In(width), valid with ``done`` of a read that ends in OK
    """

    def __init__(self, width: int):
        if width < 1:
            raise ValueError(f"width must be positive, not {width}")
        super().__init__(
            {
                "request": Out(1),
                "space": Out(SPACE_BITS),
                "address": Out(ADDRESS_BITS),
                "write": Out(1),
                "wdata": Out(width),
                "done": In(1),
                "status": In(STATUS_BITS),
                "rdata": In(width),
            }
        )
        self._width = width

    @property
    def width(self) -> int:
        """Bits of ``wdata`` and ``rdata``."""
        return self._width

    def __eq__(self, other):
        return isinstance(other, BusSignature) and self._width == other._width

    def __repr__(self):
        return f"BusSignature({self._width})"

# amaranth: UnusedElaboratable=no
# SPDX-License-Identifier: Apache-2.0
"""What the USB transceiver sends, whatever it is given to send and whatever is on the wires: proved
of the levels that it drives.
"""

import pytest
from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from helpers.formal import PROVED, REFUTED, always, examined, implies
from ornstein.hdl.link.usb import transceiver

BIT = 2  # cycles
J, SE0 = 0b01, 0b00


class Inside:
    """Gives access to the signals of a transceiver under proof."""

    def __init__(self, monkeypatch):
        self.signals: list[Signal] = []

        def signal(*shape, src_loc_at=0, **options):
            made = Signal(*shape, src_loc_at=src_loc_at + 1, **options)
            self.signals.append(made)
            return made

        monkeypatch.setattr(transceiver, "Signal", signal)


class Sent(wiring.Component):
    """No level lasts longer than seven bits, since a zero, which changes it, follows six ones
    (7.1.9); and a packet ends with SE0 for two bits and J for one (7.1.13.2).

    Beside what is to be proved stand the facts about the transceiver's registers that the induction
    needs, which are proved with it.
    """

    d_p: In(2)
    d_n: In(1)
    data: In(8)
    send: In(1)
    checksum: In(1)
    start: In(1)

    def __init__(self, inside: Inside):
        self.inside = inside
        super().__init__()

    def elaborate(self, platform):
        m = Module()
        dut = transceiver.Transceiver()
        m.submodules.transceiver = dut.elaborate(platform)  # names its signals
        m.d.comb += [
            dut.d_p.eq(self.d_p),
            dut.d_n.eq(self.d_n),
            dut.line.data.eq(self.data),
            dut.line.send.eq(self.send),
            dut.line.checksum.eq(self.checksum),
            dut.line.start.eq(self.start),
        ]
        levels, before, driven = Signal(2), Signal(2), Signal()
        lasts, lasted = (
            Signal(5),
            Signal(5, init=1),
        )  # cycles of the present levels, and of the last
        ends = Signal()  # SE0 was driven in this packet
        low = levels == SE0
        m.d.comb += [
            levels.eq(Cat(dut.o_p, dut.o_n)),
            lasts.eq(Mux(driven & (levels != before), 1, lasted + 1)),
        ]
        m.d.sync += [
            driven.eq(dut.oe),
            before.eq(levels),
            lasted.eq(Mux(dut.oe, lasts, 1)),
            ends.eq(dut.oe & (low | ends)),
        ]
        always(m, implies(dut.oe & ~low & ~ends, lasts <= 7 * BIT))
        always(m, implies(dut.oe & low, lasts <= 2 * BIT))
        always(m, implies(dut.oe & ends & ~low, levels == J))
        always(m, implies(dut.oe & ends & ~low & (lasts == 1), lasted == 2 * BIT))
        always(m, implies(ends & ~dut.oe, (before == J) & (lasted == BIT)))

        # made first; Amaranth names no signals that are made in one statement
        driving, ending = self.inside.signals[:2]
        named = {signal.name: signal for signal in self.inside.signals}
        second, ones, count = named["second"], named["ones"], named["count"]
        always(m, implies(driving & ~ending, (ones <= 6) & (lasts == 2 * ones + 1 + second)))
        always(m, implies(ending, driving & (count <= 3)))
        at_zero = ending & (count == 0)
        always(m, implies(at_zero, second & (ones < 6) & (lasts == 2 * ones + 2)))
        in_se0 = ending & ((count == 1) | (count == 2))
        always(m, implies(in_se0, (ones == 0) & (lasts == 2 * count - 1 + second)))
        always(m, implies(ending & (count == 3), (ones == 0) & (lasts == 1 + second)))
        begun = ending & ((count == 1) & second | (count == 2) | (count == 3))
        always(m, implies(dut.oe, ends == begun))
        return m


@pytest.mark.parametrize("stuffed, outcome", [(6, PROVED), (7, REFUTED)])
def test_levels_that_are_sent(tmp_path, monkeypatch, stuffed, outcome):
    """By induction. A transceiver that stuffs after seven ones is refuted."""
    monkeypatch.setattr(transceiver, "_STUFFED", stuffed)
    specification = Sent(Inside(monkeypatch))
    proved = outcome == PROVED
    assert examined(specification, tmp_path, depth=3 if proved else 20, induction=proved) == outcome

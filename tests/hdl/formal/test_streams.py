# amaranth: UnusedElaboratable=no
# SPDX-License-Identifier: Apache-2.0
"""The rules of streams and the order of elements, proved of every component of the link that has a
stream as its output.

A sender holds ``valid`` and does not change ``payload`` until ``ready`` (Amaranth's stream rules).
``test_usb.py`` proves those of the USB engine, whose output follows from its microprogram.
"""

import pytest
from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from helpers.formal import PROVED, REFUTED, always, examined, given, hesitates, implies
from ornstein.hdl.link.crossing import Crossing
from ornstein.hdl.link.queue import Queue
from ornstein.hdl.link.slip import Deframer, Framer
from ornstein.hdl.link.uart import Receiver
from ornstein.hdl.protocol import END, ESC
from ornstein.hdl.top import Register


class Rules(wiring.Component):
    """A component keeps the rules at its output if its sender keeps them at its input."""

    i_valid: In(1)
    i_payload: In(9)
    o_ready: In(1)
    other: In(1)

    def __init__(self, component, i_domain="sync", o_domain="sync"):
        self.component, self.domains = component, (i_domain, o_domain)
        super().__init__()

    def elaborate(self, platform):
        m = Module()
        m.submodules.component = component = self.component
        i_domain, o_domain = self.domains
        if hasattr(component, "i"):
            payload = Value.cast(component.i.payload)
            m.d.comb += [component.i.valid.eq(self.i_valid), payload.eq(self.i_payload)]
            given(m, hesitates(m, component.i, i_domain))
        else:
            m.d.comb += component.rx.eq(self.other)
        m.d.comb += component.o.ready.eq(self.o_ready)
        always(m, hesitates(m, component.o, o_domain))
        return m


class Impatient(Queue):
    """A queue that drops what it offers when another element comes."""

    def elaborate(self, platform):
        m = super().elaborate(platform)
        with m.If(self.i.valid):
            m.d.sync += self.o.valid.eq(0)
        return m


COMPONENTS = {
    "queue": lambda: Queue(9, 2),
    "register": Register,
    "framer": Framer,
    "deframer": Deframer,
    "receiver": lambda: Receiver(4, 5),
}


@pytest.mark.parametrize("name", COMPONENTS)
def test_stream_rules(tmp_path, name):
    """By induction over all inputs."""
    assert examined(Rules(COMPONENTS[name]()), tmp_path, depth=3) == PROVED


def test_a_broken_stream_rule_is_refuted(tmp_path):
    assert examined(Rules(Impatient(9, 2)), tmp_path, depth=8, induction=False) == REFUTED


class Order(wiring.Component):
    """Elements that are numbered as they enter leave by their numbers, in two clock domains or one.

    So none is lost, none comes twice, and none overtakes another. The number has more values than
    the component holds elements.
    """

    i_valid: In(1)
    o_ready: In(1)

    def __init__(self, component, i_domain="sync", o_domain="sync"):
        self.component, self.domains = component, (i_domain, o_domain)
        super().__init__()

    def elaborate(self, platform):
        m = Module()
        m.submodules.component = component = self.component
        i_domain, o_domain = self.domains
        entered, left = Signal(3), Signal(3)
        m.d.comb += [
            component.i.valid.eq(self.i_valid),
            component.i.payload.eq(entered),
            component.o.ready.eq(self.o_ready),
        ]
        with m.If(component.i.valid & component.i.ready):
            m.d[i_domain] += entered.eq(entered + 1)
        with m.If(component.o.valid & component.o.ready):
            m.d[o_domain] += left.eq(left + 1)
        given(m, hesitates(m, component.i, i_domain))
        always(m, implies(component.o.valid, component.o.payload == left))
        always(m, hesitates(m, component.o, o_domain))
        return m


class Overtaking(Queue):
    """A queue whose newest element takes the place of the one at the output as that is taken."""

    def elaborate(self, platform):
        m = super().elaborate(platform)
        with m.If(self.i.valid & self.o.ready):
            m.d.comb += self.o.payload.eq(self.i.payload)
        return m


@pytest.mark.parametrize("queue, outcome", [(Queue, PROVED), (Overtaking, REFUTED)])
def test_order_of_a_queue(tmp_path, queue, outcome):
    """For 12 cycles after power-up, in which a queue of two can be filled and emptied twice."""
    order = Order(queue(3, 2))
    found = examined(order, tmp_path, depth=12, induction=False, small_memories=True)
    assert found == outcome


class Unguarded(Crossing):
    """A crossing that takes the next element before the one that it holds has arrived."""

    def elaborate(self, platform):
        m = super().elaborate(platform)
        m.d.comb += self.i.ready.eq(1)
        return m


@pytest.mark.parametrize("crossing, outcome", [(Crossing, PROVED), (Unguarded, REFUTED)])
def test_order_of_a_crossing(tmp_path, crossing, outcome):
    """Whatever the two clocks do, for 24 steps, in each of which either clock may move: enough for
    two elements, which take about three cycles of each clock."""
    order = Order(crossing(3, i_domain="fast", o_domain="slow"), "fast", "slow")
    found = examined(order, tmp_path, depth=24, induction=False, domains=("fast", "slow"))
    assert found == outcome


class Resynchronised(wiring.Component):
    """A deframer that has heard anything, and one that has heard nothing but ENDs before the first
    END.

    ``heard`` is what comes; a byte comes in every cycle, since nothing happens without one.
    """

    heard: In(8)

    def __init__(self, deframer):
        self.deframer = deframer
        super().__init__()

    def elaborate(self, platform):
        m = Module()
        m.submodules.old, m.submodules.new = old, new = self.deframer, Deframer()
        ended = Signal()
        with m.If(self.heard == END):
            m.d.sync += ended.eq(1)
        for each, payload in ((old, self.heard), (new, Mux(ended, self.heard, END))):
            m.d.comb += [each.i.valid.eq(1), each.i.payload.eq(payload), each.o.ready.eq(1)]
        same = Cat(old.o.valid, old.o.payload) == Cat(new.o.valid, new.o.payload)
        always(m, implies(ended, same))
        return m


class Stuck(Deframer):
    """A deframer that finds errors for ever once an ESC has come."""

    def elaborate(self, platform):
        m = super().elaborate(platform)
        stuck = Signal()
        with m.If(self.i.valid & (self.i.payload == ESC)):
            m.d.sync += stuck.eq(1)
        with m.If(stuck):
            m.d.comb += self.o.payload.error.eq(1)
        return m


@pytest.mark.parametrize("deframer, outcome", [(Deframer, PROVED), (Stuck, REFUTED)])
def test_framing_is_found_again_after_one_byte(tmp_path, deframer, outcome):
    """After any bytes one END is enough: by induction."""
    assert examined(Resynchronised(deframer()), tmp_path, depth=4) == outcome


class Chain(wiring.Component):
    """A frame of any bytes through the framer and the deframer, which comes out as it went in."""

    data: In(8)
    last: In(1)
    valid: In(1)
    ready: In(1)

    def elaborate(self, platform):
        m = Module()
        m.submodules.framer, m.submodules.deframer = framer, deframer = Framer(), Deframer()
        i, item = framer.i, deframer.o.payload
        taken, waiting = Signal(8), Signal()
        m.d.comb += [
            i.valid.eq(self.valid),
            i.payload.data.eq(self.data),
            i.payload.last.eq(self.last),
            deframer.i.valid.eq(framer.o.valid),
            deframer.i.payload.eq(framer.o.payload),
            framer.o.ready.eq(deframer.i.ready),
            deframer.o.ready.eq(self.ready),
        ]
        arrives = deframer.o.valid & ~item.end
        # a byte that needs no escape arrives as it is taken, an escaped one after it
        with m.If(i.valid & i.ready):
            m.d.sync += [taken.eq(i.payload.data), waiting.eq(~arrives)]
        with m.Elif(arrives & deframer.o.ready):
            m.d.sync += waiting.eq(0)
        given(m, hesitates(m, i, "sync"))
        always(m, ~item.error | ~deframer.o.valid)
        always(m, implies(arrives & ~waiting, item.data == i.payload.data))
        always(m, implies(arrives & waiting, item.data == taken))
        always(m, implies(i.valid & i.ready, ~waiting))
        return m


def test_a_frame_comes_out_as_it_went_in(tmp_path):
    """For 14 cycles: several bytes, escaped or not, with pauses anywhere."""
    assert examined(Chain(), tmp_path, depth=14, induction=False) == PROVED

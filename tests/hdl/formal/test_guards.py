# amaranth: UnusedElaboratable=no
# SPDX-License-Identifier: Apache-2.0
"""No bus access without a frame whose CRC is right, and never two writers at one memory port."""

import pytest
from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from helpers.formal import PROVED, REFUTED, always, examined, given, implies
from ornstein.hdl.config import TINY, ULX3S
from ornstein.hdl.fabric.access import Access
from ornstein.hdl.link import bridge
from ornstein.hdl.protocol import WAIT_UNIT
from ornstein.hdl.spaces import When, spaces
from ornstein.hdl.timing import Timing


class Inside:
    """Gives access to the signals, the states and the checksum of a bridge under proof."""

    def __init__(self, monkeypatch):
        self.signals: dict[str, Signal] = {}

        def signal(*shape, src_loc_at=0, **options):
            made = Signal(*shape, src_loc_at=src_loc_at + 1, **options)
            if isinstance(made, Signal):  # not a view of a structure
                self.signals[made.name] = made
            return made

        signal.like = Signal.like

        def states(*arguments):
            self.states = bridge_states(*arguments)
            return self.states

        def checksum():
            self.checksum = bridge_checksum()
            return self.checksum

        bridge_states, bridge_checksum = bridge.States, bridge.Checksum
        monkeypatch.setattr(bridge, "Signal", signal)
        monkeypatch.setattr(bridge, "States", states)
        monkeypatch.setattr(bridge, "Checksum", checksum)


class Credulous(bridge.Bridge):
    """A bridge that takes every frame to be intact."""

    def elaborate(self, platform):
        m = super().elaborate(platform)
        m.d.sync += self.inside.signals["intact"].eq(1)
        return m


class Guarded(wiring.Component):
    """``checked`` holds from a frame that was found right to the next byte.

    Beside what is to be proved stand the facts about the bridge's states that the induction needs,
    which are proved with it.
    """

    i_valid: In(1)
    i_payload: In(8)
    o_ready: In(1)
    done: In(1)
    status: In(3)
    events: In(8)

    def __init__(self, make, inside: Inside):
        self.make, self.inside = make, inside
        super().__init__()

    def elaborate(self, platform):
        m = Module()
        dut = self.make(TINY, timeout=WAIT_UNIT)
        dut.inside = self.inside
        body = dut.elaborate(platform)  # now, so that the signals inside are known
        m.submodules.bridge = body
        signals, states = self.inside.signals, self.inside.states
        right, checked = Signal(), Signal()
        m.d.comb += [
            dut.i.valid.eq(self.i_valid),
            dut.i.payload.eq(self.i_payload),
            dut.o.ready.eq(self.o_ready),
            dut.bus.done.eq(self.done),
            dut.bus.status.eq(self.status),
            dut.events.eq(self.events),
        ]
        m.d.sync += right.eq(self.inside.checksum.right)
        with m.If(dut.i.valid & dut.i.ready):
            m.d.sync += checked.eq(0)
        with m.If(dut.valid):
            m.d.sync += checked.eq(1)
        always(m, implies(dut.bus.request, checked))
        always(m, implies(dut.valid, right))

        every = Cat(*states._registers.values())
        always(m, (every != 0) & ((every & (every - 1)) == 0))
        for name in ("REPLAY", "START", "GATHER", "TRANSFER", "WAIT", "DATA"):
            always(m, implies(states[name], checked))
        answering = states["SEQUENCE"] | states["STATUS"]
        always(m, implies(answering & signals["more"], checked))
        always(m, implies(signals["intact"], right))
        return m


@pytest.mark.parametrize(
    "make, outcome, induction, depth",
    [(bridge.Bridge, PROVED, True, 2), (Credulous, REFUTED, False, 12)],
)
def test_no_access_without_a_checked_frame(tmp_path, monkeypatch, make, outcome, induction, depth):
    """By induction: in no state does the bridge use the bus unless the last frame's CRC was right
    and no byte has come since."""
    guarded = Guarded(make, Inside(monkeypatch))
    assert examined(guarded, tmp_path, depth=depth, induction=induction) == outcome


class Grants(wiring.Component):
    """The bus and the engine at the write port of a memory that both write.

    The bus keeps the rules of ``BusSignature``; the engine announces its writes as ``Fabric`` does,
    unless they go unheard.
    """

    request: In(1)
    space: In(4)
    write: In(1)
    idle: In(1)
    writes_soon: In(1)
    reads_soon: In(1)

    def __init__(self, config, heard: bool):
        self.config, self.heard = config, heard
        super().__init__()

    def elaborate(self, platform):
        m = Module()
        timing = Timing.of(self.config)
        contended = next(
            info.space for info in spaces(self.config).values() if info.write == When.CONTENDED
        )
        m.submodules.access = access = Access(self.config, {"user": contended})
        bus = access.bus
        m.d.comb += [
            bus.request.eq(self.request),
            bus.space.eq(self.space),
            bus.write.eq(self.write),
            access.idle.eq(self.idle),
            access.writes_soon.eq(self.writes_soon & self.heard),
            access.reads_soon.eq(self.reads_soon),
        ]
        fields = Cat(bus.space, bus.write)
        before, earlier = Signal.like(fields), Signal.like(fields)
        unanswered, answered = Signal(), Signal()
        m.d.sync += [
            before.eq(fields),
            earlier.eq(before),
            unanswered.eq(bus.request & ~bus.done),
            answered.eq(bus.request & bus.done),
        ]
        given(m, implies(bus.request, (fields == before) & (before == earlier)))
        given(m, implies(unanswered, bus.request))
        given(m, implies(answered, ~bus.request))

        def delayed(signal, cycles, name):
            for cycle in range(cycles):
                following = Signal(name=f"{name}_{cycle}")
                m.d.sync += following.eq(signal)
                signal = following
            return signal

        engine = delayed(self.writes_soon, timing.bus_write, "engine_writes")
        host = delayed(access.user.write & access.user.selected, timing.hop, "host_writes")
        always(m, ~(engine & host))
        return m


@pytest.mark.parametrize("heard, outcome", [(True, PROVED), (False, REFUTED)])
@pytest.mark.parametrize("config", [TINY, ULX3S], ids=lambda config: config.name)
def test_one_writer_at_a_time(tmp_path, config, heard, outcome):
    """By induction, with memories beside the bus and with memories a hop away."""
    assert examined(Grants(config, heard), tmp_path, depth=10) == outcome

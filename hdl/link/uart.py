# SPDX-License-Identifier: Apache-2.0
"""Asynchronous serial line, eight data bits, no parity, one stop bit."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.cdc import FFSynchronizer
from amaranth.lib.wiring import In, Out, connect, flipped

from ornstein.hdl.arithmetic import select
from ornstein.hdl.link.queue import Queue
from ornstein.hdl.protocol import MAX_REQUEST

__all__ = ["Receiver", "Transmitter", "Uart"]

MIN_DIVISOR = 4
"""Smallest number of cycles per bit. With fewer, the receiver samples too coarsely to tolerate any
deviation of the sender's clock.
"""


def _checked(divisors: tuple[int, ...]) -> tuple[int, ...]:
    if min(divisors) < MIN_DIVISOR:
        raise ValueError(
            f"divisor must be at least {MIN_DIVISOR} cycles per bit, not {min(divisors)}"
        )
    return divisors


def _rates(divisors: tuple[int, ...]):
    """Shape of an index into the divisors."""
    return range(max(2, len(divisors)))


class Receiver(wiring.Component):
    """Receives bytes from a line. A byte is offered about 9.5 bits after the beginning of its start
    bit, and held until the next byte.

    Parameters
    ----------
    divisors : clock cycles per bit that ``rate`` can choose, each at least 4

    Members
    -------
    rx : In(1), asynchronous
    rate : In, index of the divisor; changes only while the line is quiet
    o : Out(stream of 8)
    overflow : Out(1), one cycle: a byte was lost because ``o`` had not been taken
    framing : Out(1), one cycle: a byte was dropped because its stop bit was missing
    """

    def __init__(self, *divisors: int):
        self._divisors = _checked(divisors)
        super().__init__(
            {
                "rx": In(1, init=1),
                "rate": In(_rates(divisors)),
                "o": Out(stream.Signature(8)),
                "overflow": Out(1),
                "framing": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        line = Signal(init=1)
        m.submodules.synchronizer = FFSynchronizer(self.rx, line, init=1)
        timer = Signal(range(max(self._divisors)), reset_less=True)
        last = select(self.rate, [divisor - 1 for divisor in self._divisors])
        half = select(self.rate, [(divisor - 1) // 2 for divisor in self._divisors])
        due = Signal()  # the timer has run down
        bits = Signal(
            8, reset_less=True
        )  # below the bits received is a one, which falls out with the last

        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        m.d.sync += [timer.eq(Mux(due, last, timer - 1)), due.eq(timer == 1)]
        with m.FSM():
            with m.State("IDLE"):
                m.d.sync += [timer.eq(half), due.eq(0), bits.eq(1 << 7)]
                with m.If(~line):
                    m.next = "START"
            with m.State("START"):
                with m.If(due):
                    m.next = "BITS"
                    with m.If(line):
                        m.next = "IDLE"
            with m.State("BITS"):
                with m.If(due):
                    m.d.sync += bits.eq(Cat(bits[1:], line))
                    with m.If(bits[0]):
                        m.next = "STOP"
            with m.State("STOP"):
                with m.If(due):
                    m.next = "BREAK"
                    with m.If(line):
                        m.next = "IDLE"
                        m.d.comb += self.overflow.eq(self.o.valid & ~self.o.ready)
                        with m.If(~self.overflow):
                            m.d.sync += [self.o.valid.eq(1), self.o.payload.eq(bits)]
                    with m.Else():
                        m.d.comb += self.framing.eq(1)
            with m.State("BREAK"):
                with m.If(line):
                    m.next = "IDLE"
        return m


class Transmitter(wiring.Component):
    """Sends bytes on a line, ten bits each, without a gap while ``i`` is valid.

    Parameters
    ----------
    divisors : clock cycles per bit that ``rate`` can choose, each at least 4

    Members
    -------
    i : In(stream of 8)
    rate : In, index of the divisor; changes only while ``idle``
    tx : Out(1), from a register
    idle : Out(1), the last byte's stop bit has been sent and ``i`` is not valid
    """

    def __init__(self, *divisors: int):
        self._divisors = _checked(divisors)
        super().__init__(
            {
                "i": In(stream.Signature(8)),
                "rate": In(_rates(divisors)),
                "tx": Out(1, init=1),
                "idle": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        timer = Signal(range(max(self._divisors)), reset_less=True)
        last, shorter = (
            select(self.rate, [divisor - less for divisor in self._divisors]) for less in (1, 2)
        )
        bits = Signal(9, init=-1)
        left = Signal(range(11))  # bits that have not ended
        resting = Signal(init=1)  # left is zero
        m.d.comb += [
            self.tx.eq(bits[0]),
            self.i.ready.eq(resting),
            self.idle.eq(resting & ~self.i.valid),
        ]
        with m.If(resting):
            m.d.sync += timer.eq(last)
            with m.If(self.i.valid):
                m.d.sync += [bits.eq(Cat(0, self.i.payload)), left.eq(10), resting.eq(0)]
        with m.Elif(timer == 0):
            # The cycle in which the next byte is taken is part of the stop bit.
            m.d.sync += [
                timer.eq(Mux(left == 2, shorter, last)),
                bits.eq(Cat(bits[1:], 1)),
                left.eq(left - 1),
                resting.eq(left == 1),
            ]
        with m.Else():
            m.d.sync += timer.eq(timer - 1)
        return m


class Uart(wiring.Component):
    """A serial line as a pair of byte streams. Received bytes wait in a queue that holds at least
    one whole request, since the sender cannot be told to pause.

    Parameters
    ----------
    divisors : clock cycles per bit that ``rate`` can choose, each at least 4
    spare : bytes that the queue holds beside a whole request; ``MAX_REQUEST + spare`` must be a
        power of two

    Members
    -------
    rx : In(1), asynchronous
    tx : Out(1), from a register
    rate : In, index of the divisor; changes only while ``idle`` and nothing is received
    idle : Out(1), all bytes of ``i`` have been sent
    i : In(stream of 8), bytes to send
    o : Out(stream of 8), bytes received
    overflow : Out(1), one cycle: a received byte was lost because the queue was full
    framing : Out(1), one cycle: a received byte was dropped because its stop bit was missing
    """

    def __init__(self, *divisors: int, spare: int = 0):
        self._divisors, self._spare = _checked(divisors), spare
        super().__init__(
            {
                "rx": In(1, init=1),
                "tx": Out(1, init=1),
                "rate": In(_rates(divisors)),
                "idle": Out(1),
                "i": In(stream.Signature(8)),
                "o": Out(stream.Signature(8)),
                "overflow": Out(1),
                "framing": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.receiver = receiver = Receiver(*self._divisors)
        m.submodules.transmitter = transmitter = Transmitter(*self._divisors)
        m.submodules.queue = queue = Queue(8, MAX_REQUEST + self._spare)
        connect(m, receiver.o, queue.i)
        connect(m, queue.o, flipped(self.o))
        connect(m, flipped(self.i), transmitter.i)
        m.d.comb += [
            receiver.rx.eq(self.rx),
            receiver.rate.eq(self.rate),
            transmitter.rate.eq(self.rate),
            self.idle.eq(transmitter.idle),
            self.tx.eq(transmitter.tx),
            self.overflow.eq(receiver.overflow),
            self.framing.eq(receiver.framing),
        ]
        return m

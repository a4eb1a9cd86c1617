# SPDX-License-Identifier: Apache-2.0
"""A simulated full-speed USB host that drives the wires of a simulated device with a serial port.

Universal Serial Bus Specification 2.0: chapter 7 (line states, NRZI, bit stuffing, time-outs), 8
(packets, toggles, handshakes), 9 (enumeration); Communications Device Class, PSTN subclass 1.2
(line coding).
"""

import ctypes
import enum
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar

from amaranth.back import verilog as back
from amaranth.hdl import ClockDomain, Module, Signal
from amaranth.lib import crc, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped
from vcd import VCDWriter

from ornstein.hdl.config import FabricConfig
from ornstein.hdl.link.queue import Queue
from ornstein.hdl.link.usb import UsbSerial
from ornstein.hdl.link.usb.descriptors import DATA_ENDPOINT, MAX_PACKET, TO_HOST
from ornstein.hdl.link.usb.transceiver import CLOCK_HZ
from ornstein.hdl.top import Top
from ornstein.sim import verilated
from ornstein.sim.transport import LinkError, Transport

HARNESS = Path(__file__).with_name("usb.cpp")
"""C++ that drives the wires of a simulated device or, with PADS defined, of a netlist."""
_FABRIC_CLOCKS = Fraction(4)
"""Frequency of the fabric's clock over that of USB where :func:`library` gives USB its own."""
_J, _K, _SE0 = 0b01, 0b10, 0b00
"""Line states: D+ is bit 0, D- bit 1."""
_SAMPLES = 4
"""Samples that the harness takes per bit."""
_PATIENCE = 18
"""Bit times after which a host treats a transaction as unanswered (7.1.19.1)."""
_GAP = 4
"""Bit times between packets of the host; at least two (7.1.18.1)."""
BITS_PER_SECOND = 12_000_000
SAMPLE_HZ = _SAMPLES * BITS_PER_SECOND
_FRAME = BITS_PER_SECOND // 1000
"""Bit times between start-of-frame packets."""
_RESET = 10 * _FRAME
"""Bit times of a bus reset (7.1.7.5)."""
_RETRIES = 10_000
"""Number of times that a host repeats a transaction after a NAK before it gives up."""

_T = TypeVar("_T")

_CRC5 = crc.catalog.CRC5_USB(data_width=11)
_CRC16 = crc.catalog.CRC16_USB(data_width=8)


class Pid(enum.IntEnum):
    """Packet identifiers without their check nibble (table 8-1)."""

    OUT, IN, SOF, SETUP = 0x1, 0x9, 0x5, 0xD
    DATA0, DATA1 = 0x3, 0xB
    ACK, NAK, STALL = 0x2, 0xA, 0xE


class UsbError(LinkError):
    """The device broke a rule of USB, or did not answer."""


class Stalled(UsbError):
    """The device refused the request."""


def line_states(packet: bytes) -> bytes:
    """Returns the line states of a packet, one per bit time.

    They are the sync pattern, the bits with bit stuffing and NRZI coding, the end of packet and one
    idle state.
    """
    bits, ones = [], 0
    for byte in b"\x80" + packet:
        for index in range(8):
            bit = byte >> index & 1
            bits.append(bit)
            ones = ones + 1 if bit else 0
            if ones == 6:
                bits.append(0)
                ones = 0
    state, states = _J, []
    for bit in bits:
        state = state if bit else state ^ (_J | _K)
        states.append(state)
    return bytes([*states, _SE0, _SE0, _J])


def packet_of(states: bytes) -> bytes:
    """Returns the packet of line states. Raises UsbError if the states are no packet."""
    if states[-2:] == bytes([_SE0, _J]):
        states = states[:-1]
    if states[-2:] != bytes([_SE0, _SE0]):
        raise UsbError(f"a packet of {len(states)} bit times does not end with SE0")
    last, ones, bits = _J, 0, []
    for state in states[:-2]:
        bit = int(state == last)
        if ones == 6 and bit:
            raise UsbError("a seventh one in place of a stuffed zero")
        if ones != 6:
            bits.append(bit)
        ones = ones + 1 if bit else 0
        last = state
    if ones == 6:
        raise UsbError("no stuffed zero before the end of the packet")
    if bits[:8] != [0, 0, 0, 0, 0, 0, 0, 1] or len(bits) % 8:
        raise UsbError(f"no sync pattern before a packet, or {len(bits)} bits, not whole bytes")
    number = sum(bit << index for index, bit in enumerate(bits[8:]))
    return number.to_bytes(len(bits) // 8 - 1, "little")


def _identifier(pid: Pid) -> int:
    """Returns the packet identifier with its check nibble."""
    return pid | (~pid & 0xF) << 4


def token(pid: Pid, field: int) -> bytes:
    """Returns a token packet.

    Its field of eleven bits holds address and endpoint or, in a start of frame, the frame's number.
    """
    return bytes([_identifier(pid)]) + (field | _CRC5.compute([field]) << 11).to_bytes(2, "little")


def data_packet(pid: Pid, data: bytes) -> bytes:
    """Returns a data packet with its CRC."""
    return bytes([_identifier(pid)]) + data + _CRC16.compute(data).to_bytes(2, "little")


def write_vcd(trace: bytes, file: Path) -> None:
    """Writes wires that :attr:`UsbHost.trace` recorded, as signals ``dp`` and ``dm`` of a VCD file.

    Times are whole multiples of ten nanoseconds, an eighth of a bit.
    """
    with file.open("w") as text, VCDWriter(text, timescale="10 ns") as writer:
        wires = [writer.register_var("usb", name, "wire", size=1) for name in ("dp", "dm")]
        before = None
        for place, state in enumerate(trace):
            if state == before:
                continue
            for bit, wire in enumerate(wires):
                writer.change(wire, place * 10**8 // SAMPLE_HZ, state >> bit & 1)
            before = state
        writer.close(len(trace) * 10**8 // SAMPLE_HZ)


def handshake(pid: Pid) -> bytes:
    """Returns a handshake packet."""
    return bytes([_identifier(pid)])


class Echo(wiring.Component):
    """Sends received bytes back; it takes the place of the fabric in tests of the USB device.

    Members
    -------
    i, o : streams of bytes
    """

    i: In(stream.Signature(8))  # pyright: ignore
    o: Out(stream.Signature(8))  # pyright: ignore

    DEPTH = 256
    """Bytes that it can hold."""

    def elaborate(self, platform):
        m = Module()
        m.submodules.queue = queue = Queue(8, self.DEPTH)
        connect(m, flipped(self.i), queue.i)  # pyright: ignore
        connect(m, queue.o, flipped(self.o))  # pyright: ignore
        return m


def verilog(behind: wiring.Component, domain: str) -> str:
    """Returns Verilog, for the harness, of a USB device with a component behind its serial port.

    ``behind`` has streams of bytes ``i`` and ``o``. ``domain`` is the clock domain of the USB
    device. The ports are the signals between a board's input and output buffers and the device.
    """
    m = Module()
    clocks = {}
    for name in dict.fromkeys(("sync", domain)):
        m.domains += (clock := ClockDomain(name, reset_less=True))
        clocks[f"{name}_clk"] = clock.clk, None
    pins = SimpleNamespace(
        d_p=SimpleNamespace(
            i=Signal(2, name="d_p_i"), o=Signal(2, name="d_p_o"), oe=Signal(name="oe")
        ),
        d_n=SimpleNamespace(
            i=Signal(2, name="d_n_i"), o=Signal(2, name="d_n_o"), oe=Signal(name="n_oe")
        ),
        pullup=SimpleNamespace(o=Signal(name="pullup")),
    )
    m.submodules.usb = usb = UsbSerial(pins, domain)
    m.submodules.behind = behind
    connect(m, usb.o, behind.i)  # pyright: ignore
    connect(m, behind.o, usb.i)  # pyright: ignore
    ports = clocks | {
        signal.name: (signal, None)
        for signal in (pins.d_p.i, pins.d_p.o, pins.d_p.oe, pins.d_n.i, pins.d_n.o, pins.pullup.o)
    }
    return back.convert(m, name="top", ports=ports, emit_src=False, strip_internal_attrs=True)


def library(config: FabricConfig | None, *, crossed: bool = False) -> Path:
    """Returns the compiled simulator of a device, which is built if the cache does not hold it.

    Parameters
    ----------
    config : the fabric behind the device's serial port; None for :class:`Echo`
    crossed : whether USB has its own clock, :data:`_FABRIC_CLOCKS` times slower than the fabric's

    Raises
    ------
    ToolError
        Verilator or a C++ compiler is missing, or the build failed.
    """
    return verilated.library(
        config.name if config else "echo",
        lambda: verilog(Top(config) if config else Echo(), "usb" if crossed else "sync"),
        HARNESS,
        depends=repr(config),
        sources=(Path(__file__),),
        defines=(f"CROSSED={crossed_edges(_FABRIC_CLOCKS)}",) if crossed else (),
    )


def crossed_edges(ratio: Fraction) -> int:
    """Returns the edges of the fabric's clock in a cycle of USB's, for the harness.

    ``ratio`` is the fabric's frequency over that of USB. Raises ValueError if edges of the fabric's
    clock do not come at the same time as every rising edge of USB's.
    """
    edges = 2 * ratio
    if edges.denominator != 1:
        raise ValueError(f"the fabric's clock has {edges} edges in a cycle of USB's")
    return int(edges)


class UsbHost:
    """A host with one device at its port.

    Parameters
    ----------
    built : simulator of the device, from :func:`library` or :func:`ornstein.sim.netlist.library`

    Attributes
    ----------
    address : the device's address
    toggles : data toggle of the next packet, by direction ("in", "out") and endpoint; 0, for DATA0,
        where there is no entry
    time : bit times since power-up
    trace : the wires so far, a line state for each of :data:`SAMPLE_HZ` samples a second, for
        :func:`write_vcd`; None, as at first, if they are not recorded
    naks : transactions that the device answered with NAK
    """

    def __init__(self, built: Path):
        self._library = ctypes.CDLL(str(built))
        self._library.usb_open.restype = ctypes.c_void_p
        self._library.usb_exchange.restype = self._library.usb_silence.restype = ctypes.c_size_t
        self._handle = ctypes.c_void_p(self._library.usb_open())
        self._samples = ctypes.create_string_buffer(_SAMPLES * 2 * 8 * (MAX_PACKET + 8))
        self._next_frame = self._frame = 0
        self.address = 0
        self.toggles: dict[tuple[str, int], int] = {}
        self.time = self.naks = 0
        self.trace: bytearray | None = None

    def close(self) -> None:
        if self._handle:
            self._library.usb_close(self._handle)
            self._handle = None

    # ---- wires -----------------------------------------------------------------------------------

    def _exchange(self, states: bytes, patience: int = 0) -> bytes | None:
        """Drives line states; returns the packet that begins within ``patience`` bit times."""
        count = self._library.usb_exchange(
            self._handle,
            states,
            ctypes.c_size_t(len(states)),
            ctypes.c_size_t(patience),
            self._samples,
            ctypes.c_size_t(len(self._samples)),
        )
        samples = self._samples.raw[:count]
        if self.trace is not None:
            silence = self._library.usb_silence(self._handle) if count else _SAMPLES * patience
            driven = b"".join(bytes([state]) * _SAMPLES for state in states)
            self.trace += driven + bytes([_J]) * silence + samples
        self.time += len(states) + count // _SAMPLES
        # the first edge of the packet gives the position of its bits
        return packet_of(samples[samples.find(_K) + _SAMPLES // 2 :: _SAMPLES]) if count else None

    def idle(self, bits: int) -> None:
        """Leaves the bus idle for that many bit times."""
        self._exchange(bytes([_J]) * bits)

    def clock(self, *, offset: float = 0, jitter: float = 0) -> None:
        """Makes the host's bits longer by the fraction ``offset`` and moves its edges at random.

        ``jitter`` is the largest movement of an edge, in bits.
        """
        self._library.usb_clock(
            self._handle,
            ctypes.c_uint32(round(_SAMPLES * 1000 * (1 + offset))),
            ctypes.c_uint32(round(_SAMPLES * 1000 * jitter)),
        )

    @property
    def turnaround(self) -> float:
        """Bit times between the host's last packet and the answer to it (7.1.18.1)."""
        return 1 + self._library.usb_silence(self._handle) / _SAMPLES

    @property
    def attached(self) -> bool:
        """Whether the device pulls D+ up."""
        return bool(self._library.usb_pulls_up(self._handle))

    def reset(self) -> None:
        """Resets the bus, after which the device has the address 0."""
        self._exchange(bytes([_SE0]) * _RESET)
        self.idle(_FRAME)
        self.address, self.toggles = 0, {}

    def exchange(self, states: bytes) -> bytes | None:
        """Drives any line states and waits for an answer; returns None if none comes in time.

        Raises UsbError if the answer is no packet.
        """
        return self._exchange(states, _PATIENCE)

    def send(self, packet: bytes, *, wait: bool = False) -> bytes | None:
        """Sends a packet and, with ``wait``, returns the answer, or None if none comes in time.

        Raises UsbError if the answer is no packet.
        """
        if wait:
            return self.exchange(line_states(packet))
        return self._exchange(line_states(packet) + bytes([_J]) * _GAP)

    # ---- transactions ----------------------------------------------------------------------------

    def _token(self, pid: Pid, endpoint: int, *, wait: bool = False) -> bytes | None:
        """Sends a token, after a start of frame if one is due; see :meth:`send`."""
        if self.time >= self._next_frame:
            self._next_frame = self.time + _FRAME
            self._frame = (self._frame + 1) % (1 << 11)
            self.send(token(Pid.SOF, self._frame))
        return self.send(token(pid, self.address | endpoint << 7), wait=wait)

    def _toggle(self, direction: str, endpoint: int) -> Pid:
        """Returns the identifier of the next data packet."""
        return Pid.DATA1 if self.toggles.get((direction, endpoint), 0) else Pid.DATA0

    def _flip_toggle(self, direction: str, endpoint: int) -> None:
        self.toggles[direction, endpoint] = 1 - self.toggles.get((direction, endpoint), 0)

    def _handshake(self, answer: bytes | None) -> Pid:
        """Returns the handshake in a packet. Raises UsbError if it holds none."""
        if answer is None or len(answer) != 1 or answer[0] & 0xF ^ 0xF != answer[0] >> 4:
            raise UsbError(f"the device sent {answer!r} instead of a handshake")
        return Pid(answer[0] & 0xF)

    def out(self, endpoint: int, data: bytes, pid: Pid = Pid.OUT) -> bool:
        """Makes one OUT or SETUP transaction; returns whether the device took the data.

        Raises Stalled, UsbError.
        """
        self._token(pid, endpoint)
        answer = self._handshake(
            self.send(data_packet(self._toggle("out", endpoint), data), wait=True)
        )
        self.idle(_GAP)
        if answer == Pid.STALL:
            raise Stalled(f"endpoint {endpoint} stalls")
        if answer == Pid.NAK:
            self.naks += 1
            return False
        self._flip_toggle("out", endpoint)
        return True

    def in_(self, endpoint: int, *, acknowledge: bool = True) -> bytes | None:
        """Makes one IN transaction; returns its data, or None if the device has none.

        Without ``acknowledge`` the device has to assume that the packet was lost. Raises Stalled,
        UsbError.
        """
        answer = self._token(Pid.IN, endpoint, wait=True)
        if answer is None or len(answer) == 1:
            self.idle(_GAP)
            if self._handshake(answer) == Pid.STALL:
                raise Stalled(f"endpoint {endpoint} stalls")
            self.naks += 1
            return None
        data = answer[1:-2]
        if len(data) > MAX_PACKET or answer != data_packet(Pid(answer[0] & 0xF), data):
            raise UsbError(f"a damaged data packet: {answer.hex()}")
        if answer[0] & 0xF != self._toggle("in", endpoint):
            raise UsbError(f"endpoint {endpoint} sends {Pid(answer[0] & 0xF).name} twice")
        self.idle(_GAP)
        if acknowledge:
            self.send(handshake(Pid.ACK))
            self._flip_toggle("in", endpoint)
        return data

    def until(self, transaction: Callable[..., _T | None], *arguments: Any) -> _T:
        """Repeats a transaction while the device answers with NAK; returns its result.

        Raises Stalled, UsbError.
        """
        for _ in range(_RETRIES):
            done = transaction(*arguments)
            if done is not None and done is not False:
                return done
        raise UsbError(f"still no data after {_RETRIES} attempts")

    # ---- control transfers and enumeration -------------------------------------------------------

    def setup(
        self, kind: int, request: int, value: int = 0, index: int = 0, length: int = 0
    ) -> None:
        """Makes the first stage of a control transfer on endpoint 0."""
        self.toggles["out", 0] = 0
        fields = b"".join(part.to_bytes(2, "little") for part in (value, index, length))
        self.out(0, bytes([kind, request]) + fields, Pid.SETUP)
        self.toggles["out", 0] = self.toggles["in", 0] = 1

    def control(
        self,
        kind: int,
        request: int,
        value: int = 0,
        index: int = 0,
        *,
        data: bytes = b"",
        length: int = 0,
    ) -> bytes:
        """Makes a control transfer on endpoint 0 that writes ``data`` or reads bytes.

        Returns up to ``length`` bytes, none if it writes. Raises Stalled, UsbError.
        """
        self.setup(kind, request, value, index, length or len(data))
        if length:
            answer = b""
            while len(answer) < length:
                packet = self.until(self.in_, 0)
                answer += packet
                if len(packet) < MAX_PACKET:
                    break
            self.toggles["out", 0] = 1
            self.until(self.out, 0, b"")
            return answer
        for start in range(0, len(data), MAX_PACKET):
            self.until(self.out, 0, data[start : start + MAX_PACKET])
        self.toggles["in", 0] = 1
        self.until(self.in_, 0)
        return b""

    def descriptor(self, kind: int, length: int, number: int = 0) -> bytes:
        """Returns up to ``length`` bytes of a descriptor."""
        return self.control(0x80, 6, kind << 8 | number, length=length)

    def halt(self, address: int) -> None:
        """Halts the endpoint of that address, of which bit 7 is set for one that sends to the host.

        It answers with STALL from then on (SET_FEATURE of ENDPOINT_HALT). Raises Stalled, UsbError.
        """
        self.control(0x02, 3, 0, address)

    def clear_halt(self, address: int) -> None:
        """Ends the halt of an endpoint (9.4.5), after which its next packet is a DATA0.

        Raises Stalled, UsbError.
        """
        self.control(0x02, 1, 0, address)
        way = "in" if address & TO_HOST else "out"
        self.toggles.pop((way, address & ~TO_HOST), None)

    def halted(self, address: int) -> bool:
        """Returns whether an endpoint is halted, as it says itself. Raises Stalled, UsbError."""
        status = self.control(0x82, 0, 0, address, length=2)
        if status not in (b"\0\0", b"\1\0"):
            raise UsbError(f"endpoint {address:#04x} has the status {status.hex()}")
        return status == b"\1\0"

    def enumerate(self, address: int = 5) -> tuple[bytes, bytes]:
        """Resets, addresses and configures the device as a host does.

        Returns the device descriptor and the whole configuration descriptor.
        """
        self.reset()
        self.descriptor(1, 8)
        self.control(0x00, 5, address)
        self.address = address
        device = self.descriptor(1, 18)
        head = self.descriptor(2, 9)
        configuration = self.descriptor(2, int.from_bytes(head[2:4], "little"))
        self.control(0x00, 9, configuration[5])
        return device, configuration


class UsbTransport(Transport):
    """Transport over the bulk endpoints of an enumerated device.

    Time-outs are in seconds of simulated bus time. A read also ends after :data:`_RETRIES`
    transactions.

    Parameters
    ----------
    host : host with the device enumerated
    tick : called now and then with ``cycles``

    Attributes
    ----------
    sent, received : bytes
    """

    through_usb = True

    def __init__(self, host: UsbHost, *, tick: Callable[[int], None] | None = None):
        self._host, self._endpoint = host, DATA_ENDPOINT
        self._tick = tick or (lambda cycles: None)
        self._arrived = b""
        self.sent = self.received = 0

    @property
    def cycles(self) -> int:
        """Cycles of the device's clock since power-up."""
        return self._host.time * (CLOCK_HZ // BITS_PER_SECOND)

    def write(self, data: bytes) -> None:
        for start in range(0, len(data), MAX_PACKET):
            packet = data[start : start + MAX_PACKET]
            while not self._host.out(self._endpoint, packet):
                self._arrived += self._host.in_(self._endpoint) or b""
            self.sent += len(packet)
            self._tick(self.cycles)

    def read(self, timeout: float) -> bytes:
        deadline = self._host.time + timeout * BITS_PER_SECOND
        tries = 0
        while not self._arrived and self._host.time < deadline and tries < _RETRIES:
            self._arrived = self._host.in_(self._endpoint) or b""
            tries += 1
        arrived, self._arrived = self._arrived, b""
        self.received += len(arrived)
        self._tick(self.cycles)
        return arrived

    def close(self) -> None:
        self._host.close()

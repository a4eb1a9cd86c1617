# SPDX-License-Identifier: Apache-2.0
import contextlib
import pickle
import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.fake_device import FakeDevice, FakeTransport, damaged
from helpers.link_bench import framed, seeded
from ornstein.hdl import protocol
from ornstein.hdl.config import ICEBREAKER, TINY, FabricConfig
from ornstein.hdl.protocol import Status
from ornstein.hdl.regmap import PROTOCOL_VERSION, Event, Space, identity
from ornstein.hdl.spaces import spaces
from ornstein.host.devices.link import Link, LinkError, RefusedError
from ornstein.sim.transport import Transport

QUICK = 0.05  # s


def connected(config=TINY, **options):
    return Link(FakeTransport(FakeDevice(config), **options), timeout=QUICK)


def register(name):
    return Space.IDENTITY, list(identity(TINY)).index(name)


@pytest.mark.parametrize(
    "config",
    [TINY, ICEBREAKER, FabricConfig(name="device", rank_depth=77)],
    ids=lambda config: config.name,
)
def test_identify(config):
    assert connected(config).identify() == config


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("magic", 0x12345678, "magic is 0x12345678, not 0x4e54534f: this is no Ornstein device"),
        *(
            (
                "protocol",
                old,
                f"protocol is version {old}, this host speaks {PROTOCOL_VERSION}; build",
            )
            for old in (*range(1, PROTOCOL_VERSION), 99)
        ),
        ("build_hash", 5, "build_hash is 0x00000005, the identity's other fields give"),
        ("sample_depth", 128, "build_hash is"),
        ("factor_width", 99, "factor_width must be between 4 and 16, not 99"),
    ],
)
def test_identity_that_does_not_fit(name, value, message):
    device = FakeDevice(TINY)
    device.bus.memory[register(name)] = value
    with pytest.raises(LinkError, match=message):
        Link(FakeTransport(device), timeout=QUICK).identify()


@pytest.mark.parametrize("space", [space for space in Space if space is not Space.IDENTITY])
def test_values_come_back(space):
    rng = np.random.default_rng(space)
    bits = spaces(TINY)[space].bits
    low = -(1 << bits - 1) if spaces(TINY)[space].signed else 0
    values = rng.integers(low, low + (1 << bits), spaces(TINY)[space].size)
    values[:2] = low, low + (1 << bits) - 1
    with connected() as link:
        link.write(space, 0, values)
        read = link.read(space, 0, len(values))
        assert read.dtype == np.int64
        np.testing.assert_array_equal(read, values)
        np.testing.assert_array_equal(link.read(space, 1, 1), values[1:2])


def test_requests_overlap_within_the_window():
    link = connected(ICEBREAKER)
    link.write(Space.FACTOR, 0, np.arange(4096) % 2048)
    transport = link.transport
    assert transport.window / 2 < transport.most_unanswered <= transport.window


def test_close():
    transport = FakeTransport(FakeDevice(TINY))
    with Link(transport):
        pass
    assert transport.closed


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([0, 40000], "values for STATE must be between -32768 and 32767; element 4 is 40000"),
        (np.array([2**63], np.uint64), "element 3 is 9223372036854775808"),
        ([-32769], "element 3 is -32769"),
        ([0.5], "must be a row of integers, not 1-dimensional float64"),
        ([[1]], "must be a row of integers, not 2-dimensional int64"),
    ],
)
def test_wrong_values_are_not_sent(values, message):
    link = connected()
    with pytest.raises(ValueError, match=message):
        link.write(Space.STATE, 3, values)
    assert not any(write is not None for _, _, write in link.transport.device.bus.log)


@pytest.mark.parametrize(
    ("space", "address", "count", "message"),
    [
        (Space.STATE, 60, 5, "STATE has 64 elements; 5 from 60 on are not among them"),
        (Space.STATE, -1, 1, "1 from -1 on"),
        (Space.STATE, 0, 0, "0 from 0 on"),
    ],
)
def test_wrong_places(space, address, count, message):
    with pytest.raises(ValueError, match=message):
        connected().read(space, address, count)


def test_a_space_that_the_build_leaves_out():
    link = connected(replace(TINY, second_moment=False))
    for access in (link.read, lambda *place: link.write(*place[:2], [0])):
        with pytest.raises(ValueError, match="SQUARE has 0 elements; 1 from 0 on"):
            access(Space.SQUARE, 0, 1)


def test_ranges_are_read_in_their_order():
    with connected() as link:
        link.write(Space.STATE, 0, range(64))
        found = link.read_ranges(Space.STATE, [40, 0, 61], 3)
        np.testing.assert_array_equal(found, [[40, 41, 42], [0, 1, 2], [61, 62, 63]])
        with pytest.raises(ValueError, match="STATE has 64 elements; 3 from 62 on"):
            link.read_ranges(Space.STATE, [0, 62], 3)


@pytest.mark.parametrize("status", [Status.BUSY, Status.FULL])
def test_refusals(status):
    link = connected()
    link.transport.device.bus.refusals = {(Space.FACTOR, 300): status}
    with pytest.raises(
        RefusedError, match=f"write of .* of FACTOR at .* was refused as {status.name}: "
    ) as info:
        link.write(Space.FACTOR, 0, [0] * 512)
    assert info.value.status == status
    assert str(pickle.loads(pickle.dumps(info.value))) == str(info.value)
    link.write(Space.FACTOR, 301, [7])
    assert link.read(Space.FACTOR, 301, 1) == 7
    with pytest.raises(RefusedError, match="read of 1 elements of FACTOR at 300"):
        link.read(Space.FACTOR, 300, 1)


def test_answer_that_ends_early():
    link = connected()
    link.transport.device.bus.refusals = {(Space.STATE, 3): Status.BUSY}
    with pytest.raises(
        LinkError, match="read of 8 elements of STATE at 0 was answered with 6 bytes instead of 16"
    ):
        link.read(Space.STATE, 0, 8)


def test_wait():
    link = connected()
    link.transport.device.events = Event.ROOM | Event.IDLE
    link.transport.device.waits = 3
    assert link.wait(Event.IDLE, 1) == Event.ROOM | Event.IDLE
    link.transport.device.events = Event.ROOM
    with pytest.raises(LinkError, match=r"no IDLE within 0\.02 s, the device reports ROOM"):
        link.wait(Event.IDLE, 0.02)


@pytest.mark.parametrize("seed", range(4))
def test_noisy_line(seed):
    """In both directions a tenth of the frames is lost, damaged, doubled or inside garbage."""
    rng = seeded(seed)

    def noisy(frame):
        fault = rng.randrange(50)
        garbage = bytes(rng.randrange(256) for _ in range(rng.randrange(1, 30)))
        packet = framed(frame)
        faults = [
            b"",
            framed(damaged(rng, frame)),
            packet[: len(packet) // 2],
            packet * 2,
            garbage + packet + garbage,
        ]
        return faults[fault] if fault < len(faults) else packet

    device = FakeDevice(TINY)
    link = Link(
        FakeTransport(device, on_request=noisy, on_answer=noisy, chunk=11), timeout=QUICK, retries=6
    )
    values = [rng.randrange(-2048, 2048) for _ in range(512)]
    for _ in range(4):
        link.write(Space.FACTOR, 0, values)
        np.testing.assert_array_equal(link.read(Space.FACTOR, 0, 512), values)
    assert [device.bus.memory[Space.FACTOR, n] for n in range(512)] == [
        value & 0xFFF for value in values
    ]


def test_late_answers():
    """Every answer arrives one request late: the link repeats its request and takes the first
    answer. The second answer is no sign of an old request that was executed again.
    """
    late = []

    def delayed(frame):
        late.append(framed(frame))
        return late.pop(0) if len(late) > 1 else b""

    link = connected(on_answer=delayed)
    assert link.identify() == TINY
    link.write(Space.STATE, 0, [5])
    assert link.read(Space.STATE, 0, 1) == 5
    assert link.strays == 0


def test_an_old_request_that_is_executed_again_is_counted():
    """Its answer is sound, and to no request of this exchange; the answer asked for is taken."""
    answers = []

    def with_the_first_one(frame):
        answers.append(framed(frame))
        return answers[0] + answers[-1] if len(answers) > 20 else answers[-1]

    link = connected(on_answer=with_the_first_one)
    while len(answers) <= 20:
        assert link.strays == 0
        link.write(Space.STATE, 0, [5])
    assert link.read(Space.STATE, 0, 1) == 5
    assert link.strays == 2 and link.repairs == 0


class DeadLine(Transport):
    """Answers every read with what ``babble`` gives."""

    def __init__(self, babble):
        self.babble = babble

    def write(self, data):
        pass

    def read(self, timeout):
        data = self.babble()
        time.sleep(timeout if not data else 0.0005)
        return data

    def close(self):
        pass


@pytest.mark.parametrize(
    ("babble", "message"),
    [
        (lambda: b"", "read of 3 elements of IDENTITY at 0 failed: the device is silent"),
        (
            lambda: b"login: ",
            "bytes but no valid answer in 3 attempts of 0.05 s; check the baud rate",
        ),
        (lambda: b"\xc0\xc0", "bytes but no valid answer"),
        (lambda: b"\xdb\x00\xc0", "bytes but no valid answer"),
        (lambda: framed(protocol.answer(0, Status.CORRUPT)), "bytes but no valid answer"),
        (lambda: framed(protocol.answer(0, Status.OK)), "bytes but no valid answer"),
    ],
)
def test_dead_lines_end_in_an_error(babble, message):
    began = time.monotonic()
    with pytest.raises(LinkError, match=message) as info:
        Link(DeadLine(babble), timeout=QUICK, retries=2).identify()
    assert time.monotonic() - began < 10 * QUICK
    assert "\n" not in str(info.value)


def test_wait_on_a_dead_line():
    with pytest.raises(LinkError, match="wait for IDLE failed: the device is silent"):
        Link(DeadLine(lambda: b""), timeout=QUICK, retries=1).wait(Event.IDLE, 100)


# ---- what no answer may be taken for ------------------------------------------------------------


def test_no_number_is_used_again_while_its_request_can_be_answered():
    """The first request is lost three times on a line with room for hundreds behind it. The answer
    to the request 255 places later, of the same number, once counted for it.
    """
    unanswered, lost = {}, []

    def on_request(frame):
        other = unanswered.setdefault(frame[0], frame)
        assert other == frame, "a number stands for two requests"
        if frame[2] == Space.FACTOR and frame[3:6] == bytes(3) and len(lost) < 3:
            lost.append(frame)
            return None
        return framed(frame)

    def on_answer(frame):
        unanswered.pop(frame[0])
        return framed(frame)

    link = connected(on_request=on_request, on_answer=on_answer)
    link.identify()
    link.transport.window = 2  # a request for each element
    values = np.arange(512) % 2000
    requests = []
    exchange = link._exchange

    def wide(batch):
        requests.extend(batch)
        link.transport.window = 1 << 16
        return exchange(batch)

    link._exchange = wide
    link.write(Space.FACTOR, 0, values)
    assert len(requests) == 512 and len(lost) == 3
    np.testing.assert_array_equal(link.read(Space.FACTOR, 0, 512), values)


def test_what_was_not_understood_is_asked_again():
    """A byte 0 more behind a frame leaves its CRC right, so that its length contradicts it."""
    damage = []

    def once(frame):
        return damage.pop()(frame) if damage else framed(frame)

    for hook in ("on_request", "on_answer"):
        link = connected()
        link.identify()
        setattr(link.transport, f"_{hook}", once)
        damage = [lambda frame: framed(frame + b"\0")]
        link.write(Space.STATE, 0, [5, 6])
        damage = [lambda frame: framed(frame + b"\0")]
        assert list(link.read(Space.STATE, 0, 2)) == [5, 6]
        assert link.repairs == 2


def test_what_is_never_understood_is_an_error():
    link = connected()
    link.identify()
    link.transport._on_request = lambda frame: framed(protocol.sealed(frame[:-2] + b"\0"))
    with pytest.raises(RefusedError, match="was refused as MALFORMED: the device did not"):
        link.write(Space.STATE, 0, [5])


def test_a_line_that_echoes_is_no_device():
    """A read looks like an answer BUSY, but refusals carry no data."""
    link = connected(on_request=lambda frame: None)
    transport = link.transport
    transport.read = lambda timeout: (
        framed(transport._requests.popleft()[0]) if transport._requests else b""
    )
    with pytest.raises(LinkError, match="no valid answer"):
        link.identify()


# ---- anything at all ----------------------------------------------------------------------------

FRAMES = st.one_of(
    st.binary(max_size=40),
    st.binary(max_size=30).map(framed),
    st.builds(
        lambda number, status, body: framed(protocol.answer(number, status, body)),
        st.integers(0, 255),
        st.integers(0, 255),
        st.binary(max_size=20),
    ),
    st.sampled_from([b"\xc0", b"\xdb", b"\xc0\xc0", b"\xdb\xc0", b"login: "]),
)


@given(st.lists(FRAMES, max_size=12), st.integers(1, 50))
def test_any_bytes_are_answers_or_nothing(pieces, chunk):
    """However the bytes are divided, the same answers come out, each with its right CRC."""
    line = b"".join(pieces)
    whole = list(connected()._answers(line + b"\xc0"))
    link, found = connected(), []
    for first in range(0, len(line), chunk):
        found += link._answers(line[first : first + chunk])
    found += link._answers(b"\xc0")
    assert found == whole
    for number, status, body in found:
        assert framed(protocol.answer(number, status, body)) in line + b"\xc0"


@given(st.binary(max_size=400))
def test_any_answers_to_a_request_end_it(line):
    """A request ends with its data or with a LinkError, whatever a device says."""
    link = connected(on_answer=lambda frame: line, on_request=framed)
    link.timeout, link._retries = 0.0, 1
    with contextlib.suppress(LinkError):
        link.identify()


@given(st.dictionaries(st.sampled_from(list(identity(TINY))), st.integers(0, 2**32 - 1)))
def test_any_identity_is_a_fabric_or_an_error(changes):
    device = FakeDevice(TINY)
    device.bus.memory |= {register(name): value for name, value in changes.items()}
    link = Link(FakeTransport(device), timeout=QUICK)
    try:
        config = link.identify()
    except LinkError as error:
        assert "\n" not in str(error)
    else:
        assert config.build_hash == TINY.build_hash

# SPDX-License-Identifier: Apache-2.0
"""The microprogram of the USB serial port keeps step with the wires, whichever way it takes; its
assembler.
"""

import pytest

from helpers.microprogram import ANY, constant_addresses, pointed_writes
from ornstein.hdl.link.usb.assembler import Assembler
from ornstein.hdl.link.usb.descriptors import MAX_PACKET
from ornstein.hdl.link.usb.engine import PAGE, WORDS, Source, When
from ornstein.hdl.link.usb.program import serial_port

ACK = 0xD2
BYTE = 8  # words in the time of a byte on the wires, which all bounds are made of


def ways(program, start, *, packet_comes):
    """Words that act from ``start`` on until one that waits, for each way there is: (their number,
    the one that waits).

    ``packet_comes``: every look for a packet finds one.
    """
    found, waiting = [], [(start, (start,))]
    while waiting:
        place, passed = waiting.pop()
        word = program[place]
        if word.get("wait"):
            found.append((len(passed), place))
            continue
        test = word["test"]
        following = {
            word["go"]
            if test == When.NEVER or not (packet_comes and test == When.ACTIVE)
            else None,
            word["then"]
            if test != When.NEVER and not (packet_comes and test == When.SE0)
            else None,
        } - {None}
        waiting += [(each, (*passed, each)) for each in following if each not in passed]
    return found


def following(word):
    return {word["go"]} | ({word["then"]} if word["test"] != When.NEVER else set())


@pytest.fixture(scope="module")
def program():
    return serial_port()[0]


def test_no_identifier_is_missed(program):
    """A packet that comes just after the device has looked is found, and its first byte, two bytes
    later, met: eight words less one for a byte that ends early."""
    looks = [word for word in program if word["test"] == When.ACTIVE and not word.get("wait")]
    assert looks
    for word in looks:
        for count, _ in ways(program, word["go"], packet_comes=True):
            assert count < BYTE


def test_every_byte_received_is_met(program):
    """The next one may end early. After a packet's end come half its SE0, a gap of two bits, sync
    pattern and identifier."""
    received = [word for word in program if word.get("wait") and not word.get("send")]
    assert received
    for word in received:
        for count, waits in ways(program, word["then"], packet_comes=True):
            assert program[waits].get("send") or count < BYTE
        for count, waits in ways(program, word["go"], packet_comes=True):
            assert program[waits].get("send") or count < 2 * BYTE + 3


def test_every_byte_to_send_is_there(program):
    """Within a packet. After a handshake come the rest of its byte, its end (three bits), a gap,
    sync pattern and identifier, which may end early: a request has to be understood by then."""
    sent = [word for word in program if word.get("send")]
    last = []
    for word in sent:
        for start in following(word):
            for count, waits in ways(program, start, packet_comes=True):
                if program[waits].get("send"):
                    assert count <= BYTE
                else:
                    last.append(count)
    assert 20 < max(last) < 3 * BYTE + 5


def test_no_byte_is_put_in_place_of_one_that_waits(program):
    """The word before each that puts a byte into the output stream has found that none waits there.
    So the stream keeps its rules on every way through the program: a payload stays until it is
    taken."""
    puts = [place for place, word in enumerate(program) if word.get("put")]
    assert puts
    for place in puts:
        before = [word for word in program if place in following(word)]
        assert before
        for word in before:
            assert word["test"] == When.FULL and word["then"] != place and not word.get("put")


def test_a_packet_is_released_only_after_its_acknowledgement(program):
    """On every way to the word that releases it lies the one that compares a handshake with ACK."""
    (release,) = (place for place, word in enumerate(program) if word.get("release"))
    address = serial_port()[1].index(ACK, 1)
    compares = [
        place
        for place, word in enumerate(program)
        if word.get("negate") and word["address"] == address and not word["pointed"]
    ]
    assert len(compares) == 1
    reached, waiting = set(), [0]
    while waiting:
        place = waiting.pop()
        if place not in reached and place not in compares:
            reached.add(place)
            waiting += following(program[place])
    assert release not in reached and len(reached) > len(program) // 2


def test_a_packet_is_written_into_its_buffer_alone():
    """However long it is, and whatever came before it. Nothing else that is written at the pointer
    changes a constant: the three bytes of an endpoint, and one byte of the answers.
    """
    program, contents = serial_port()
    last = 2 * PAGE - 1 - MAX_PACKET
    packets, others = set(), set()
    for word, pointers in pointed_writes(program, contents):
        found = packets if word.get("source") == Source.LINE else others
        found |= {PAGE * word["address"] + pointer for pointer in pointers}
    request, from_host = PAGE - 1 - (MAX_PACKET + 2) - 11, PAGE - 1 - (MAX_PACKET + 2)
    assert {request, from_host} <= packets
    assert packets == set(range(request, PAGE))
    constants = constant_addresses(program)
    assert constants and not constants & others
    assert len(others) == 3 * 2 + 1 and max(others) <= last


def test_a_packet_that_does_not_look_for_the_end_of_its_buffer_is_seen():
    program, contents = serial_port()
    more = [
        word
        for word in program
        if word["test"] == When.UPPER and program[word["then"]].get("write")
    ]
    for word in more:
        word["test"], word["go"] = When.NEVER, word["then"]
    assert [
        word
        for word, pointers in pointed_writes(program, contents)
        if word["source"] == Source.LINE and pointers == ANY
    ]


def test_all_of_it_can_be_reached(program):
    reached, waiting = set(), [0]
    while waiting:
        place = waiting.pop()
        if place not in reached:
            reached.add(place)
            waiting += following(program[place])
    assert reached == set(range(len(program)))


# ---- the assembler -------------------------------------------------------------------------------


def test_words_follow_each_other_unless_told():
    a = Assembler()
    a.clear()
    a.label("here")
    a.pass_(test=When.ZERO, then="there")
    a.pass_(go="here")
    a.label("there")
    a.clear(go="there")
    assert [(word["go"], word["then"]) for word in a.program()] == [(1, 0), (2, 3), (1, 0), (3, 0)]


def test_a_condition_alone_chooses_the_word_written_next():
    a = Assembler()
    a.label("other")
    a.clear(test=When.ZERO, go="other")
    a.clear(go="other")
    assert [(word["go"], word["then"]) for word in a.program()] == [(0, 1), (0, 0)]


def test_bytes_have_places_of_their_own():
    a = Assembler()
    places = a.constant(7), a.variable("seven", 7), a.constant(7 - 256), a.constant(8)
    assert places[0] == places[2] and len(set(places)) == 3 and 0 not in places
    assert [a.contents[place] for place in places] == [7, 7, 7, 8]


def test_refuses_what_it_cannot_lay_out():
    a = Assembler()
    a.label("twice")
    with pytest.raises(ValueError, match="two words are called 'twice'"):
        a.label("twice")
    a.pass_(go="nowhere")
    with pytest.raises(KeyError, match="nowhere"):
        a.program()
    for _ in range(WORDS):
        a.clear()
    with pytest.raises(ValueError, match=f"takes {WORDS + 1} words, there are {WORDS}"):
        a.program()

# SPDX-License-Identifier: Apache-2.0
"""Which values the pointer of the USB engine can have, by going all ways through a microprogram."""

from collections.abc import Iterator

from ornstein.hdl.link.usb.engine import PAGE, Source, When

ANY = frozenset(range(PAGE))


def constant_addresses(program: list[dict]) -> set[int]:
    """Returns the addresses that words read and no word writes, but for those that write at the
    pointer. The buffers of packets, which are in the upper half of a page, are left out.
    """
    named = [word for word in program if not word["pointed"]]
    written = {word["address"] for word in named if word.get("write")}
    read = {word["address"] for word in named if word.get("source") == Source.MEMORY}
    return {address for address in read - written if address < PAGE // 2}


def pointer_values(program: list[dict], contents: bytes) -> dict[int, frozenset[int]]:
    """Returns all values of the pointer at each word that can be reached.

    A pointer from a byte that is constant has its value, and one from any other byte has any. The
    result is true if no write at the pointer changes a constant.
    """
    constants = constant_addresses(program)
    pointers = {0: frozenset([0])}
    waiting = [0]
    while waiting:
        place = waiting.pop()
        word = program[place]
        for taken in (False, True) if word["test"] != When.NEVER else (False,):
            values = {value for value in pointers[place] if _can_be(word["test"], value, taken)}
            if word.get("point") and values:
                constant = word["source"] == Source.MEMORY and not word["pointed"]
                constant = constant and word["address"] in constants
                values = {contents[word["address"]]} if constant else ANY
            if word.get("step"):
                values = {(value + 1) % PAGE for value in values}
            following = word["then"] if taken else word["go"]
            before = pointers.get(following, frozenset())
            if not values <= before:
                pointers[following] = before | values
                waiting.append(following)
    return pointers


def pointed_writes(program: list[dict], contents: bytes) -> Iterator[tuple[dict, frozenset[int]]]:
    """Yields (word, values of the pointer) of every word that writes at the pointer."""
    for place, values in pointer_values(program, contents).items():
        if program[place].get("write") and program[place]["pointed"]:
            yield program[place], values


def _can_be(test: When, pointer: int, outcome: bool) -> bool:
    """Whether a condition can have that outcome at that value of the pointer."""
    known = {When.ODD: pointer % 2 == 1, When.UPPER: pointer >= PAGE // 2}
    return known.get(test, outcome) == outcome

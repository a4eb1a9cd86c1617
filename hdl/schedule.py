# SPDX-License-Identifier: Apache-2.0
"""Where a pass must wait for the pipeline, and whether it stays within the memories.

Passes follow each other without a gap unless ``wait`` is set: such a pass starts only when all that
was issued before has left the pipeline. The dependences are worked out from :class:`Timing`, from
which the gateware is built. The integer model runs passes strictly one after the other, so a
missing wait shows as a difference of bits between the model and the gateware.
"""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from ornstein.hdl.config import ConfigError, FabricConfig
from ornstein.hdl.isa import Level, Operation, Pass
from ornstein.hdl.timing import Timing


class _Read(NamedTuple):
    """What a pass reads: the words of a memory from ``first`` on that are ``by_outer`` apart from
    one round of the outer loop to the next, and ``by_inner`` within a round.
    """

    memory: str
    first: int
    by_outer: int
    by_inner: int


def _read_words(step: Pass, bank_offset: int) -> list[_Read]:
    """What a pass reads; both banks of a banked address."""
    if step.operation == Operation.PROJECT:
        found = [_Read("drive" if step.from_drive else "state", step.source, 0, 1)]
    elif step.operation == Operation.MIX:
        found = [_Read("rank", step.source, 1, step.stride)]
    elif step.operation == Operation.ACTIVATE:
        found = [_Read("rank", step.source, 1, 0)]
    else:
        # the state is read even if the level does not keep it or the result goes elsewhere
        found = [_Read("state", step.dest, 1, 0)]
        if step.biased:
            found.append(_Read("drive", step.bias, 1, 0))
        if step.coupled:
            found.append(_Read("rank", step.source, 0, 1 + step.stride))
    banked = [read for read in found if step.banked and read.memory == "drive"]
    return found + [read._replace(first=read.first + bank_offset) for read in banked]


def reads(step: Pass, bank_offset: int) -> list[tuple[str, int, int]]:
    """(memory, first word, end) of what a pass reads; both banks of a banked address."""
    return [
        (memory, first, first + (step.outer - 1) * by_outer + (step.inner - 1) * by_inner + 1)
        for memory, first, by_outer, by_inner in _read_words(step, bank_offset)
    ]


def writes(step: Pass) -> tuple[str, int, int]:
    """(memory, first word, end) of what a pass writes."""
    if step.operation == Operation.EXPAND:
        return "drive" if step.to_drive else "state", step.dest, step.dest + step.outer
    return "rank", step.dest, step.dest + step.outer


def check_pass(step: Pass, bank_offset: int = 0) -> None:
    """Refuse a pass that would read words which it has itself just written.

    An update and an activation may work in place, since they read each word before they write it.

    Raises
    ------
    ValueError
        The pass's source and destination overlap.
    """
    memory, first, end = writes(step)
    for kind, start, stop in reads(step, bank_offset):
        in_place = (
            start == first
            and stop == end
            and step.operation in (Operation.EXPAND, Operation.ACTIVATE)
        )
        if kind == memory and first < stop and start < end and not in_place:
            raise ValueError(
                f"{Operation(step.operation).name} reads {kind} words {start} to {stop - 1} and "
                f"writes {first} to {end - 1}: they must not overlap"
            )


def check_words(config: FabricConfig, what: str, memory: str, first: int, end: int) -> None:
    """Raises ConfigError unless the memory (``factor``, ``state``, ``drive`` or ``rank``) has the
    words from ``first`` to before ``end``; ``what`` reads or writes them.
    """
    depth = getattr(config, f"{memory}_depth")
    if not 0 <= first <= end <= depth:
        raise ConfigError(
            f"{what}: {memory} words {first} to {end - 1} are not among the {depth} of fabric "
            f"{config.name!r}"
        )


def check_level(
    config: FabricConfig, level: Level, passes: list[Pass], bank_offset: int = 0
) -> None:
    """Refuse a level that names what the fabric does not have: words outside a memory, in either
    bank, or a shift, a lane or an option that was not built.

    The gateware would wrap such addresses, and the integer model would leave its arrays.

    Raises
    ------
    ConfigError
        The message names the pass, the memory and the words.
    """
    if level.thin and not config.sample_depth:
        raise ConfigError(f"a level streams samples, but fabric {config.name!r} has no sample ring")
    if level.fine and not config.fine_noise:
        raise ConfigError(
            f"a level draws fine noise, but fabric {config.name!r} was built without it"
        )
    for number, step in enumerate(passes):
        name = f"pass {number}, {Operation(step.operation).name}"
        if step.operation == Operation.EXPAND and step.stride and not config.mix_window:
            raise ConfigError(
                f"{name}: leaves out rank words, but fabric {config.name!r} was built without "
                "mix_window"
            )
        if max(step.outer, step.inner) > config.longest_loop:
            raise ConfigError(
                f"{name}: {max(step.outer, step.inner)} words in a loop, but fabric "
                f"{config.name!r} counts to {config.longest_loop}"
            )
        _check_shifts(config, name, step)
        for memory, first, end in _touched(level, step, bank_offset):
            check_words(config, name, memory, first, end)


def _check_shifts(config: FabricConfig, name: str, step: Pass) -> None:
    """Raises ConfigError if a pass uses a shift or, in ACTIVATE, a lane that is not built."""
    expands = step.operation == Operation.EXPAND
    used = {"expand_shifts" if expands else "project_shifts": step.shift}
    if expands:
        used["bias_shifts"] = step.bias_shift
    for field, index in used.items():
        if index >= len(getattr(config, field)):
            raise ConfigError(
                f"{name}: shift {index} is not among the {len(getattr(config, field))} "
                f"{field} of fabric {config.name!r}"
            )
    if step.operation == Operation.ACTIVATE and step.inner > config.rank_lanes:
        raise ConfigError(
            f"{name}: {step.inner} lanes, but fabric {config.name!r} has {config.rank_lanes}"
        )


def _touched(level: Level, step: Pass, bank_offset: int) -> list[tuple[str, int, int]]:
    """(memory, first word, end) of all that a pass reads or writes at that level."""
    regions = [writes(step), *reads(step, bank_offset)]
    if step.operation == Operation.EXPAND and step.to_drive and not level.keep:
        # the engine reads a state there, wherever that address leads, and does not use it
        regions = [region for region in regions if region[0] != "state"]
    if step.operation == Operation.MIX and step.from_drive and step.banked:
        first, end = regions[1][1:]
        regions.append(("rank", first + bank_offset, end + bank_offset))
    if step.operation == Operation.PROJECT:
        last = step.factor + step.outer + (step.inner - 1) * step.stride
        regions.append(("factor", step.factor, last))
    elif step.operation == Operation.MIX or (step.operation == Operation.EXPAND and step.coupled):
        regions.append(("factor", step.factor, step.factor + step.outer * step.inner))
    return regions


def read_schedule(
    config: FabricConfig, descriptors: ArrayLike, first: int, levels: int, bank_offset: int
) -> list[tuple[Level, list[Pass]]]:
    """Returns ``levels`` levels from descriptor ``first`` on, each with its passes.

    ``descriptors`` are 16-bit words (count, 8). Raises ConfigError if a level or a pass is not
    among them, or for what :func:`check_level` refuses.
    """
    rows = np.asarray(descriptors)
    if not (0 <= first and 1 <= levels and first + levels <= len(rows)):
        raise ConfigError(
            f"{levels} levels from descriptor {first} on are not among {len(rows)} descriptors"
        )
    schedule = []
    for row in rows[first : first + levels]:
        level = Level.unpack(row)
        if level.first + level.passes > len(rows):
            raise ConfigError(
                f"a level repeats the descriptors {level.first} to "
                f"{level.first + level.passes - 1}, but there are {len(rows)}"
            )
        passes = [Pass.unpack(row) for row in rows[level.first : level.first + level.passes]]
        check_level(config, level, passes, bank_offset)
        schedule.append((level, passes))
    return schedule


def step_cycles(config: FabricConfig, passes: list[Pass]) -> int:
    """Cycles that the passes take one after the other, correct to within a few.

    A wait costs the whole length of the pipeline.
    """
    timing = Timing.of(config)
    return sum(
        max(step.outer * step.inner, timing.fetch) + step.wait * timing.unit_hazard
        for step in passes
    )


_Access = tuple[str, np.ndarray, np.ndarray]
"""A memory, words of it, and the cycles of the pass in which they are read."""


def _read_cycles(step: Pass, bank_offset: int) -> list[_Access]:
    """What a pass reads, and when; of words that it reads in several rounds only the first."""
    accesses = []
    for memory, first, by_outer, by_inner in _read_words(step, bank_offset):
        outer = np.arange(step.outer if by_outer else 1)[:, None]
        inner = np.arange(step.inner if by_inner else 1)
        words, cycles = first + outer * by_outer + inner * by_inner, outer * step.inner + inner
        accesses.append((memory, words.ravel(), cycles.ravel()))
    return accesses


def _least_distance(
    earlier: Pass, written: tuple[str, int, int], needs: list[_Access]
) -> int | None:
    """The least number of cycles from the last issue for a word that ``earlier`` has ``written`` to
    the first issue that reads it, if the last of all were in the cycle of the first that reads;
    None if no word is read.
    """
    memory, first, end = written
    found = []
    for kind, words, cycles in needs:
        read = (words >= first) & (words < end) if kind == memory else np.zeros(len(words), bool)
        if read.any():
            after = (end - 1 - words[read]) * earlier.inner  # issues of later words
            found.append(int((cycles[read] + after).min()))
    return min(found, default=None)


def place_waits(
    config: FabricConfig, passes: list[Pass], *, bank_offset: int = 0, repeated: bool = True
) -> list[Pass]:
    """The same passes with ``wait`` set exactly where a dependence is too close.

    Passes are taken to last no longer than they issue, so a wait can be set needlessly but never
    left out. ``repeated`` says that the list runs more than once, the first pass following the
    last.

    Raises ValueError if a pass overlaps itself (:func:`check_pass`) or loops further than the
    fabric can count.
    """
    for step in passes:
        check_pass(step, bank_offset)
        if max(step.outer, step.inner) > config.longest_loop:
            raise ValueError(
                f"{Operation(step.operation).name} loops over {max(step.outer, step.inner)} words, "
                f"but fabric {config.name!r} counts to {config.longest_loop}"
            )
    timing = Timing.of(config)
    waits = [False] * len(passes)
    rounds = 2 if repeated else 1
    # (cycle of the last issue, pass, what it writes), since the last wait
    history: list[tuple[int, Pass, tuple[str, int, int]]] = []
    now = 0
    for number in range(rounds * len(passes)):
        step = passes[number % len(passes)]
        needs = _read_cycles(step, bank_offset)
        for end, earlier, written in history:
            memory = written[0]
            expands = earlier.operation == Operation.EXPAND
            hazard = timing.unit_hazard if expands else timing.rank_hazard
            # an activation comes late to the multiplier that it shares with all others
            interrupts = (
                earlier.operation == Operation.ACTIVATE != step.operation
                and now - end < timing.lookup
            )
            distance = _least_distance(earlier, written, needs) if now - end < hazard else None
            depends = distance is not None and now - end + distance < hazard
            # the activation table's results take a shorter way to the rank memory than sums do
            overtakes = (
                step.operation == Operation.ACTIVATE != earlier.operation and memory == "rank"
            )
            # biases are read late, through the port from which PROJECT reads inputs early
            collides = (
                step.operation == Operation.PROJECT
                and step.from_drive
                and earlier.operation == Operation.EXPAND
            )
            if interrupts or depends or ((overtakes or collides) and now - end < hazard):
                waits[number % len(passes)] = True
                history = []
                break
        now += step.outer * step.inner
        history.append((now - 1, step, writes(step)))
    return [replace(step, wait=int(wait)) for step, wait in zip(passes, waits, strict=True)]

# SPDX-License-Identifier: Apache-2.0
"""Where a pass must wait for the pipeline.

Passes follow each other without a gap unless ``wait`` is set: such a pass starts only when all that
was issued before has left the pipeline. The dependences are worked out from :class:`Timing`, from
which the gateware is built. The integer model runs passes strictly one after the other, so a
missing wait shows as a difference of bits between the model and the gateware.
"""

from dataclasses import replace

from ornstein.hdl.config import FabricConfig
from ornstein.hdl.isa import Operation, Pass
from ornstein.hdl.timing import Timing


def reads(step: Pass, bank_offset: int) -> list[tuple[str, int, int]]:
    """(memory, first word, end) of what a pass reads; both banks of a banked address."""
    if step.operation == Operation.PROJECT:
        regions = [("drive" if step.from_drive else "state", step.source, step.source + step.inner)]
    elif step.operation == Operation.MIX:
        regions = [("rank", step.source, step.source + step.outer + (step.inner - 1) * step.stride)]
    elif step.operation == Operation.ACTIVATE:
        regions = [("rank", step.source, step.source + step.outer)]
    else:
        # the state is read even if the level does not keep it or the result goes elsewhere
        regions = [("state", step.dest, step.dest + step.outer)]
        if step.biased:
            regions.append(("drive", step.bias, step.bias + step.outer))
        if step.coupled:
            regions.append(("rank", step.source, step.source + step.inner))
    second_bank = [
        (memory, first + bank_offset, end + bank_offset)
        for memory, first, end in regions
        if step.banked and memory == "drive"
    ]
    return regions + second_bank


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


def step_cycles(config: FabricConfig, passes: list[Pass]) -> int:
    """Cycles that the passes take one after the other, correct to within a few.

    A wait costs the whole length of the pipeline.
    """
    timing = Timing.of(config)
    return sum(
        max(step.outer * step.inner, timing.fetch) + step.wait * timing.unit_hazard
        for step in passes
    )


def place_waits(
    config: FabricConfig, passes: list[Pass], *, bank_offset: int = 0, repeated: bool = True
) -> list[Pass]:
    """The same passes with ``wait`` set exactly where a dependence is too close.

    A pass is taken to need all that an earlier one wrote from its first cycle on, so a wait can be
    set needlessly but never left out. ``repeated`` says that the list runs more than once, the
    first pass following the last.

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
    history: list[tuple[int, Pass]] = []  # (cycle of the last issue, pass), since the last wait
    now = 0
    for number in range(rounds * len(passes)):
        step = passes[number % len(passes)]
        needs = reads(step, bank_offset)
        for end, earlier in history:
            memory, first, last = writes(earlier)
            expands = earlier.operation == Operation.EXPAND
            hazard = timing.unit_hazard if expands else timing.rank_hazard
            # an activation comes late to the multiplier that it shares with all others
            interrupts = (
                earlier.operation == Operation.ACTIVATE != step.operation
                and now - end < timing.lookup
            )
            depends = any(
                memory == kind and first < stop and start < last for kind, start, stop in needs
            )
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
            if interrupts or ((depends or overtakes or collides) and now - end < hazard):
                waits[number % len(passes)] = True
                history = []
                break
        now += step.outer * step.inner
        history.append((now - 1, step))
    return [replace(step, wait=int(wait)) for step, wait in zip(passes, waits, strict=True)]

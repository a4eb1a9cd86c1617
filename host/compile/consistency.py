# SPDX-License-Identifier: Apache-2.0
"""Whether the parts of a program agree with each other, so that a device can trust them.

A program may come from a damaged file or from a hand. Nothing of it is written to a device before
:func:`check_program` has compared its arrays, its layout, its descriptors and its float program.
"""

import itertools

import numpy as np

from ornstein.hdl.config import (
    ACTIVATION_ENTRIES,
    MIX_WINDOW,
    SLOPE_WIDTH,
    STATE_WIDTH,
    ConfigError,
)
from ornstein.hdl.isa import DESCRIPTOR_WORDS, Level, Operation, Pass
from ornstein.hdl.schedule import place_waits, read_schedule, reads, writes
from ornstein.host.compile.allocation import input_layout, state_layout
from ornstein.host.compile.formats import draws_fine_noise, noise_unit
from ornstein.host.compile.program import Program, ProgramError
from ornstein.host.physics.problem import STOCHASTIC
from ornstein.sim.stages import LM

Schedule = list[tuple[Level, list[Pass]]]


def check_program(program: Program) -> None:
    """Raises ProgramError, which names the field, if a part of the program contradicts another.

    The arrays must have the types, shapes and ranges of the fabric's memories. All scales must be
    finite and positive. The layout must be that of the problem's modules and inputs and lie within
    the memories. Every address and loop of the descriptors must stay within its memory and, where
    it reads, within what the program holds or has written before. No pass may start too early. The
    levels must be the problem's stages.
    """
    try:
        _check_arrays(program)
        _check_scales(program)
        _check_layout(program)
        schedule = read_schedule(
            program.config,
            program.descriptors,
            program.layout.first_level,
            program.layout.levels,
            program.layout.bank_offset,
        )
        _check_waits(program, schedule)
        _check_writes(program, schedule)
        _check_reads(program, schedule)
        _check_stages(program, schedule)
    except ConfigError as error:
        raise ProgramError(f"program {program.name!r}: {error}") from None


def check_same_but_factors(loaded: Program, program: Program) -> None:
    """Raises ProgramError unless a program equals the loaded one in everything but its factors, and
    its factors have the fabric's bits.
    """
    same = {
        "config": program.config == loaded.config,
        "layout": program.layout == loaded.layout,
        "factor": program.factor.shape == loaded.factor.shape,
        "stages": program.problem.stages == loaded.problem.stages,
        "state_lsb": program.state_lsb == loaded.state_lsb,
        "dt": program.dt == loaded.dt,
    } | {
        name: np.array_equal(getattr(program, name), getattr(loaded, name))
        for name in ("constants", "descriptors", "activation", "input_lsb")
    }
    if other := [name for name, equal in same.items() if not equal]:
        raise ProgramError(
            f"program {program.name!r} differs from the loaded one in {other[0]}, not in its "
            "factors alone; load it"
        )
    _check_arrays(program)


def _need(holds: object, program: Program, what: str) -> None:
    """Raises ProgramError that says ``what`` is wrong, unless it ``holds``."""
    if not holds:
        raise ProgramError(f"program {program.name!r} contradicts itself: {what}; compile it again")


def _check_arrays(program: Program) -> None:
    config = program.config
    state, factor, slope = STATE_WIDTH - 1, config.factor_width - 1, SLOPE_WIDTH - 1
    expected = {
        "factor": (np.int16, config.lanes, config.factor_depth, factor),
        "constants": (np.int16, config.unit_lanes, config.drive_depth, state),
        "descriptors": (np.uint16, DESCRIPTOR_WORDS, config.descriptor_depth, None),
        "activation": (np.int16, 2, ACTIVATION_ENTRIES, state),
    }
    for name, (dtype, columns, most, bits) in expected.items():
        array = getattr(program, name)
        _need(
            array.dtype == dtype and array.ndim == 2 and array.shape[1] == columns,
            program,
            f"{name} is {array.dtype} {array.shape} instead of {np.dtype(dtype)} (n, {columns})",
        )
        _need(len(array) <= most, program, f"{name} has {len(array)} rows, of {most} at most")
        if bits is not None and array.size:
            fits = -1 << bits <= int(array.min()) and int(array.max()) < 1 << bits
            _need(fits, program, f"{name} holds values beyond {bits + 1} bits")
    table = program.activation
    _need(len(table) == ACTIVATION_ENTRIES, program, f"activation has {len(table)} entries")
    slopes = table[:, 1]
    fits = -1 << slope <= int(slopes.min()) and int(slopes.max()) < 1 << slope
    _need(fits, program, f"activation has slopes beyond {SLOPE_WIDTH} bits")


def _check_scales(program: Program) -> None:
    for name in ("state_lsb", "dt"):
        value = getattr(program, name)
        _need(np.isfinite(value) and value > 0, program, f"{name} is {value}")
    mantissa, _ = np.frexp(program.state_lsb)
    _need(mantissa == 0.5, program, f"state_lsb {program.state_lsb} is no power of two")
    lsb = program.input_lsb
    _need(
        lsb.dtype == np.float64 and lsb.ndim == 1 and np.isfinite(lsb).all() and (lsb > 0).all(),
        program,
        "input_lsb is no row of positive numbers",
    )


def _check_layout(program: Program) -> None:
    config, problem, layout = program.config, program.problem, program.layout
    state = state_layout(problem.energies[0].modules, config.unit_lanes)
    inputs = input_layout(problem, state, config.unit_lanes)
    for name, expected in (
        ("module_parts", state.parts),
        ("state_words", state.words),
        ("input_parts", inputs.parts),
        ("input_words", inputs.words),
    ):
        found = getattr(layout, name)
        _need(found == expected, program, f"layout.{name} is {found} instead of {expected}")
    numbers = sum(length for _, length in inputs.parts)
    _need(
        len(program.input_lsb) == numbers,
        program,
        f"input_lsb has {len(program.input_lsb)} steps for {numbers} numbers of an input",
    )
    _need(layout.chains >= 1, program, f"layout.chains is {layout.chains}")
    held = layout.chains * state.words <= config.state_depth
    _need(held, program, f"{layout.chains} states exceed state_depth = {config.state_depth}")
    bank = layout.chains * inputs.words
    places = [layout.input_word, layout.bank_offset - bank, layout.constant_word]
    _need(min(places) >= 0, program, "inputs of the two banks overlap or lie before the memory")
    ends = [
        layout.input_word + layout.bank_offset + bank,
        layout.constant_word + len(program.constants),
    ]
    _need(max(ends) <= config.drive_depth, program, f"drive words exceed {config.drive_depth}")
    constants = range(layout.constant_word, ends[1])
    apart = not constants or constants.start >= ends[0] or constants.stop <= layout.input_word
    _need(apart, program, "inputs and constants overlap in the drive memory")


def _check_waits(program: Program, schedule: Schedule) -> None:
    """A pass that starts too early would read words before they are written."""
    config, offset = program.config, program.layout.bank_offset
    for number, (level, passes) in enumerate(schedule):
        try:
            placed = place_waits(config, passes, bank_offset=offset, repeated=level.steps > 1)
        except ValueError as error:
            raise ProgramError(
                f"program {program.name!r} contradicts itself: level {number}: {error}; compile it "
                "again"
            ) from None
        early = [
            index
            for index, (step, needed) in enumerate(zip(passes, placed, strict=True))
            if needed.wait and not step.wait
        ]
        _need(not early, program, f"pass {early[:1]} of level {number} does not wait")


def _check_writes(program: Program, schedule: Schedule) -> None:
    """A job leaves its inputs and the constants as they are, since later jobs need them."""
    layout = program.layout
    bank = layout.chains * layout.input_words
    kept = [
        (layout.input_word, layout.input_word + bank),
        (layout.input_word + layout.bank_offset, layout.input_word + layout.bank_offset + bank),
        (layout.constant_word, layout.constant_word + len(program.constants)),
    ]
    for _, passes in schedule:
        for step in passes:
            memory, first, end = writes(step)
            if memory == "drive":
                overwritten = any(first < stop and start < end for start, stop in kept)
                _need(not overwritten, program, "a pass overwrites inputs or constants")


def _check_reads(program: Program, schedule: Schedule) -> None:
    """A job reads nothing that another one, or another program, has left."""
    config, layout = program.config, program.layout
    inputs = layout.input_word, layout.input_word + layout.chains * layout.input_words
    held = {
        "factor": [(0, len(program.factor))],
        "state": [(0, layout.chains * layout.state_words)],
        "drive": [
            inputs,
            (inputs[0] + layout.bank_offset, inputs[1] + layout.bank_offset),
            (layout.constant_word, layout.constant_word + len(program.constants)),
        ],
        "rank": [],
    }
    known = {memory: np.zeros(getattr(config, f"{memory}_depth"), bool) for memory in held}
    for memory, regions in held.items():
        for first, end in regions:
            known[memory][first:end] = True
    for level, passes in schedule:
        for step in passes:
            regions = [*reads(step, layout.bank_offset), *_factor_words(step)]
            if step.operation == Operation.MIX and config.mix_window:
                regions = [*_words_in_window(program, step), *_factor_words(step)]
            if step.operation == Operation.EXPAND and not level.keep:
                regions = regions[1:]  # the state at the destination has no effect
            for memory, first, end in regions:
                _need(
                    known[memory][first:end].all(),
                    program,
                    f"a pass reads {memory} words {first} to {end - 1}, which the program neither "
                    "holds nor has written",
                )
            memory, first, end = writes(step)
            known[memory][first:end] = True


def _words_in_window(program: Program, step: Pass) -> list[tuple[str, int, int]]:
    """(memory, first word, end) of the rank words that MIX multiplies by something."""
    cycles = np.arange(step.outer * step.inner)
    words = step.source + cycles // step.inner + cycles % step.inner * step.stride
    factors = program.factor[step.factor :][: len(cycles)]
    used = set()
    for unit, of_unit in enumerate(np.split(factors, program.config.unit_lanes, axis=1)):
        if unit < MIX_WINDOW:
            used |= set(words[: len(of_unit) - unit][of_unit[unit:].any(axis=1)].tolist())
    return [("rank", word, word + 1) for word in sorted(used)]


def _factor_words(step: Pass) -> list[tuple[str, int, int]]:
    """(memory, first word, end) of the factors that a pass multiplies."""
    if step.operation == Operation.PROJECT:
        length = step.outer + (step.inner - 1) * step.stride
    elif step.operation == Operation.MIX or (step.operation == Operation.EXPAND and step.coupled):
        length = step.outer * step.inner
    else:
        return []
    return [("factor", step.factor, step.factor + length)]


def _check_stages(program: Program, schedule: Schedule) -> None:
    """The levels after those that load and condition are the stages of the problem."""
    config, problem, layout = program.config, program.problem, program.layout
    opening = list(itertools.takewhile(lambda part: not part[0].keep, schedule))
    relaxing = schedule[len(opening) :]
    opens = all(
        level.steps == 1 and not (level.accumulate or level.thin or level.amplitude)
        for level, _ in opening
    )
    # the first level loads the states, a second one conditions
    _need(opens and len(opening) in (1, 2), program, "its first levels do not load the state")
    left = list(relaxing)
    for index, stage in enumerate(problem.stages):
        steps, expected = 0, _level_of(program, index)
        while left and steps < stage.steps:
            level, passes = left.pop(0)
            steps += level.steps
            found = {name: getattr(level, name) for name in expected}
            _need(found == expected, program, f"stage {index} is {expected}, its level {found}")
            _check_states(program, passes)
        _need(steps == stage.steps, program, f"stage {index} has {stage.steps} steps, not {steps}")
    _need(not left, program, f"there are {len(left)} levels behind the last stage")
    first = next((level for level, _ in relaxing if level.accumulate), None)
    clears = [level for level, _ in relaxing if level.clear]
    _need(clears == [first] and clears[0] is first, program, "its sums are not cleared once")
    most = config.max_samples
    _need(problem.samples <= most, program, f"{problem.samples} states overflow sums of {most}")
    sampled = sum(
        level.steps // level.thin * _updated_words(passes)
        for level, passes in schedule
        if level.thin
    )
    _need(
        layout.sampled_words == sampled,
        program,
        f"layout.sampled_words is {layout.sampled_words}, its levels send {sampled}",
    )
    whole = sampled % (layout.chains * layout.state_words) == 0
    _need(whole, program, f"{sampled} sampled words are no whole states")


def _level_of(program: Program, index: int) -> dict[str, int]:
    """Fields that every level of a stage must have."""
    problem, stage = program.problem, program.problem.stages[index]
    dt = stage.time_step(program.dt)
    leak = 2 * problem.energies[0].j2 * dt * (1 << program.config.leak_bits)
    fine = draws_fine_noise(problem, program.config)
    unit = noise_unit(problem.integrator, program.state_lsb, fine=fine)
    return {
        "keep": 1,
        "midpoint": int(problem.integrator == LM),
        "dither": int(problem.rounding == STOCHASTIC),
        "accumulate": int(stage.accumulate),
        "thin": stage.thin,
        "leak": round(leak),
        "fine": int(fine),
        "amplitude": round(np.sqrt(2 * stage.kT * dt) / unit),
    }


def _updated_words(passes: list[Pass]) -> int:
    """State words that a step of the passes updates."""
    return sum(
        step.outer for step in passes if step.operation == Operation.EXPAND and not step.to_drive
    )


def _check_states(program: Program, passes: list[Pass]) -> None:
    """A step updates every word of every chain's state once."""
    words = sorted(
        word
        for step in passes
        if step.operation == Operation.EXPAND and not step.to_drive
        for word in range(step.dest, step.dest + step.outer)
    )
    states = program.layout.chains * program.layout.state_words
    _need(words[:states] == list(range(states)), program, "a step leaves out words of the state")

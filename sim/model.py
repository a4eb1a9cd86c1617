# SPDX-License-Identifier: Apache-2.0
"""The bit-exact integer twin of the fabric: the same memories, the same descriptors, no clock.

Jobs that start from the same memories and touch only their own inputs are run side by side, one row
a job; what a later job would find in the memories is what the last row left. The arithmetic is that
of :mod:`ornstein.hdl.engine.lanes`, :mod:`ornstein.hdl.engine.update` and
:mod:`ornstein.hdl.engine.noise`, compiled by Numba.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ornstein.hdl import regmap
from ornstein.hdl.config import (
    ACTIVATION_ENTRIES,
    FRACTION_WIDTH,
    GUARD_BITS,
    SEED_WIDTH,
    STATE_WIDTH,
    FabricConfig,
)
from ornstein.hdl.engine import noise
from ornstein.hdl.engine.update import CUBIC_LIMIT, SQUARE_SHIFT, round_term
from ornstein.hdl.isa import DESCRIPTOR_WORDS, Descriptor, Level, Operation, Pass
from ornstein.hdl.regmap import Control, Space
from ornstein.hdl.schedule import check_words, read_schedule
from ornstein.hdl.spaces import spaces
from ornstein.sim.jit import compiled

_HIGH, _LOW = (1 << STATE_WIDTH - 1) - 1, -1 << STATE_WIDTH - 1
_ROUND = round_term()
_HALF = noise.LEAP // 2
_TAPS = noise.TAPS
_REST = SEED_WIDTH - _HALF
_DRAW_MASK = (1 << noise.DRAW_BITS) - 1
_MIRROR = (1 << noise.DRAW_BITS) - noise.THRESHOLD
_FINE_BITS, _FINE_GAP, _FINE_THRESHOLD = noise.FINE_BITS, noise.FINE_GAP, noise.FINE_THRESHOLD
_FINE_MIRROR = (1 << noise.DRAW_BITS - noise.FINE_BITS) - noise.FINE_THRESHOLD
_THRESHOLD, _DITHER_LOW, _DITHER_MASK = noise.THRESHOLD, noise.DITHER_LOW, (1 << GUARD_BITS) - 1
_PROJECT, _MIX, _EXPAND, _ACTIVATE = (int(operation) for operation in Operation)
_FRACTION, _ENTRY_MASK = FRACTION_WIDTH, ACTIVATION_ENTRIES - 1
_FRACTION_MASK, _FRACTION_HALF = (1 << FRACTION_WIDTH) - 1, 1 << FRACTION_WIDTH - 1
_GUARD, _SQUARE_SHIFT, _LIMIT = GUARD_BITS, SQUARE_SHIFT, CUBIC_LIMIT
_PASS_FIELDS = [name for name, *_ in Pass.layout()]
_LEVEL_FIELDS = [name for name, *_ in Level.layout()]
(
    _OPERATION,
    _FROM_DRIVE,
    _TO_DRIVE,
    _BANKED,
    _COUPLED,
    _BIASED,
    _SHIFT,
    _BIAS_SHIFT,
    _OUTER,
    _INNER,
    _FACTOR,
    _SOURCE,
    _DEST,
    _STRIDE,
    _BIAS,
) = (
    _PASS_FIELDS.index(name)
    for name in (
        "operation",
        "from_drive",
        "to_drive",
        "banked",
        "coupled",
        "biased",
        "shift",
        "bias_shift",
        "outer",
        "inner",
        "factor",
        "source",
        "dest",
        "stride",
        "bias",
    )
)
(
    _KEEP,
    _MIDPOINT,
    _DITHER,
    _ACCUMULATE,
    _CLEAR,
    _THIN,
    _STEPS,
    _LEAK,
    _FINE,
    _AMPLITUDE,
    _QUARTIC,
) = (
    _LEVEL_FIELDS.index(name)
    for name in (
        "keep",
        "midpoint",
        "dither",
        "accumulate",
        "clear",
        "thin",
        "steps",
        "leak",
        "fine",
        "amplitude",
        "quartic",
    )
)

_PRODUCTS_AT_ONCE = 1 << 27
"""Products of the multiply lanes that are computed before the host looks up: about 0.1 s."""

COUNTERS = tuple(name.name.lower() for name in regmap.COUNTERS if name != Control.CYCLES)
"""Those of the gateware that need no clock."""


@compiled(inline=True)
def next_draw(state):
    """The state after one draw: :func:`ornstein.hdl.engine.noise.advance` of a uint64."""
    for _ in range(2):
        parity = np.uint64(0)
        for tap in _TAPS:
            parity ^= state << np.uint64(SEED_WIDTH - tap)
        state = (state << np.uint64(_HALF)) | (parity >> np.uint64(_REST))
    return state


@compiled(inline=True)
def _wrap(value, half):
    """Two's complement of an accumulator whose range is [-half, half)."""
    return ((value + half) & (2 * half - 1)) - half


@compiled(inline=True)
def _store_rank_word(accumulator, shift, half_range, rank_word):
    """Writes shifted and saturated accumulators, which hold half of the result's LSB already, to a
    rank word. Returns whether a lane was clipped."""
    clipped = False
    for r in range(accumulator.shape[0]):
        value = _wrap(accumulator[r], half_range) >> shift
        if value > _HIGH:
            value, clipped = _HIGH, True
        elif value < _LOW:
            value, clipped = _LOW, True
        rank_word[r] = value
    return clipped


@compiled(inline=True)
def _project(word, offset, shape, shifts, factor, vectors, rank, accumulator):
    """The pass PROJECT from ``vectors``. Returns the number of rank words with a clipped lane."""
    ranks, units, half_range = shape[:3]
    inner, base, stride, dest = word[_INNER], word[_FACTOR], word[_STRIDE], word[_DEST]
    source = word[_SOURCE] + offset
    shift = shifts[0, word[_SHIFT]]
    clipped = 0
    for o in range(word[_OUTER]):
        accumulator[:] = 1 << shift - 1
        for i in range(inner):
            row = factor[base + o + i * stride]
            for u in range(units):
                value = np.int64(vectors[source + i, u])
                for r in range(ranks):
                    accumulator[r] += np.int64(row[u * ranks + r]) * value
        clipped += _store_rank_word(accumulator, shift, half_range, rank[dest + o])
    return clipped


@compiled(inline=True)
def _mix(word, offset, shape, shifts, factor, rank, accumulator):
    """The pass MIX, in the first unit lane. Returns the number of words with a clipped lane."""
    ranks, _, half_range = shape[:3]
    inner, base, stride = word[_INNER], word[_FACTOR], word[_STRIDE]
    source, dest = word[_SOURCE] + offset, word[_DEST]
    shift = shifts[0, word[_SHIFT]]
    clipped = 0
    for o in range(word[_OUTER]):
        accumulator[:] = 1 << shift - 1
        for t in range(inner):
            row = factor[base + o * inner + t]
            for r in range(ranks):
                accumulator[r] += np.int64(row[r]) * np.int64(rank[source + o + t * stride, r])
        clipped += _store_rank_word(accumulator, shift, half_range, rank[dest + o])
    return clipped


@compiled(inline=True)
def _activate(word, activation, rank):
    """The pass ACTIVATE: interpolates between the entries of the table, which wraps."""
    source, dest = word[_SOURCE], word[_DEST]
    for o in range(word[_OUTER]):
        for r in range(word[_INNER]):
            argument = rank[source + o, r]
            entry = activation[(argument >> _FRACTION) & _ENTRY_MASK]
            step = (entry[1] * (argument & _FRACTION_MASK) + _FRACTION_HALF) >> _FRACTION
            rank[dest + o, r] = _wrap(entry[0] + step, _HIGH + 1)


@compiled(inline=True)
def _coupling_sum(factor, first, count, rank, source, unit, ranks):
    """The sum of products of one unit, over ``count`` rows of factors from ``first`` on."""
    total = np.int64(0)
    for j in range(count):
        row = factor[first + j]
        values = rank[source + j]
        for r in range(ranks):
            total += np.int64(row[unit * ranks + r]) * np.int64(values[r])
    return total


@compiled(inline=True)
def _kept(held, leak, leak_bits, quartic, quartic_built):
    """The state less its leak and less the cubic term, in guard LSBs."""
    total = (held << _GUARD) - (held * leak << _GUARD - leak_bits)
    if quartic_built:
        cubic = ((held * held >> _SQUARE_SHIFT) * quartic + _ROUND) >> _GUARD
        total -= held * min(cubic, _LIMIT)
    return total


@compiled(inline=True)
def _rounding(generator, dithers):
    """What is added before the guard bits are dropped."""
    if dithers:
        return np.int64((generator >> np.uint64(_DITHER_LOW)) & np.uint64(_DITHER_MASK))
    return np.int64(_ROUND)


@compiled(inline=True)
def _code(generator):
    """The three-point noise of a generator: -1, 0 or 1."""
    draw = np.int64(generator & np.uint64(_DRAW_MASK))
    return np.int64(draw < _THRESHOLD) - np.int64(draw >= _MIRROR)


@compiled(inline=True)
def _fine_code(generator):
    """The fine noise of a generator: an odd number from -23 to 23."""
    draw = np.int64(generator & np.uint64(_DRAW_MASK))
    upper, lower = draw >> _FINE_BITS, draw & (1 << _FINE_BITS) - 1
    coarse = np.int64(upper < _FINE_THRESHOLD) - np.int64(upper >= _FINE_MIRROR)
    return _FINE_GAP * coarse + 2 * lower + 1 - (1 << _FINE_BITS)


@compiled(inline=True)
def _expand(level, word, offset, shape, shifts, factor, state, drive, rank, codes, generators):
    """The pass EXPAND: writes new states or, with ``to_drive``, new biases. Returns the number of
    words with a clipped unit."""
    ranks, units, half_range, coupling_bits, leak_bits, quartic_built = shape
    amplitude, leak, quartic = level[_AMPLITUDE], level[_LEAK], level[_QUARTIC]
    keep, midpoint, dithers = level[_KEEP], level[_MIDPOINT], level[_DITHER]
    fine = level[_FINE]
    inner, base, source, dest = word[_INNER], word[_FACTOR], word[_SOURCE], word[_DEST]
    shift, bias_shift = shifts[1, word[_SHIFT]], shifts[2, word[_BIAS_SHIFT]]
    to_drive, coupled, biased = word[_TO_DRIVE], word[_COUPLED], word[_BIASED]
    bias = word[_BIAS] + offset
    target = drive if to_drive else state
    clipped_words = 0
    for o in range(word[_OUTER]):
        clipped = False
        for u in range(units):
            total = np.int64(0)
            if coupled:
                first = base + o * inner
                total = _coupling_sum(factor, first, inner, rank, source, u, ranks)
                total = _wrap(total, half_range) << _GUARD - coupling_bits >> shift
            if biased:
                total += np.int64(drive[bias + o, u]) << bias_shift
            if keep:
                held = np.int64(state[dest + o, u])
                total += _kept(held, leak, leak_bits, quartic, quartic_built)
            generator = generators[u]
            total += _rounding(generator, dithers)
            if not to_drive:
                code = _fine_code(generator) if fine else _code(generator)
                total += amplitude * (code + (codes[dest + o, u] if midpoint else 0))
                codes[dest + o, u] = code
                generators[u] = next_draw(generator)
            value = total >> _GUARD
            if value > _HIGH:
                value, clipped = _HIGH, True
            elif value < _LOW:
                value, clipped = _LOW, True
            target[dest + o, u] = value
        clipped_words += clipped
    return clipped_words


@compiled(inline=True)
def _accumulate(state, first, count, cleared, sums, squares):
    """Adds new states and their squares to the sums; ``cleared`` forgets what those held."""
    for o in range(first, first + count):
        for u in range(state.shape[1]):
            value = np.int64(state[o, u])
            sums[o, u] = value + (0 if cleared else sums[o, u])
            squares[o, u] = value * value + (0 if cleared else squares[o, u])


@compiled()
def _run_level(
    level,
    passes,
    begin,
    end,
    bank_words,
    shape,
    shifts,
    factor,
    activation,
    state,
    drive,
    rank,
    codes,
    generators,
    sums,
    squares,
    samples,
    counters,
):
    """A part of one level of one job: its passes from number ``begin`` to before ``end``, counted
    over all steps.

    No address is checked here; :meth:`FabricModel.run` has done it. Shapes: level (fields,), passes
    (passes, fields), shape (rank_lanes, unit_lanes, accumulator half range, coupling_bits,
    leak_bits, quartic), shifts (3, 8), factor (words, lanes), state and drive (words, unit_lanes),
    rank (words, rank_lanes), codes like state, generators (unit_lanes,) uint64, sums and squares
    like state, samples (rows, unit_lanes), of which those of this part are written from the first
    on.
    Returns the number of sample rows written.
    """
    thin = level[_THIN]
    accumulator = np.zeros(shape[0], np.int64)
    written = 0
    for index in range(begin, end):
        step, number = index // passes.shape[0], index % passes.shape[0]
        sampled = thin > 0 and (step + 1) % thin == 0
        cleared = level[_CLEAR] and step == 0
        word = passes[number]
        operation, outer = word[_OPERATION], word[_OUTER]
        offset = bank_words if word[_BANKED] else 0
        if operation == _ACTIVATE:
            _activate(word, activation, rank)
            continue
        counters[0] += outer * word[_INNER]
        vectors, read_offset = (drive, offset) if word[_FROM_DRIVE] else (state, 0)
        if operation == _PROJECT:
            counters[1] += _project(
                word, read_offset, shape, shifts, factor, vectors, rank, accumulator
            )
        elif operation == _MIX:
            counters[1] += _mix(word, read_offset, shape, shifts, factor, rank, accumulator)
        else:
            counters[2] += _expand(
                level,
                word,
                offset,
                shape,
                shifts,
                factor,
                state,
                drive,
                rank,
                codes,
                generators,
            )
            if word[_TO_DRIVE]:
                continue
            dest = word[_DEST]
            if level[_ACCUMULATE]:
                _accumulate(state, dest, outer, cleared, sums, squares)
            if sampled:
                samples[written : written + outer] = state[dest : dest + outer]
                written += outer
    return written


@dataclass(frozen=True, eq=False)
class _LevelWork:
    """One level as :func:`_run_level` takes it.

    ``sample_rows`` are the rows that it writes, ``products`` those of each lane in a step.
    """

    level: np.ndarray
    passes: np.ndarray
    steps: int
    sample_rows: int
    products: int


@dataclass
class JobRows:
    """What a batch of jobs left: one row a job.

    ``sums`` and ``squares`` are (jobs, state_depth, unit_lanes), ``samples`` (jobs, sampled words,
    unit_lanes).
    """

    sums: np.ndarray
    squares: np.ndarray
    samples: np.ndarray


class FabricModel:
    """The memories of one fabric and what its jobs do to them.

    Attributes
    ----------
    factor : (factor_depth, lanes) int32; lane ``u * rank_lanes + r``
    state, drive : (depth, unit_lanes) int32
    rank : (rank_depth, rank_lanes) int32
    descriptors : (descriptor_depth, 8) of 16-bit words
    activation : (256, 2) int32, value and slope, indexed by the top eight bits of a rank word as an
        unsigned number
    codes : (state_depth, unit_lanes), the previous noise of each unit
    generators : (unit_lanes,) uint64
    sums, squares : (2, state_depth, unit_lanes) int64, a bank a row
    counters : dict of COUNTERS
    """

    def __init__(self, config: FabricConfig):
        self.config = config
        units = config.unit_lanes

        def memory(space: Space, dtype: type = np.int32) -> np.ndarray:
            info = spaces(config)[space]
            return np.zeros((info.depth, info.lanes), dtype)

        self.factor, self.state, self.drive, self.rank, self.codes = map(
            memory, (Space.FACTOR, Space.STATE, Space.DRIVE, Space.RANK, Space.NOISE)
        )
        self.descriptors = np.zeros((config.descriptor_depth, DESCRIPTOR_WORDS), np.int64)
        self.activation = np.zeros((spaces(config)[Space.ACTIVATION].depth, 2), np.int32)
        self.generators = np.ones(units, np.uint64)
        self.sums = memory(Space.SUM, np.int64).reshape(2, -1, units)  # a bank of each job
        self.squares = np.zeros_like(self.sums)  # kept where a build leaves them out, too
        self.bank_offset = 0
        self.counters = dict.fromkeys(COUNTERS, 0)
        self._checked: tuple[bytes, int, int, int] | None = None
        self._schedule: list[_LevelWork] = []
        self._shape = (
            config.rank_lanes,
            units,
            1 << config.accumulator_width - 1,
            config.coupling_bits,
            config.leak_bits,
            config.quartic,
        )
        self._shifts = np.zeros((3, 8), np.int64)
        for row, shifts in enumerate(
            (config.project_shifts, config.expand_shifts, config.bias_shifts)
        ):
            self._shifts[row, : len(shifts)] = shifts

    def _checked_schedule(self, first: int, levels: int) -> list[_LevelWork]:
        """Returns the levels from descriptor ``first`` on, whose addresses are all within the
        memories. They are checked once for each content of the descriptor memory.
        """
        key = self.descriptors.tobytes(), first, levels, self.bank_offset
        if key != self._checked:
            self._schedule = [
                _level_work(level, passes)
                for level, passes in read_schedule(
                    self.config, self.descriptors, first, levels, self.bank_offset
                )
            ]
            self._checked = key
        return self._schedule

    def run(
        self,
        first: int,
        levels: int,
        *,
        bank: int = 0,
        seeds: np.ndarray | None = None,
        inputs: np.ndarray | None = None,
        input_word: int = 0,
    ) -> JobRows:
        """Run jobs of ``levels`` levels from descriptor ``first``.

        Parameters
        ----------
        seeds : (jobs, unit_lanes) uint64, or None to go on with the present generators (one job)
        inputs : (jobs, words, unit_lanes), written to drive word ``input_word`` of each job, or
            None

        Raises
        ------
        ConfigError
            A descriptor names what the fabric does not have (:func:`check_level`), or the inputs
            lie outside the drive memory. Nothing has been changed.
        """
        schedule = self._checked_schedule(first, levels)
        jobs = 1 if seeds is None else len(seeds)
        states, drives, ranks, codes = (
            np.repeat(array[None], jobs, 0)
            for array in (self.state, self.drive, self.rank, self.codes)
        )
        sums, squares = (
            np.repeat(array[bank][None], jobs, 0) for array in (self.sums, self.squares)
        )
        if inputs is not None:
            check_words(
                self.config, "the inputs", "drive", input_word, input_word + inputs.shape[1]
            )
            drives[:, input_word : input_word + inputs.shape[1]] = inputs
        generators = (
            np.repeat(self.generators[None], jobs, 0)
            if seeds is None
            else np.where(seeds == 0, np.uint64(1), seeds.astype(np.uint64))
        )
        sampled = sum(part.sample_rows for part in schedule)
        samples = np.zeros((jobs, sampled, self.config.unit_lanes), np.int32)
        counters = np.zeros(len(COUNTERS), np.int64)
        for job in range(jobs):
            written = 0
            for part, begin, end in _slices(schedule, self.config.lanes):
                written += _run_level(
                    part.level,
                    part.passes,
                    begin,
                    end,
                    bank * self.bank_offset,
                    self._shape,
                    self._shifts,
                    self.factor,
                    self.activation,
                    states[job],
                    drives[job],
                    ranks[job],
                    codes[job],
                    generators[job],
                    sums[job],
                    squares[job],
                    samples[job, written:],
                    counters,
                )
        self.state, self.drive, self.rank, self.codes, self.generators = (
            array[-1].copy() for array in (states, drives, ranks, codes, generators)
        )
        self.sums[bank], self.squares[bank] = sums[-1], squares[-1]
        for name, value in zip(COUNTERS, counters, strict=True):
            self.counters[name] += int(value)
        return JobRows(sums, squares, samples)


def _slices(schedule: list[_LevelWork], lanes: int) -> Iterator[tuple[_LevelWork, int, int]]:
    """Yields the levels in parts short enough for Ctrl-C to be heard between them."""
    for part in schedule:
        total = part.steps * len(part.passes)
        each = max(1, _PRODUCTS_AT_ONCE * len(part.passes) // (part.products * lanes))
        for begin in range(0, total, each):
            yield part, begin, min(begin + each, total)


def _level_work(level: Level, passes: list[Pass]) -> _LevelWork:
    sampled = sum(
        step.outer for step in passes if step.operation == Operation.EXPAND and not step.to_drive
    )
    return _LevelWork(
        level=_fields(level),
        passes=np.array([_fields(step) for step in passes]),
        steps=level.steps,
        sample_rows=level.steps // level.thin * sampled if level.thin else 0,
        products=sum(step.outer * step.inner for step in passes),
    )


def _fields(descriptor: Descriptor) -> np.ndarray:
    return np.array([getattr(descriptor, name) for name, *_ in descriptor.layout()], np.int64)

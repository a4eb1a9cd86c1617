# SPDX-License-Identifier: Apache-2.0
"""The passes of the integer model, compiled by Numba, for many jobs side by side.

The arithmetic is that of :mod:`ornstein.hdl.engine.lanes`, :mod:`ornstein.hdl.engine.update` and
:mod:`ornstein.hdl.engine.noise`. Four products are added at a time: a compiler that cannot know
that two memories do not overlap compares their addresses before each loop over the jobs.
"""

import numpy as np

from ornstein.hdl.config import (
    ACTIVATION_ENTRIES,
    FRACTION_WIDTH,
    GUARD_BITS,
    MIX_WINDOW,
    SEED_WIDTH,
    STATE_WIDTH,
)
from ornstein.hdl.engine import noise
from ornstein.hdl.engine.update import CUBIC_LIMIT, SQUARE_SHIFT, round_term
from ornstein.hdl.isa import Level, Operation, Pass
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
_WINDOW = MIX_WINDOW
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
def _store(total, shift, words, lanes, jobs, width, memory, first):
    """Writes shifted and saturated totals to words of a flat memory from number ``first`` on.
    Returns the number of words, of all jobs, in which a lane was clipped."""
    size, clipped = words * lanes * width, False
    written = memory[first * lanes * width :][:size]
    for x in range(size):
        value = total[x] >> shift
        saturated = min(max(value, _LOW), _HIGH)
        clipped |= saturated != value
        written[x] = saturated
    return _clipped_words(total, shift, words, lanes, jobs, width) if clipped else 0


@compiled()
def _clipped_words(total, shift, words, lanes, jobs, width):
    """The number of words, of all jobs, in which a lane is clipped."""
    count = 0
    for word in range(words):
        for j in range(jobs):
            for lane in range(lanes):
                value = total[(word * lanes + lane) * width + j] >> shift
                if not _LOW <= value <= _HIGH:
                    count += 1
                    break
    return count


@compiled(inline=True)
def _store_rank_word(accumulator, total, shape, jobs, width, shift, rank, word):
    """Writes a rank word from accumulators that hold half of the result's LSB already. Returns the
    number of jobs in which a lane was clipped."""
    for x in range(shape[0] * width):
        total[x] = _wrap(np.int64(accumulator[x]), shape[2])
    return _store(total, shift, 1, shape[0], jobs, width, rank.reshape(-1), word)


@compiled(inline=True)
def _project(word, offset, shape, jobs, width, shifts, factor, vectors, rank, accumulator, total):
    """The pass PROJECT from ``vectors``. Returns the number of rank words with a clipped lane."""
    ranks, units = shape[:2]
    inner, base, stride, dest = word[_INNER], word[_FACTOR], word[_STRIDE], word[_DEST]
    source = word[_SOURCE] + offset
    shift = shifts[0, word[_SHIFT]]
    fours = inner - inner % 4
    clipped_words = 0
    for o in range(word[_OUTER]):
        accumulator[: ranks * width] = 1 << shift - 1
        for u in range(units):
            lane, column = u * ranks, u * width
            for i in range(0, fours, 4):
                row, vector = base + o + i * stride, source + i
                for r in range(ranks):
                    f0, f1 = factor[row, lane + r], factor[row + stride, lane + r]
                    f2, f3 = factor[row + 2 * stride, lane + r], factor[row + 3 * stride, lane + r]
                    for j in range(width):
                        accumulator[r * width + j] += (
                            f0 * vectors[vector, column + j]
                            + f1 * vectors[vector + 1, column + j]
                            + f2 * vectors[vector + 2, column + j]
                            + f3 * vectors[vector + 3, column + j]
                        )
            for i in range(fours, inner):
                for r in range(ranks):
                    f0 = factor[base + o + i * stride, lane + r]
                    for j in range(width):
                        accumulator[r * width + j] += f0 * vectors[source + i, column + j]
        clipped_words += _store_rank_word(
            accumulator, total, shape, jobs, width, shift, rank, dest + o
        )
    return clipped_words


@compiled(inline=True)
def _mix(word, offset, shape, jobs, width, shifts, factor, rank, accumulator, total):
    """The pass MIX, in the first unit lanes. Returns the number of words with a clipped lane."""
    ranks, window = shape[0], _WINDOW if shape[6] else 1
    inner, base, stride = word[_INNER], word[_FACTOR], word[_STRIDE]
    source, dest = word[_SOURCE] + offset, word[_DEST]
    shift = shifts[0, word[_SHIFT]]
    clipped_words = 0
    for o in range(word[_OUTER]):
        accumulator[: ranks * width] = 1 << shift - 1
        for t in range(inner):
            cycle = o * inner + t
            row = factor[base + cycle]
            for unit in range(min(window, cycle + 1)):
                lane, read = unit * ranks, cycle - unit
                values = rank[source + read // inner + read % inner * stride]
                for r in range(ranks):
                    for j in range(width):
                        accumulator[r * width + j] += row[lane + r] * values[r * width + j]
        clipped_words += _store_rank_word(
            accumulator, total, shape, jobs, width, shift, rank, dest + o
        )
    return clipped_words


@compiled(inline=True)
def _activate(word, width, activation, rank):
    """The pass ACTIVATE: interpolates between the entries of the table, which wraps."""
    source, dest = word[_SOURCE], word[_DEST]
    for o in range(word[_OUTER]):
        for lane in range(word[_INNER] * width):
            argument = np.int64(rank[source + o, lane])
            entry = activation[(argument >> _FRACTION) & _ENTRY_MASK]
            step = (entry[1] * (argument & _FRACTION_MASK) + _FRACTION_HALF) >> _FRACTION
            rank[dest + o, lane] = _wrap(entry[0] + step, _HIGH + 1)


@compiled(inline=True)
def _add_coupling(factor, first, count, rank, source, step, lane, ranks, width, accumulator, at):
    """Adds the products of one unit of each job, over ``count`` rows of factors from ``first`` on,
    to the accumulators from ``at`` on. The rank words lie ``step`` words apart."""
    fours = ranks - ranks % 4
    for i in range(count):
        row, values = factor[first + i], rank[source + i * step]
        for r in range(0, fours, 4):
            f0, f1 = row[lane + r], row[lane + r + 1]
            f2, f3 = row[lane + r + 2], row[lane + r + 3]
            for j in range(width):
                accumulator[at + j] += (
                    f0 * values[r * width + j]
                    + f1 * values[(r + 1) * width + j]
                    + f2 * values[(r + 2) * width + j]
                    + f3 * values[(r + 3) * width + j]
                )
        for r in range(fours, ranks):
            f0 = row[lane + r]
            for j in range(width):
                accumulator[at + j] += f0 * values[r * width + j]


@compiled(inline=True)
def _kept(held, leak, leak_bits, quartic, quartic_built):
    """The state less its leak and less the cubic term, in guard LSBs."""
    total = (held << _GUARD) - (held * leak << _GUARD - leak_bits)
    if quartic_built:
        cubic = ((held * held >> _SQUARE_SHIFT) * quartic + _ROUND) >> _GUARD
        total -= held * min(cubic, _LIMIT)
    return total


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
def _begin_totals(level, to_drive, words, lanes, generators, codes, total):
    """Writes what is added before the guard bits are dropped, and the noise of new states, whose
    next numbers it draws, to the totals of words."""
    amplitude, earlier = level[_AMPLITUDE], level[_AMPLITUDE] * level[_MIDPOINT]
    for word in range(words):
        sums, earlier_codes = total[word * lanes :][:lanes], codes[word * lanes :][:lanes]
        sums[:] = _ROUND
        if level[_DITHER]:
            for x in range(lanes):
                random = generators[x] >> np.uint64(_DITHER_LOW)
                sums[x] = np.int64(random & np.uint64(_DITHER_MASK))
        if not to_drive:
            for x in range(lanes):
                code = _fine_code(generators[x]) if level[_FINE] else _code(generators[x])
                sums[x] += amplitude * code + earlier * earlier_codes[x]
                earlier_codes[x] = code
                generators[x] = next_draw(generators[x])


@compiled(inline=True)
def _expand(
    level,
    word,
    offset,
    shape,
    jobs,
    width,
    shifts,
    factor,
    state,
    drive,
    rank,
    codes,
    generators,
    accumulator,
    total,
):
    """The pass EXPAND: writes new states or, with ``to_drive``, new biases, as many words at a time
    as there are totals. Returns the number of words with a clipped unit."""
    ranks, units, half_range, coupling_bits, leak_bits, quartic_built = shape[:6]
    inner, to_drive = word[_INNER], word[_TO_DRIVE]
    shift, bias_shift = shifts[1, word[_SHIFT]], shifts[2, word[_BIAS_SHIFT]]
    target, lanes = drive if to_drive else state, units * width
    block = len(total) // lanes
    clipped_words = 0
    for o in range(0, word[_OUTER], block):
        words = min(block, word[_OUTER] - o)
        dest, bias = (word[_DEST] + o) * lanes, (word[_BIAS] + offset + o) * lanes
        _begin_totals(level, to_drive, words, lanes, generators, codes[dest:], total)
        if word[_COUPLED]:
            accumulator[:] = 0
            first = word[_FACTOR] + o * inner
            for unit in range(words * units):
                _add_coupling(
                    factor,
                    first + unit // units * inner,
                    inner,
                    rank,
                    word[_SOURCE],
                    1 + word[_STRIDE],
                    unit % units * ranks,
                    ranks,
                    width,
                    accumulator,
                    unit * width,
                )
            for x in range(words * lanes):
                coupling = _wrap(np.int64(accumulator[x]), half_range)
                total[x] += coupling << _GUARD - coupling_bits >> shift
        if word[_BIASED]:
            biases = drive[bias:][: words * lanes]
            for x in range(words * lanes):
                total[x] += np.int64(biases[x]) << bias_shift
        if level[_KEEP]:
            states = state[dest:][: words * lanes]
            for x in range(words * lanes):
                held = np.int64(states[x])
                total[x] += _kept(held, level[_LEAK], leak_bits, level[_QUARTIC], quartic_built)
        clipped_words += _store(total, _GUARD, words, units, jobs, width, target, word[_DEST] + o)
    return clipped_words


@compiled(inline=True)
def _accumulate(state, first, count, cleared, sums, squares):
    """Adds new states and their squares to the sums; ``cleared`` forgets what those held."""
    for o in range(first, first + count):
        if cleared:
            sums[o] = 0
            squares[o] = 0
        for lane in range(state.shape[1]):
            value = np.int64(state[o, lane])
            sums[o, lane] += value
            squares[o, lane] += value * value


@compiled()
def run_level(
    level,
    passes,
    begin,
    end,
    places,
    jobs,
    bank_words,
    shape,
    shifts,
    factor,
    activation,
    accumulator,
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
    """A part of one level of jobs side by side: its passes from number ``begin`` to before
    ``end``, counted over all steps.

    No address is checked here; :meth:`ornstein.sim.model.FabricModel.run` has done it. The compiler
    makes vectors of the jobs of a lane, which are neighbours; ``places`` is how many fit, of which
    the first ``jobs`` count. None is room for one, for which this is compiled apart, with vectors
    of lanes.

    Shapes: level (fields,), passes (passes, fields), shape (rank_lanes, unit_lanes, accumulator
    half range, coupling_bits, leak_bits, quartic), shifts (3, 8), factor (words, lanes),
    accumulator (rank_lanes * places,) and (unit_lanes * places,) or more, of a type as wide as the
    fabric's accumulators, state and drive (words, unit_lanes * places), rank (words, rank_lanes *
    places), codes like state, generators (unit_lanes * places,) uint64, sums and squares like
    state, samples (rows, unit_lanes * places), of which those of this part are written from the
    first on.
    Returns the number of sample rows written.
    """
    width = 1 if places is None else places
    thin = level[_THIN]
    total = np.zeros(len(accumulator), np.int64)
    written = 0
    for index in range(begin, end):
        step, number = index // passes.shape[0], index % passes.shape[0]
        sampled = thin > 0 and (step + 1) % thin == 0
        cleared = level[_CLEAR] and step == 0
        word = passes[number]
        operation, outer = word[_OPERATION], word[_OUTER]
        offset = bank_words if word[_BANKED] else 0
        if operation == _ACTIVATE:
            _activate(word, width, activation, rank)
            continue
        counters[0] += outer * word[_INNER] * jobs
        vectors, read_offset = (drive, offset) if word[_FROM_DRIVE] else (state, 0)
        if operation == _PROJECT:
            counters[1] += _project(
                word,
                read_offset,
                shape,
                jobs,
                width,
                shifts,
                factor,
                vectors,
                rank,
                accumulator,
                total,
            )
        elif operation == _MIX:
            counters[1] += _mix(
                word, read_offset, shape, jobs, width, shifts, factor, rank, accumulator, total
            )
        else:
            counters[2] += _expand(
                level,
                word,
                offset,
                shape,
                jobs,
                width,
                shifts,
                factor,
                state.reshape(-1),
                drive.reshape(-1),
                rank,
                codes.reshape(-1),
                generators,
                accumulator,
                total,
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

# SPDX-License-Identifier: Apache-2.0
"""Noise: the gateware equals its integer model, and what the module claims of the generator is
proved or measured.

Proofs are linear algebra over GF(2), where a row of a matrix is an integer whose bits are its
entries. They hold for a state drawn uniformly; the zero state, which no seed gives, is the only one
that the generator never visits.
"""

import numpy as np
import pytest

from helpers.link_bench import seeded, simulate
from ornstein.hdl.config import GUARD_BITS, SEED_WIDTH
from ornstein.hdl.engine.noise import (
    DITHER_LOW,
    DRAW_BITS,
    FINE_TOP,
    FINE_VARIANCE,
    LEAP,
    TAPS,
    THRESHOLD,
    VARIANCE,
    NoiseSource,
    advance,
    code,
    dither,
    fine_code,
)

MASK = (1 << SEED_WIDTH) - 1
IDENTITY = [1 << bit for bit in range(SEED_WIDTH)]
PERIOD_FACTORS = (3, 5, 17, 257, 641, 65537, 6700417)
LAGS = 4096
DITHER = slice(DITHER_LOW, DITHER_LOW + GUARD_BITS)


def shift_once(state: int) -> int:
    """One step of the Fibonacci LFSR, as a data sheet would put it."""
    fed_back = 0
    for tap in TAPS:
        fed_back ^= state >> tap - 1 & 1
    return (state << 1 | fed_back) & MASK


def leap_matrix(steps: int = LEAP) -> list[int]:
    """For each bit of the state after ``steps`` single shifts, the mask of present bits whose
    parity it is.
    """
    rows = IDENTITY
    for _ in range(steps):
        fed_back = 0
        for tap in TAPS:
            fed_back ^= rows[tap - 1]
        rows = [fed_back, *rows[:-1]]
    return rows


def times(row: int, matrix: list[int]) -> int:
    """row * matrix."""
    product = 0
    while row:
        lowest = row & -row
        product ^= matrix[lowest.bit_length() - 1]
        row ^= lowest
    return product


def power(matrix: list[int], exponent: int) -> list[int]:
    result = IDENTITY
    while exponent:
        if exponent & 1:
            result = [times(row, matrix) for row in result]
        matrix = [times(row, matrix) for row in matrix]
        exponent >>= 1
    return result


def rank(rows) -> int:
    basis = {}  # by leading bit
    for row in rows:
        while row and row.bit_length() in basis:
            row ^= basis[row.bit_length()]
        if row:
            basis[row.bit_length()] = row
    return len(basis)


def draws(seed: int, count: int) -> np.ndarray:
    """``count`` successive values of the three-point variable."""
    values, state = np.empty(count, np.int8), seed
    for index in range(count):
        values[index] = code(state)
        state = advance(state)
    return values


# ---- the gateware --------------------------------------------------------------------------------


def test_gateware_equals_the_model():
    rng = seeded(1)
    dut = NoiseSource()
    seeds = [rng.getrandbits(SEED_WIDTH) for _ in range(3)] + [1, MASK]

    async def bench(ctx):
        for seed in seeds:
            ctx.set(dut.seed, seed)
            ctx.set(dut.load, 1)
            ctx.set(dut.advance, rng.getrandbits(1))  # loading wins
            await ctx.tick()
            ctx.set(dut.load, 0)
            state = seed
            for _ in range(1000):
                assert ctx.get(dut.state) == state
                assert ctx.get(dut.dither) == dither(state)
                moves = rng.random() < 0.9
                ctx.set(dut.advance, moves)
                await ctx.tick()
                assert ctx.get(dut.code) == code(state)
                state = advance(state) if moves else state

    simulate(dut, bench)


def test_gateware_thresholds_are_exact():
    mirror = (1 << DRAW_BITS) - THRESHOLD
    expected = {
        0: 1,
        THRESHOLD - 1: 1,
        THRESHOLD: 0,
        mirror - 1: 0,
        mirror: -1,
        (1 << DRAW_BITS) - 1: -1,
    }
    dut = NoiseSource()

    async def bench(ctx):
        ctx.set(dut.load, 1)
        for draw, value in expected.items():
            state = 1 << DRAW_BITS | draw
            ctx.set(dut.seed, state)
            await ctx.tick().repeat(2)
            assert ctx.get(dut.code) == value == code(state)

    simulate(dut, bench)


def test_gateware_replaces_seed_zero():
    dut = NoiseSource()

    async def bench(ctx):
        assert ctx.get(dut.state) == 1, "power-up"
        ctx.set(dut.seed, 12345)
        ctx.set(dut.load, 1)
        await ctx.tick()
        ctx.set(dut.seed, 0)
        await ctx.tick()
        assert ctx.get(dut.state) == 1

    simulate(dut, bench)


# ---- the generator -------------------------------------------------------------------------------


def test_a_draw_is_as_many_single_shifts():
    rng = seeded(2)
    for state in [*IDENTITY, MASK, *(rng.getrandbits(SEED_WIDTH) for _ in range(200))]:
        shifted = state
        for _ in range(LEAP):
            shifted = shift_once(shifted)
        assert advance(state) == shifted
        assert (
            sum((state & row).bit_count() % 2 << bit for bit, row in enumerate(leap_matrix()))
            == shifted
        )


def test_the_period_is_all_nonzero_states():
    """The order of the matrix divides 2^64 - 1 but none of its maximal divisors."""
    matrix = leap_matrix()
    order = (1 << SEED_WIDTH) - 1
    assert np.prod(PERIOD_FACTORS, dtype=object) == order
    assert power(matrix, order) == IDENTITY
    for factor in PERIOD_FACTORS:
        assert power(matrix, order // factor) != IDENTITY, factor


def test_any_two_draws_are_independent():
    """The sixteen bits of a draw and those of one up to 4,096 draws later have full rank
    together.
    """
    now = IDENTITY[:DRAW_BITS]
    later, matrix = now, leap_matrix()
    for lag in range(1, LAGS + 1):
        later = [times(row, matrix) for row in later]
        assert rank(now + later) == 2 * DRAW_BITS, f"lag {lag}"


def test_shifting_once_a_draw_would_make_draws_dependent():
    """What the leap is for, and proof that the rank can fail: fifteen of sixteen bits are
    shared.
    """
    later = [times(row, leap_matrix(1)) for row in IDENTITY[:DRAW_BITS]]
    assert rank(IDENTITY[:DRAW_BITS] + later) == DRAW_BITS + 1


def test_four_consecutive_draws_are_jointly_independent():
    rows = [row for draw in range(4) for row in power(leap_matrix(), draw)[:DRAW_BITS]]
    assert rank(rows) == 4 * DRAW_BITS == SEED_WIDTH


def test_dither_is_independent_of_draws_and_of_other_dither():
    """At all lags both ways, but for the dither one draw after a draw: two of its bits follow from
    the draw's.
    """
    draw, extra, matrix = IDENTITY[:DRAW_BITS], IDENTITY[DITHER], leap_matrix()
    later_draw, later_extra = draw, extra
    assert rank(draw + extra) == DRAW_BITS + GUARD_BITS
    for lag in range(1, LAGS + 1):
        later_draw, later_extra = (
            [times(row, matrix) for row in rows] for rows in (later_draw, later_extra)
        )
        assert rank(extra + later_draw) == DRAW_BITS + GUARD_BITS, f"lag {lag}"
        assert rank(extra + later_extra) == 2 * GUARD_BITS, f"lag {lag}"
        assert rank(draw + later_extra) == DRAW_BITS + GUARD_BITS - 2 * (lag == 1), f"lag {lag}"


def test_dither_after_a_draw_is_uncorrelated_with_it_all_the_same():
    """The two bits that follow from the draw are parities of an even number of its bits, so they
    are the same for a draw and its mirror image, whose values are opposite: the covariance is
    exactly zero.
    """
    within = (1 << DRAW_BITS) - 1
    tied = [(bit, row) for bit, row in enumerate(leap_matrix()[DITHER]) if row & ~within == 0]
    assert [bit for bit, _ in tied] == [0, 1], (
        "the lowest two bits, 1/4096 and 1/2048 of the state's LSB"
    )
    for _, row in tied:
        assert (
            sum(code(value) * ((value & row).bit_count() % 2) for value in range(within + 1)) == 0
        )


def test_the_fine_variable_is_chosen_at_run_time():
    """It has the timing of the three-point variable, which the same build still draws."""
    rng = seeded(6)
    dut = NoiseSource(fine=True)

    async def bench(ctx):
        state = rng.getrandbits(SEED_WIDTH)
        ctx.set(dut.seed, state)
        ctx.set(dut.load, 1)
        await ctx.tick()
        ctx.set(dut.load, 0)
        ctx.set(dut.advance, 1)
        found = set()
        for _ in range(1000):
            fine = rng.getrandbits(1)
            ctx.set(dut.fine, fine)
            await ctx.tick()
            expected = fine_code(state) if fine else code(state)
            assert ctx.get(dut.code) == expected
            found.add(expected)
            state = advance(state)
        assert {-1, 0, 1} | set(range(-FINE_TOP, FINE_TOP + 1, 2)) == found

    simulate(dut, bench)


# ---- the three-point variable --------------------------------------------------------------------


def test_moments_are_exact():
    values = np.array([code(draw) for draw in range(1 << DRAW_BITS)])
    assert set(values) == {-1, 0, 1}
    assert values.sum() == 0
    assert np.mean(values**2) == VARIANCE
    assert np.mean(values**3) == 0
    assert VARIANCE == pytest.approx(1 / 3, abs=2**-16)
    assert np.mean(values**4) / VARIANCE**2 == pytest.approx(3, abs=1e-3)


def test_moments_of_the_fine_variable_are_exact():
    """A draw's mirror image has the opposite value, as that of the three-point variable."""
    values = np.array([fine_code(draw) for draw in range(1 << DRAW_BITS)])
    assert set(values) == set(range(-FINE_TOP, FINE_TOP + 1, 2))
    np.testing.assert_array_equal(values, -values[::-1])
    assert np.mean(values**2) == FINE_VARIANCE
    assert np.mean(values**4) / FINE_VARIANCE**2 == pytest.approx(3, abs=1e-3)


def test_dither_is_uniform_over_a_long_run():
    seed, count = 3, 200_000
    print(f"seed {seed}")
    state, values = seeded(seed).getrandbits(SEED_WIDTH), np.empty(count, int)
    for index in range(count):
        values[index] = dither(state)
        state = advance(state)
    bins = np.bincount(values >> GUARD_BITS - 6, minlength=64)
    excess = np.sum((bins - count / 64) ** 2 / (count / 64)) - 63
    assert abs(excess) < 4 * np.sqrt(2 * 63), "chi-squared of 64 bins, four standard deviations"
    assert abs(values.mean() - (2**GUARD_BITS - 1) / 2) < 4 * 2**GUARD_BITS / np.sqrt(12 * count)


def assert_uncorrelated(correlations: np.ndarray, count: int):
    """Correlation coefficients over ``count`` samples: each below 5.5 of its standard errors
    1/sqrt(count), their mean square within five standard errors of 1/count.
    """
    standard = correlations * np.sqrt(count)
    number = standard.size
    print(
        f"{number} correlations: largest {np.abs(standard).max():.2f} standard errors, "
        f"mean square {np.mean(standard**2):.3f}"
    )
    assert np.abs(standard).max() < 5.5
    assert abs(np.mean(standard**2) - 1) < 5 * np.sqrt(2 / number)


@pytest.mark.parametrize("units", [64, 100])
def test_units_of_one_lane_are_uncorrelated(units):
    """Unit i of step n takes draw n * units + i; all pairs of units, in the same step and in the
    next one.
    """
    seed, steps = 4, 8_000
    print(f"seed {seed}")
    values = draws(seeded(seed).getrandbits(SEED_WIDTH), steps * units).reshape(
        steps, units
    ) / np.sqrt(VARIANCE)
    assert_uncorrelated((values.T @ values / steps)[np.triu_indices(units, 1)], steps)
    assert_uncorrelated(values[1:].T @ values[:-1] / (steps - 1), steps - 1)


def test_unit_lanes_are_uncorrelated():
    """Sixteen lanes with seeds as the host makes them; all pairs of lanes, up to sixteen draws
    apart.
    """
    seed, lanes, count, lags = 5, 16, 40_000, 16
    print(f"seed {seed}")
    seeds = np.random.SeedSequence(seed).generate_state(lanes, np.uint64)
    values = np.stack([draws(int(state), count) for state in seeds]) / np.sqrt(VARIANCE)
    kept = count - lags
    correlations = [
        values[:, lag : lag + kept] @ values[:, :kept].T / kept for lag in range(lags + 1)
    ]
    pairs = ~np.eye(lanes, dtype=bool)
    assert_uncorrelated(
        np.concatenate(
            [
                correlations[0][np.triu_indices(lanes, 1)],
                *(matrix[pairs] for matrix in correlations[1:]),
            ]
        ),
        kept,
    )


def test_moments_of_a_long_run():
    seed, count = 6, 400_000
    print(f"seed {seed}")
    values = draws(seeded(seed).getrandbits(SEED_WIDTH), count).astype(float)
    assert abs(values.mean()) < 4 * np.sqrt(VARIANCE / count)
    assert abs(np.mean(values**2) - VARIANCE) < 4 * np.sqrt(VARIANCE * (1 - VARIANCE) / count)

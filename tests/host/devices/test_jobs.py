# SPDX-License-Identifier: Apache-2.0
"""Jobs: every input is in one job and one chain, and results come back to the input's row."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.programs import compile_case, random_case, toy, toy_inputs
from ornstein.hdl.config import TINY, WIDE
from ornstein.host.compile.compiler import compile_problem
from ornstein.host.devices.jobs import (
    job_seeds,
    pack_jobs,
    seed_words,
    unpack_samples,
    unpack_units,
)
from ornstein.sim.stages import Stage


@pytest.mark.parametrize("count", [0, 1, 4, 9])
def test_every_input_is_in_one_chain(count):
    program = compile_problem(toy(), WIDE, toy_inputs())
    chains, size = program.layout.chains, program.layout.input_words
    encoded = program.encode(toy_inputs(count))
    jobs = list(pack_jobs(program, encoded, 5))
    assert [job.number for job in jobs] == list(range(5, 5 + -(-count // chains)))
    assert [job.bank for job in jobs] == [job.number % 2 for job in jobs]
    done = 0
    for job in jobs:
        assert job.words.shape == (chains * size, WIDE.unit_lanes) and job.words.dtype == np.int16
        words = job.words.reshape(chains, size, WIDE.unit_lanes)
        np.testing.assert_array_equal(words[: job.count], encoded.words[done : done + job.count])
        assert not words[job.count :].any()
        done += job.count
        assert job.following == count - done
    assert done == count


@pytest.mark.parametrize("seed", range(8))
def test_units_come_back_from_their_words(seed):
    """Words numbered by chain, word and lane: each unit is found at the place of its module."""
    program = compile_case(random_case(seed))
    layout, lanes = program.layout, program.config.unit_lanes
    words = np.arange(layout.chains * layout.state_words * lanes).reshape(-1, lanes)
    units = unpack_units(program, words, layout.chains)
    modules = program.problem.energies[0].modules
    expected = [
        (chain * layout.state_words + first) * lanes + np.arange(module.units)
        for chain in range(layout.chains)
        for module, (first, _) in zip(modules, layout.module_parts, strict=True)
    ]
    np.testing.assert_array_equal(units.ravel(), np.concatenate(expected))
    np.testing.assert_array_equal(unpack_units(program, words, 1), units[:1])


def test_samples_come_back_by_chain_and_step():
    stages = Stage(5, 0.01), Stage(6, 0.01, accumulate=True, thin=2)
    program = compile_problem(toy(stages=stages), TINY, toy_inputs())
    layout = program.layout
    assert layout.sampled_words == 3 * layout.chains * layout.state_words
    words = np.arange(layout.sampled_words).reshape(-1, 1)
    samples = unpack_samples(program, words, 2)
    assert samples.shape == (2, 3, 8)
    for chain in range(2):
        for step in range(3):
            first = (step * layout.chains + chain) * layout.state_words
            np.testing.assert_array_equal(samples[chain, step], first + np.arange(8))


def test_job_seeds_are_distinct_and_never_zero():
    seeds = np.concatenate([job_seeds(seed, job, 4) for seed in range(20) for job in range(50)])
    assert len(np.unique(seeds)) == len(seeds) and seeds.all()


def test_seeds_beyond_32_bits_repeat_no_other_run():
    """The sum of a seed and a multiple of 2**32 once drew what a later job of the seed draws."""
    seeds = [s + k * 2**32 for s in range(3) for k in (0, 1, 2, 2**32)] + [2**70, 2**96 + 1]
    drawn = [job_seeds(seed, job, 1)[0] for seed in seeds for job in range(4)]
    assert len(set(drawn)) == len(drawn)


def test_small_seeds_draw_what_they_always_did():
    state = np.random.SeedSequence([7, 3]).generate_state(2, np.uint64)
    np.testing.assert_array_equal(job_seeds(7, 3, 2), state)


NUMBERS = st.integers(0, 2**32 - 1)
PAIRS = st.tuples(st.one_of(NUMBERS, st.integers(0, 2**130)), NUMBERS)


@given(PAIRS, PAIRS)
def test_no_two_runs_share_their_noise(one, other):
    def padded(pair):
        return list(itertools.chain(seed_words(*pair), [0] * 8))[:8]

    assert (padded(one) == padded(other)) == (one == other)
    assert all(0 <= word < 2**32 for word in seed_words(*one))

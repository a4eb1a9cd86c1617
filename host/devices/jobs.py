# SPDX-License-Identifier: Apache-2.0
"""Jobs: what a device runs at once, how inputs are packed into them, and how results are unpacked.

A job relaxes ``layout.chains`` inputs side by side, each in its own chain. All integer devices pack
and unpack here, so that they do it alike.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ornstein.host.compile.program import EncodedInputs, Program


@dataclass(frozen=True, eq=False)
class Job:
    """One job of a stream of inputs.

    Attributes
    ----------
    number : jobs before it in the stream
    count : inputs in it, 1 to ``layout.chains``; chains without an input get zeros
    words : (chains * input_words, unit_lanes) int16, the drive words of all chains
    following : inputs of the same block that are not in this job or an earlier one
    """

    number: int
    count: int
    words: np.ndarray
    following: int

    @property
    def bank(self) -> int:
        """Half of the double-buffered memories that the job uses; the next job uses the other."""
        return self.number & 1


def pack_jobs(program: Program, block: EncodedInputs, first: int) -> Iterator[Job]:
    """Yields the jobs of a block of inputs; ``first`` is the number of the first of them."""
    layout = program.layout
    for index, start in enumerate(range(0, len(block), layout.chains)):
        part = block.words[start : start + layout.chains]
        words = part
        if len(part) < layout.chains:
            words = np.zeros((layout.chains, *part.shape[1:]), np.int16)
            words[: len(part)] = part
        yield Job(
            number=first + index,
            count=len(part),
            words=words.reshape(-1, part.shape[-1]),
            following=len(block) - start - len(part),
        )


def seed_words(seed: int, index: int) -> list[int]:
    """Returns the numbers below 2**32 from which the noise of one job, or one input, is drawn.

    No two pairs of a seed and an index below 2**32 have the same numbers, padded with zeros as
    NumPy does it: only a seed of several words has a number in the fourth place.
    """
    words = [seed >> shift & 0xFFFFFFFF for shift in range(0, max(1, seed.bit_length()), 32)]
    return [seed, index] if len(words) == 1 else [index, len(words), *words]


def job_seeds(seed: int, job: int, lanes: int) -> np.ndarray:
    """Returns independent generator seeds (lanes,) uint64 for one job; none of them is zero."""
    words = np.array(seed_words(seed, job), np.uint32)  # from a list it would take twice as long
    state = np.random.SeedSequence(words).generate_state(lanes, np.uint64)
    return np.maximum(state, np.uint64(1))


def seed_elements(seeds: np.ndarray) -> np.ndarray:
    """Returns generator seeds (unit_lanes,) uint64 as elements of the space SEED."""
    return seeds.astype("<u8").view("<u4")


def unpack_units(program: Program, words: np.ndarray, count: int) -> np.ndarray:
    """Returns (count, units) of memories of states or sums.

    ``words`` are (words, unit_lanes) that one job left, or (jobs, words, unit_lanes). A chain has
    ``layout.state_words`` words, and the chains follow one another, those of ``count`` inputs
    first.
    """
    layout = program.layout
    chains = words[..., : layout.chains * layout.state_words, :]
    return program.units(chains.reshape(-1, layout.state_words, words.shape[-1])[:count])


def unpack_samples(program: Program, words: np.ndarray, count: int) -> np.ndarray:
    """Returns (count, kept, units) of the sampled words of one job or several.

    ``words`` are (sampled_words, unit_lanes), or (jobs, sampled_words, unit_lanes). They come step
    by step, and within a step chain by chain.
    """
    layout = program.layout
    jobs = len(words) if words.ndim == 3 else 1
    kept = layout.sampled_words // (layout.chains * layout.state_words)
    steps = words.reshape(jobs, kept, layout.chains, layout.state_words, words.shape[-1])
    chains = steps.swapaxes(1, 2).reshape(jobs * layout.chains, *steps.shape[1:2], *steps.shape[3:])
    return program.units(chains[:count])

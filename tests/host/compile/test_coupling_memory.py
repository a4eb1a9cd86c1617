# SPDX-License-Identifier: Apache-2.0
"""Coupling memory: the factors are where the passes read them, and replacing them is a change of
those words alone.
"""

from dataclasses import replace

import numpy as np
import pytest

from helpers.programs import random_program, toy, toy_inputs
from ornstein.hdl.config import TINY
from ornstein.host.compile.compiler import compile_problem
from ornstein.host.compile.coupling_memory import (
    AdjustableCouplings,
    connections,
    factor_places,
    sums_fit,
)
from ornstein.host.compile.program import ProgramError


@pytest.mark.parametrize("seed", range(24))
def test_every_factor_of_a_random_program_is_found_once(seed):
    program, _ = random_program(seed)
    places = [place.ravel() for _, found in connections(program) for place in found.values()]
    used = {stage.energy for stage in program.problem.stages}
    count = sum(
        factor.size
        for index in used
        for coupling in program.realised[index].couplings
        for factor in coupling.factors
    )
    found = np.concatenate(places) if places else np.zeros(0)
    assert len(np.unique(found)) == len(found) == count


@pytest.fixture(scope="module")
def program():
    return compile_problem(toy(), TINY, toy_inputs())


def test_a_memory_with_other_factors_is_refused(program):
    wrong = replace(program, factor=program.factor + np.int16(1))
    with pytest.raises(ProgramError, match=r"does not hold the factors of coupling 0 in module"):
        factor_places(wrong)


def test_the_compiled_factors_are_kept_exactly(program):
    couplings = AdjustableCouplings.of(program)
    again = couplings.with_factors(couplings.factors())
    assert np.array_equal(again.factor, program.factor)
    assert again.matrices == pytest.approx(program.matrices, abs=1e-15)
    assert couplings.energy(couplings.factors()).matrix() == pytest.approx(program.matrices[0])


def test_other_factors_give_the_energy_that_was_asked_for(program):
    couplings = AdjustableCouplings.of(program)
    factors = {side: 0.5 * factor for side, factor in couplings.factors().items()}
    changed = couplings.with_factors(factors)
    wanted = couplings.energy(factors).matrix()
    assert changed.problem.energies[0].matrix() == pytest.approx(wanted)
    assert changed.matrices[0] == pytest.approx(wanted, abs=2e-3 * np.abs(wanted).max())
    leak = 2 * program.realised[0].j2 * np.eye(8)
    assert wanted - leak == pytest.approx((program.matrices[0] - leak) / 4, abs=1e-12)
    assert factor_places(changed).keys() == factor_places(program).keys()


def test_factors_beyond_their_bits_are_clipped(program):
    couplings = AdjustableCouplings.of(program)
    huge = {side: 1e6 * np.sign(factor) for side, factor in couplings.factors().items()}
    assert max(np.abs(values).max() for values in couplings.integers(huge).values()) == 2047


def test_what_the_formats_do_not_hold_is_brought_within_them(program):
    couplings = AdjustableCouplings.of(program)
    held = couplings.factors()
    assert all(
        np.array_equal(values, held[side]) for side, values in couplings.within(held).items()
    )
    within = couplings.within({side: 1e6 * np.sign(factor) for side, factor in held.items()})
    assert sums_fit(program, 0, couplings.integers(within))
    assert max(np.abs(values).max() for values in couplings.integers(within).values()) == 2047


def test_a_program_without_couplings_has_none_to_adjust(program):
    bare = replace(program, realised=(program.realised[0].without_couplings(),))
    with pytest.raises(ProgramError, match="1 energies and 0 couplings"):
        AdjustableCouplings.of(bare)

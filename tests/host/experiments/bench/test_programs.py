# SPDX-License-Identifier: Apache-2.0
"""Programs of the benchmarks: the work that they take is counted as arithmetic says."""

import numpy as np
import pytest

from ornstein.hdl.config import REFERENCE
from ornstein.host.compile.program import job_issues
from ornstein.host.experiments.bench.programs import (
    random_biases,
    relaxation_issues,
    skip_energy,
    skip_program,
    useful_multiplies,
)


def test_useful_multiplies_of_a_skip_are_4dk():
    program = skip_program(REFERENCE, (64,), 16, steps=3)
    assert useful_multiplies(program) == 3 * 4 * 64 * 16


def test_gram_terms_add_the_multiplies_of_mixing():
    program = skip_program(REFERENCE, (64,), 16, steps=3, gram=0.1)
    assert useful_multiplies(program) == 3 * (4 * 64 * 16 + 4 * 16)


def test_lanes_issue_what_is_useful_when_the_rank_fills_them():
    program = skip_program(REFERENCE, (64,), 16, steps=3)
    useful = useful_multiplies(program) * program.layout.chains / REFERENCE.lanes
    assert relaxation_issues(program) == useful
    assert job_issues(program) > useful  # loading the initial state comes on top


def test_energies_have_the_spectrum_they_promise():
    energy = skip_energy((12, 20), 4)
    values = np.linalg.eigvalsh(energy.matrix())
    assert values[[0, -1]] == pytest.approx([0.04, 0.36])
    assert set(np.round(energy.eigenvalues(), 9)) == {0.04, 0.2, 0.36}


def test_biases_have_the_shape_and_the_size_they_promise():
    biases = random_biases(300, 40)
    assert biases.shape == (40, 300)
    assert biases.std() == pytest.approx(0.02, rel=0.05)

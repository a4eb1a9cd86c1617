# SPDX-License-Identifier: Apache-2.0
"""Benchmarks: what is counted is right; no time is tested."""

import numpy as np
import pytest

from ornstein.boards.baseline import baseline
from ornstein.hdl.config import ICEBREAKER, REFERENCE, ULX3S
from ornstein.host.devices.fabric import job_issues
from ornstein.host.experiments.bench import run as bench


def test_useful_multiplies_of_a_skip_are_4dk():
    program = bench.skip_program(REFERENCE, (64,), 16, steps=3)
    assert bench.useful_multiplies(program) == 3 * 4 * 64 * 16


def test_lanes_issue_what_is_useful_when_the_rank_fills_them():
    program = bench.skip_program(REFERENCE, (64,), 16, steps=3)
    useful = bench.useful_multiplies(program) * program.layout.chains / REFERENCE.lanes
    assert bench.relaxation_issues(program) == useful
    assert job_issues(program) > useful  # loading the initial state comes on top


def test_energies_have_the_spectrum_they_promise():
    energy = bench.skip_energy((12, 20), 4)
    values = np.linalg.eigvalsh(energy.matrix())
    assert values[[0, -1]] == pytest.approx([0.04, 0.36])
    assert set(np.round(energy.eigenvalues(), 9)) == {0.04, 0.2, 0.36}


def test_stable_diffusion_shape_fits_the_large_fabric():
    program = bench.skip_program(ULX3S, bench.SD15_CHANNELS, 16, steps=1)
    assert program.problem.energies[0].units == 7040
    program.check_fits(ULX3S)
    assert bench.block_rams(ULX3S) <= 208


def test_block_rams_are_those_of_the_build():
    assert bench.block_rams(ULX3S) == baseline()["boards"]["ulx3s"]["block_ram"]


def test_small_fabric_takes_few_block_rams():
    assert bench.block_rams(ICEBREAKER) < bench.block_rams(ULX3S)


def test_comparison_is_a_ratio_of_what_both_runs_measured():
    figures = [
        bench.figure("a", 6.0, "s", 3.0, ""),
        bench.figure("b", None, "s", None, ""),
        bench.figure("c", 1.0, "", 1.0, ""),
    ]
    stored = [{"name": "a", "value": 2.0}, {"name": "b", "value": 1.0}]
    assert figures[0].ratio == 2.0 and figures[1].ratio is None
    assert bench.compare(figures, stored) == [("a", 3.0)]

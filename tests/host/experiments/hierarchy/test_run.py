# SPDX-License-Identifier: Apache-2.0
"""Scores by module, averages and relaxation on the integer model."""

import numpy as np
import pytest

from ornstein.hdl.config import TINY
from ornstein.host.compile.program import ProgramError
from ornstein.host.experiments.common import Runner
from ornstein.host.experiments.hierarchy.run import relaxation, run_recipe
from ornstein.host.models.run import compile_recipe, samples_needed


def test_four_modules_on_the_model_score_as_in_float(on_the_model):
    for rows, (cycles, planned) in on_the_model.values():
        assert [row.module for row in rows] == ["d1", "d2"] and cycles is None and planned > 0
        for row in rows:
            assert row.gateware.centred_cosine >= row.float64.centred_cosine - 0.002
            assert 0 < row.error.centred_cosine < 0.01


def test_averages_as_long_as_the_law_asks_cost_what_it_says(levels, aligned_recipe):
    samples = samples_needed(aligned_recipe, levels, 1e-3)
    assert samples_needed(aligned_recipe, levels, 2e-3) == pytest.approx(2 * samples, abs=1)
    with Runner("model:wide") as runner:
        rows, _ = run_recipe(aligned_recipe, levels, runner, kT=1e-3)
    losses = [row.float64.centred_cosine - row.gateware.centred_cosine for row in rows]
    assert rows[0].samples == samples and rows[0].recipe.endswith("kT = 0.001")
    assert (
        0 < min(losses) and 0.0005 < max(losses) < 0.004
    )  # 0.002 is what the worse decoder is to lose


def test_every_module_relaxes_as_theory_says(levels, bilinear_recipe):
    with Runner("model:wide") as runner:
        curves = relaxation(bilinear_recipe, levels, runner)
    for curve in curves:
        near = curve.theory > 0.05
        np.testing.assert_allclose(curve.measured[near], curve.theory[near], rtol=0.05)
        assert curve.measured[-1] < 0.02, curve.module


def test_a_fabric_too_small_is_named(levels, bilinear_recipe):
    with pytest.raises(ProgramError, match=r"needs \w+_depth >= \d+, but fabric 'tiny' has"):
        compile_recipe(bilinear_recipe, levels, TINY)

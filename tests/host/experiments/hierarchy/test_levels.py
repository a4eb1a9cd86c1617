# SPDX-License-Identifier: Apache-2.0
"""Energies of a hierarchy, fits of several pairs at once, and bits on the fabric."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.linalg import block_diag

from ornstein.hdl.config import REFERENCE, WIDE
from ornstein.host.compile.compiler import compile_problem
from ornstein.host.experiments.hierarchy.levels import (
    Levels,
    first_only_aligned,
    linked_aligned,
    separate_aligned,
    unlinked,
)
from ornstein.host.experiments.scores import score
from ornstein.host.models import recipes
from ornstein.host.models.model_file import ModelFileError
from ornstein.host.physics.alignment import align_activations
from ornstein.host.physics.couplings import (
    bilinear_hierarchy,
    chained,
    hierarchical_bilinear,
)
from ornstein.host.physics.interface import sides
from ornstein.host.physics.problem import BIAS, Problem
from ornstein.sim.energy import EnergyError
from ornstein.sim.stages import Stage

SIZES = {"e1": 6, "d1": 5, "e2": 9, "d2": 7}


def activations(n=400, seed=0):
    """Two pairs: d1 follows from two modes of e1 and, off those, from d2; d2 from two
    modes of e2.
    """
    rng = np.random.default_rng(seed)
    e1, e2 = rng.normal(size=(n, 6)), rng.normal(size=(n, 9))
    d2 = e2 @ rng.normal(size=(9, 2)) @ rng.normal(size=(2, 7)) + 1
    d1 = (
        e1 @ rng.normal(size=(6, 2)) @ rng.normal(size=(2, 5))
        + 0.3 * d2 @ rng.normal(size=(7, 5))
        - 2
    )
    return {"e1": e1, "d1": d1, "e2": e2, "d2": d2}


def weights(seed=0):
    rng = np.random.default_rng(seed)
    return {name: 0.2 * rng.normal(size=(size, 4, 3, 3)) for name, size in SIZES.items()}


def by_module(recipe, levels):
    """Scores of d1 and d2 in closed form."""
    answer = recipe.predict(levels.x_test, levels.y_test)
    parts = {"d1": slice(0, 64), "d2": slice(64, 192)}
    return {
        name: score(answer[:, part], levels.y_test[:, part], levels.y_train[:, part].mean(axis=0))
        for name, part in parts.items()
    }


def test_without_links_a_hierarchy_is_its_pairs_side_by_side():
    w, pairs = weights(), [("e1", "d1"), ("e2", "d2")]
    apart = [hierarchical_bilinear(w[e], w[d], 3).matrix() for e, d in pairs]
    np.testing.assert_allclose(
        bilinear_hierarchy(w, 3, link=0).matrix(), block_diag(*apart), atol=1e-15
    )


def test_apart_the_levels_are_those_fitted_alone(levels):
    recipe = separate_aligned(levels)
    alone = [recipes.ours_aligned(pair) for pair in levels.pairs]
    np.testing.assert_allclose(
        recipe.energy.matrix(), block_diag(*(one.energy.matrix() for one in alone)), atol=1e-15
    )
    expected = [one.predict(pair.x_test) for one, pair in zip(alone, levels.pairs, strict=True)]
    np.testing.assert_allclose(recipe.predict(levels.x_test), np.hstack(expected), atol=1e-12)


def test_bilinear_hierarchy_shares_one_factor_of_every_module():
    energy = bilinear_hierarchy(weights(), 3, link=0.5)
    (coupling,) = energy.couplings
    matrix, slices = energy.matrix(), energy.slices
    assert coupling.modules == tuple(SIZES)
    assert np.linalg.norm(matrix[slices["e2"], slices["d2"]]) == pytest.approx(0.25)
    assert np.linalg.norm(matrix[slices["d1"], slices["d2"]]) == pytest.approx(0.125)
    assert (
        not matrix[slices["e1"], slices["d2"]].any()
        and not matrix[slices["e1"], slices["e2"]].any()
    )


def test_links_too_strong_for_the_leak_are_refused_by_eigenvalue():
    factors = {name: 0.1 * np.eye(size)[:, :1] for name, size in SIZES.items()}
    with pytest.raises(EnergyError, match="smallest eigenvalue is -"):
        chained(factors, link=1.0)


def test_modules_come_in_pairs():
    energy = bilinear_hierarchy(weights(), 3)
    assert sides(energy) == (["e1", "e2"], ["d1", "d2"])
    with pytest.raises(
        EnergyError, match="pairs of two modules, encoder then decoder, not 3 modules"
    ):
        sides(replace(energy, modules=energy.modules[:3]))


def test_full_interface_of_every_module_scores_on_both_decoders(levels, bilinear_recipe):
    assert [layer.target for layer in bilinear_recipe.interface.layers] == ["e1", "e2", "d1", "d2"]
    assert bilinear_recipe.weights == 4 * (192 + 64) + 4 * (192 + 128) + 16 * (192 + 64) + 16 * (
        192 + 128
    )
    for scores in by_module(bilinear_recipe, levels).values():
        assert scores.centred_cosine >= 0.99 and scores.r2 >= 0.99 and scores.top1 == 1
    for scores in by_module(bilinear_recipe.without_couplings(), levels).values():
        assert scores.centred_cosine < 0.6 and scores.r2 < 0


def test_aligned_hierarchy_scores_on_both_decoders(levels, aligned_recipe):
    assert aligned_recipe.weights == 0
    found, apart = (
        by_module(recipe, levels) for recipe in (aligned_recipe, separate_aligned(levels))
    )
    assert found["d1"].centred_cosine >= 0.997 and found["d2"].centred_cosine >= 0.995
    # what crosses the levels halves the error of d1, which a single skip leaves
    assert 1 - found["d1"].r2 < 0.5 * (1 - apart["d1"].r2)
    for scores in by_module(aligned_recipe.without_couplings(), levels).values():
        assert abs(scores.centred_cosine) < 1e-9 and abs(scores.r2) < 1e-9


def test_e1_alone_tells_less_of_both_decoders(levels, aligned_recipe):
    first = first_only_aligned(levels)
    assert [module.name for module in first.energy.modules] == ["e1", "d1", "e2", "d2"]
    both, alone = by_module(aligned_recipe, levels), by_module(first, levels.first_only())
    for name in both:
        assert alone[name].r2 < both[name].r2


def test_exact_oracle_of_four_modules_is_exact(levels):
    oracle = recipes.exact_oracle(levels, levels.bilinear())
    for scores in by_module(oracle, levels).values():
        assert scores.centred_cosine == pytest.approx(1) and scores.r2 == pytest.approx(1)


def test_zeroing_the_link_leaves_the_skips(aligned_recipe, bilinear_recipe):
    for recipe in (aligned_recipe, bilinear_recipe):
        before, after = recipe.energy.matrix(), unlinked(recipe).energy.matrix()
        low, high = slice(0, 128), slice(128, 384)
        assert before[low, high].any() and not after[low, high].any()
        np.testing.assert_array_equal(after[low, low], before[low, low])
        np.testing.assert_array_equal(after[high, high], before[high, high])


@pytest.mark.parametrize(("build", "fabric"), [("aligned", REFERENCE), ("bilinear", WIDE)])
def test_gateware_equals_model_with_modules_of_different_sizes_and_a_link(device, build, fabric):
    if build == "aligned":
        z = activations()
        x, y = (np.hstack([z[f"{side}{level}"] for level in (1, 2)]) for side in "ed")
        encoders, decoders = ({name: SIZES[name] for name in SIZES if name[0] == s} for s in "ed")
        energy = align_activations(x, y, encoders, decoders, 2).energy
    else:
        energy = bilinear_hierarchy(weights(), 3)
    problem = Problem(
        build,
        (energy,),
        (Stage(12, 0.01), Stage(8, 0.01, accumulate=True, thin=2)),
        dt=1.0,
        entry=BIAS,
    )
    inputs = np.random.default_rng(0).normal(scale=0.1, size=(5, energy.units))
    program = compile_problem(problem, fabric, inputs)
    answers = []
    for uri in (f"rtl:{fabric.name}", f"model:{fabric.name}"):
        opened = device(uri)
        opened.load(program)
        answers.append(opened.run(inputs, seed=3))
    for name in ("sums", "squares", "samples"):
        np.testing.assert_array_equal(getattr(answers[0], name), getattr(answers[1], name))
    assert answers[0].sums[:, energy.slices["d1"]].any()


def test_levels_are_skips_of_the_same_inputs(levels):
    first, second = levels.pairs
    with pytest.raises(ModelFileError, match="two skips or more"):
        Levels.of([first])
    short = replace(second, x_train=second.x_train[:9], y_train=second.y_train[:9])
    with pytest.raises(
        ModelFileError, match=r"x_train of different numbers of inputs, \[9, 1733\]"
    ):
        Levels.of([first, short])


def test_three_levels_make_six_modules(levels):
    first, second = levels.pairs
    three = Levels.of([first, second, first])
    recipe = first_only_aligned(three)
    assert [module.name for module in recipe.energy.modules] == ["e1", "d1", "e2", "d2", "e3", "d3"]
    coupled = {name for coupling in recipe.energy.couplings for name in coupling.modules}
    assert coupled == {"e1", "d1", "d2", "d3"}
    answers = linked_aligned(three).predict(three.x_test)
    np.testing.assert_allclose(answers[:, :64], answers[:, 192:], rtol=1e-6)

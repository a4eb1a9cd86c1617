# SPDX-License-Identifier: Apache-2.0
"""The hierarchy: energies, fits of several pairs at once, scores by module, bits, and the large
shape on its fabric.
"""

from dataclasses import replace

import numpy as np
import pytest
from scipy.linalg import block_diag

from ornstein.hdl.config import REFERENCE, TINY, ULX3S, WIDE
from ornstein.host.compile.compiler import compile_problem
from ornstein.host.compile.program import ProgramError
from ornstein.host.experiments.bench.large import SD15_CHANNELS, block_rams
from ornstein.host.experiments.common import Runner, documents
from ornstein.host.experiments.hierarchy.large import (
    LEADING,
    MEASURED_LEADING,
    MEASURED_SPECTRUM,
    SPECTRUM,
    large_program,
    run_large,
    scheduled_cycles,
    synthetic_energy,
)
from ornstein.host.experiments.hierarchy.levels import Levels, unlinked
from ornstein.host.experiments.hierarchy.report import conclusions, write_hierarchy_page
from ornstein.host.experiments.hierarchy.run import Hierarchy, relaxation, run_recipe
from ornstein.host.experiments.scores import score
from ornstein.host.models import recipes
from ornstein.host.models.run import compile_recipe, samples_needed
from ornstein.host.physics.couplings import (
    aligned,
    aligned_hierarchy,
    bilinear_hierarchy,
    chained,
    gram,
    hierarchical_bilinear,
)
from ornstein.host.physics.interface import fit_encoder, sides
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


@pytest.fixture(scope="module")
def levels():
    return Levels.load()


@pytest.fixture(scope="module")
def aligned_recipe(levels):
    return recipes.ours_aligned(levels, levels.aligned())


@pytest.fixture(scope="module")
def bilinear_recipe(levels):
    return recipes.ours_full(levels, levels.bilinear())


def by_module(recipe, levels):
    """Scores of d1 and d2 in closed form."""
    answer = recipe.predict(levels.x_test, levels.y_test)
    parts = {"d1": slice(0, 64), "d2": slice(64, 192)}
    return {
        name: score(answer[:, part], levels.y_test[:, part], levels.y_train[:, part].mean(axis=0))
        for name, part in parts.items()
    }


# ---- energies ------------------------------------------------------------------------------------


def test_without_links_a_hierarchy_is_its_pairs_side_by_side():
    z, w = activations(), weights()
    pairs = [("e1", "d1"), ("e2", "d2")]
    apart = [aligned(z[e], z[d], 2).matrix() for e, d in pairs]
    np.testing.assert_array_equal(
        aligned_hierarchy(z, 2, linked=False).matrix(), block_diag(*apart)
    )
    apart = [hierarchical_bilinear(w[e], w[d], 3).matrix() for e, d in pairs]
    np.testing.assert_allclose(
        bilinear_hierarchy(w, 3, link=0).matrix(), block_diag(*apart), atol=1e-15
    )


def test_aligned_links_leave_the_spectrum_as_it_was():
    energy = aligned_hierarchy(activations(), 2)
    skip, chain = energy.couplings
    assert skip.modules == ("e1", "d1") and chain.modules == ("e2", "d2", "d1")
    np.testing.assert_allclose(
        np.linalg.eigvalsh(energy.matrix()), np.repeat([0.04, 0.2, 0.36], [4, 19, 4]), atol=1e-9
    )
    assert energy.matrix()[energy.slices["d1"], energy.slices["d2"]].any()


def test_aligned_link_carries_what_the_skip_leaves_over():
    z = activations()
    energy = aligned_hierarchy(z, 2)
    skip, chain = energy.couplings
    standard = {
        name: (values - values.mean(axis=0)) / values.std(axis=0) for name, values in z.items()
    }
    rest = standard["d1"] - standard["d1"] @ skip.factors[1] @ skip.factors[1].T
    across = -chain.block(1, 2) / (2 * energy.j2)
    fit, *_ = np.linalg.lstsq(standard["d2"] @ chain.factors[1], rest, rcond=None)
    np.testing.assert_allclose(
        standard["d2"] @ across, standard["d2"] @ chain.factors[1] @ fit, atol=1e-9
    )


def test_a_link_as_strong_as_the_gain_is_refused():
    z = activations()
    with pytest.raises(
        EnergyError, match=r"link d2-d1 has strength 0\.\d+, not below gain = 0\.01"
    ):
        aligned_hierarchy(z, 2, gain=0.01)


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


# ---- fits ----------------------------------------------------------------------------------------


def test_modules_come_in_pairs():
    energy = aligned_hierarchy(activations(), 2)
    assert sides(energy) == (["e1", "e2"], ["d1", "d2"])
    with pytest.raises(
        EnergyError, match="pairs of two modules, encoder then decoder, not 3 modules"
    ):
        sides(replace(energy, modules=energy.modules[:3]))


def test_one_encoder_fit_drives_every_level_and_reaches_what_only_the_link_can():
    z = activations()
    x, y = (np.hstack([z[f"{side}{level}"] for level in (1, 2)]) for side in "ed")
    scores = {}
    for linked in (True, False):
        energy = aligned_hierarchy(z, 2, linked=linked)
        readout = recipes.Readout(y.std(axis=0), y.mean(axis=0))
        interface = fit_encoder(energy, x, y, readout, encoder_rank=2)
        # as many hidden units as the module has modes, not as many as the whole fit
        assert [layer.project.shape for layer in interface.layers] == [(15, 2), (15, 2)]
        recipe = recipes.Recipe("test", energy, interface, readout, interface.weights, "")
        scores[linked] = score(recipe.predict(x)[:, :5], z["d1"], z["d1"].mean(axis=0)).r2
    assert scores[True] > 0.999 > 0.99 > scores[False]


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
    assert aligned_recipe.weights == 4 * (192 + 64) + 4 * (192 + 128)
    found = by_module(aligned_recipe, levels)
    assert found["d1"].centred_cosine >= 0.985 and found["d2"].centred_cosine >= 0.97
    for scores in by_module(aligned_recipe.without_couplings(), levels).values():
        assert abs(scores.centred_cosine) < 1e-9 and abs(scores.r2) < 1e-9


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


# ---- on the fabric -------------------------------------------------------------------------------


@pytest.mark.parametrize(("build", "fabric"), [("aligned", REFERENCE), ("bilinear", WIDE)])
def test_gateware_equals_model_with_modules_of_different_sizes_and_a_link(device, build, fabric):
    if build == "aligned":
        energy = aligned_hierarchy(activations(), 2)
    else:
        energy = bilinear_hierarchy(weights(), 3)
    problem = Problem(
        build, (energy,), (Stage(12, 0.01), Stage(8, 0.01, accumulate=True, thin=2)), entry=BIAS
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


@pytest.fixture(scope="module")
def on_the_model(levels, aligned_recipe, bilinear_recipe):
    """Rows of both programs on the integer model at kT = 0, by the key of the recipe."""
    with Runner("model:wide") as runner:
        return {
            recipe.key: run_recipe(recipe, levels, runner)
            for recipe in (aligned_recipe, bilinear_recipe)
        }


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


def test_report_and_results_hold_every_module(tmp_path, levels, aligned_recipe, on_the_model):
    (ours, cycles), (full, _) = on_the_model.values()
    renamed = [
        replace(row, recipe=f"{kind}, linked{ending}", variant=variant)
        for kind, rows in (("aligned", ours), ("bilinear", full))
        for variant, ending in (
            ("", ""),
            (recipes.UNLINKED, ", link zeroed"),
            (recipes.ZEROED, ", couplings zeroed"),
        )
        for row in rows
    ]
    with Runner("model:wide") as runner:
        curves = relaxation(aligned_recipe, levels, runner)
    result = Hierarchy(
        "model:wide",
        WIDE,
        renamed,
        curves,
        {"aligned, linked": cycles},
        links=(0.1,),
        gain=(1e-4, 2e-4),
        large=run_large(sizes=(40, 80)),
    )
    page = write_hierarchy_page(result, tmp_path)
    assert (
        "centred cosine of" in page.read_text()
        and (tmp_path / "figures" / "hierarchy_relaxation.png").is_file()
    )
    text = " ".join(conclusions(result))
    for rows in (ours, full):
        for row in rows:
            assert f"{row.gateware.centred_cosine:.4f}" in text
    assert "strengths 0.1 of the leak" in text and "worth +1.0e-04" in text and "2.0e-04" in text
    assert "in every bit" not in text  # no gateware has run
    found = {(entry["row"], entry["quantity"]): entry for entry in documents(result.experiments())}
    for row in ours:
        entry = found["aligned, linked", f"{row.module} centred cosine"]
        assert (entry["gateware"], entry["paper"]) == (row.gateware.centred_cosine, None)
    assert found["model:ulx3s", "e2 relative error"]["gateware"] == result.large.error["e2"]


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


# ---- the large shape -----------------------------------------------------------------------------


def test_stable_diffusion_shape_fits_the_ulx3s():
    energy = synthetic_energy()
    assert [module.units for module in energy.modules[::2]] == list(SD15_CHANNELS)
    assert energy.units == 7040 and energy.couplings[0].rank == 16
    assert energy.eigenvalues()[0] > 0.03
    program = large_program(energy)
    program.check_fits(ULX3S)
    assert block_rams(ULX3S) <= 208
    assert scheduled_cycles(program) <= 1.1 * 4 * sum(SD15_CHANNELS) * 16 / 128


def test_a_large_hierarchy_relaxes_to_its_closed_form():
    large = run_large(sizes=(40, 80, 160), inputs=2)
    assert large.saturations == 0
    assert max(large.error.values()) < 0.01 < 0.1 < min(large.uncoupled.values())
    assert set(large.words) == {"factor", "state", "drive", "descriptor"}
    assert all(used <= there for used, there in large.words.values())


def test_the_spectrum_quoted_beside_the_synthetic_one_is_that_of_the_model(levels):
    leading, powers = {"e": [], "d": []}, []
    for name, weight in levels.by_module("W_enc", "W_dec").items():
        values = np.sort(np.linalg.eigvalsh(gram(weight)))[::-1]
        half = len(values) // 2
        ranks = np.arange(1, half + 1)
        powers.append(np.polyfit(np.log(ranks), np.log(values[:half]), 1)[0])
        leading[name[0]].append(values[0])
    assert (max(powers), min(powers)) == pytest.approx(MEASURED_SPECTRUM, abs=0.005)
    for side, quoted in MEASURED_LEADING.items():
        assert sorted(leading[side]) == pytest.approx(quoted, abs=0.0005)
        assert min(leading[side]) * 0.9 < LEADING[side] < max(leading[side])
    assert min(powers) < SPECTRUM < max(powers)


def test_the_large_numbers_are_those_of_its_energy_and_program():
    large = run_large(sizes=(40, 80), inputs=2)
    other = run_large(sizes=(60, 100), inputs=2)
    energy = synthetic_energy((40, 80))
    values = energy.eigenvalues()
    assert large.units == energy.units == 240
    assert large.eigenvalues == pytest.approx((values[0], values[-1]))
    assert large.cycles == scheduled_cycles(large_program(energy))
    assert large.bound == pytest.approx(4 * 120 * 16 / 128)
    for name in ("cycles", "bound", "eigenvalues", "error", "coefficients", "uncoupled", "words"):
        assert getattr(large, name) != getattr(other, name), name
    for module, error in large.error.items():
        assert 0 < large.coefficients[module] < error < 0.01 < large.uncoupled[module]

# SPDX-License-Identifier: Apache-2.0
"""Wiring: couplings vary and connections are lost as often as they should be."""

import numpy as np
import pytest

from helpers.study_rows import falling_scores
from ornstein.host.experiments.studies import wiring
from ornstein.host.experiments.studies.subject import ALIGNED, FULL, PROGRAMS


@pytest.mark.parametrize("program", PROGRAMS)
def test_no_mismatch_and_no_lost_connection_are_the_baseline_exactly(
    subject, baseline, program, generators
):
    recipe = subject.recipes[program]
    rng = np.random.default_rng(0)
    for energy in (
        wiring.varied(recipe.energy, 0.0, rng),
        wiring.broken(recipe.energy, 0.0, True, rng),
    ):
        assert np.array_equal(energy.matrix(), recipe.energy.matrix())
    assert (
        wiring.measure(subject, generators(1), program=program, axis=wiring.MISMATCH, value=0.0)[
            "centred"
        ]
        == baseline[program]
    )


def test_variation_is_of_each_connection_and_keeps_m_symmetric(subject):
    energy = subject.recipes[ALIGNED].energy
    changed = wiring.varied(energy, 0.05, np.random.default_rng(0))
    ratios = np.concatenate(
        [
            (after / before - 1).ravel()
            for after, before in zip(
                changed.couplings[0].factors, energy.couplings[0].factors, strict=True
            )
        ]
    )
    assert ratios.std() == pytest.approx(0.05, rel=4 / np.sqrt(2 * ratios.size))
    assert changed.matrix() == pytest.approx(changed.matrix().T, abs=1e-15)


def test_dead_connections_are_zero_and_stuck_ones_at_full_scale(subject):
    energy = subject.recipes[FULL].energy
    before = energy.couplings[0].factors[0]
    dead, stuck = (
        wiring.broken(energy, 0.1, stuck, np.random.default_rng(0)).couplings[0].factors[0]
        for stuck in (False, True)
    )
    lost = dead != before
    assert (
        lost.mean() == pytest.approx(0.1, abs=4 * np.sqrt(0.09 / lost.size))
        and not dead[lost].any()
    )
    assert np.array_equal(
        np.abs(stuck)[lost], np.broadcast_to(np.abs(before).max(axis=0), before.shape)[lost]
    )


def test_without_any_connection_nothing_is_left_of_the_aligned_answer(subject, generators):
    row = wiring.measure(subject, generators(1), program=ALIGNED, axis=wiring.DEAD, value=1.0)
    assert row["centred"] == 0.0


def test_a_refitted_interface_makes_up_for_mismatch(subject, baseline, generators):
    plain, refitted = (
        wiring.measure(subject, generators(2), program=FULL, axis=axis, value=0.1)["centred"]
        for axis in (wiring.MISMATCH, wiring.REFITTED)
    )
    assert plain < baseline[FULL] - 0.02
    assert refitted == pytest.approx(baseline[FULL], abs=1e-3)


def test_a_substrate_without_an_equilibrium_scores_nothing_and_is_counted(subject, generators):
    row = wiring.measure(subject, generators(2), program=ALIGNED, axis=wiring.STUCK, value=0.5)
    assert row["unstable"] == 2 and row["scores"] == [0.0, 0.0]


def test_the_answers_give_the_thresholds_and_the_lost_substrates():
    rows = falling_scores(wiring.MISMATCH_AXES, (0.02, 0.05), unstable=0)
    said = wiring.conclude_mismatch(rows)
    assert "variation of 0.25 % (full" in said and "came out, at 0.63 % (full" in said
    rows = falling_scores(wiring.YIELD_AXES, (0.01, 0.001), unstable=2)
    said = wiring.conclude_yield(rows)
    assert "when 0.13 % (full" in said and "or 0.013 % (full" in said
    assert f"{2 * len(rows)} of {len(rows)} drawn substrates" in said


def test_every_draw_is_a_substrate_of_its_own(subject, generators):
    row = wiring.measure(subject, generators(3), program=FULL, axis=wiring.DEAD, value=0.01)
    assert len(set(row["scores"])) == 3 and row["unstable"] == 0 and row["draws"] == 3

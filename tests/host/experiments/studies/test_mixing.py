# SPDX-License-Identifier: Apache-2.0
"""Mixing: autocorrelation times are those of theory where there is one."""

import numpy as np
import pytest
from scipy.signal import lfilter

from helpers.study_rows import falling_scores
from ornstein.host.experiments.studies import mixing
from ornstein.host.experiments.studies.subject import ALIGNED, FULL
from ornstein.sim.energy import Coupling, Energy, Module


def test_factored_forces_and_modes_are_those_of_the_matrix(subject):
    for energy in (
        subject.recipes[FULL].energy,
        mixing.synthetic(subject, ALIGNED, 64, 4, np.random.default_rng(0)),
    ):
        states = np.random.default_rng(1).standard_normal((3, energy.units))
        assert mixing.harmonic_force(energy, states) == pytest.approx(states @ energy.matrix())
        values, vectors = mixing.coupled_modes(energy)
        assert energy.matrix() @ vectors == pytest.approx(vectors * values, abs=1e-10)


def test_synthetic_couplings_have_the_spectrum_asked_for(subject):
    energy = mixing.synthetic(subject, ALIGNED, 64, 4, np.random.default_rng(0), gain=0.5)
    assert energy.eigenvalues()[[0, -1]] == pytest.approx([0.1, 0.3])
    energy = mixing.synthetic(subject, FULL, 128, 16, np.random.default_rng(0))
    skip = energy.matrix()[:64, 64:]
    assert np.linalg.norm(skip) == pytest.approx(0.25)
    assert energy.eigenvalues()[0] == pytest.approx(
        subject.recipes[FULL].energy.eigenvalues()[0], rel=0.1
    )


def test_the_mixing_time_of_a_harmonic_chain_is_twice_its_relaxation_time(subject, generators):
    """lambda_min = 0.1, so 20; the window's bias is -2.5 %, the error of two draws 4 %."""
    row = mixing.measure(subject, generators(4), program=ALIGNED, axis=mixing.GAP, value=0.1)
    assert row["theory"] == pytest.approx(20)
    assert row["autocorrelation_time_error"] == pytest.approx(20 * 0.056 / 2, rel=0.1)
    assert row["autocorrelation_time"] == pytest.approx(20 * 0.975, abs=4 * 20 * 0.056 / 2)
    assert row["effective_samples"] == pytest.approx(
        row["steps"] * row["chains"] / row["autocorrelation_time"], rel=0.01
    )


def test_the_error_of_a_mixing_time_is_the_spread_of_repetitions():
    """First-order chains with a = 0.9, so a time of 19: the spread of 100 repetitions is known to 7
    %.
    """
    drawn = np.random.default_rng(0).standard_normal((7600, 4, 100))
    chains = lfilter([1], [1, -0.9], drawn, axis=0)
    found = [mixing.autocorrelation_time(chains[..., one : one + 1]) for one in range(100)]
    assert np.std(found) == pytest.approx(mixing.time_error(19, 4 * 7600 / 19), rel=0.3)


def test_the_mean_field_of_a_single_mode_is_self_consistent():
    energy = Energy(
        (Module("a", 4),), (Coupling(("a",), (np.eye(4),), np.full((1, 1, 4), 0.1)),), j4=0.05
    )
    found = mixing.mean_field(energy, np.full(4, 0.3))
    assert found == pytest.approx(0.3 + 12 * 0.05 / found)


def test_a_quartic_term_mixes_faster(subject, generators):
    row = mixing.measure(subject, generators(1), program=ALIGNED, axis=mixing.QUARTIC, value=0.3)
    assert 0.5 < row["autocorrelation_time"] < 2.0 < 50


def test_every_axis_changes_what_it_names(subject, generators, monkeypatch):
    """Short chains: what is asked for is seen in the rows, whatever the times are."""
    asked = []

    def chain(energy, directions, *, steps, chains, dt, rng):
        asked.append((energy, directions.shape, chains, dt))
        return rng.standard_normal((steps, chains, directions.shape[1]))

    monkeypatch.setattr(mixing, "chain", chain)
    monkeypatch.setattr(mixing, "LENGTH", 100)
    values = {
        mixing.DIMENSION: 64,
        mixing.RANK: 2,
        mixing.GAP: 0.05,
        mixing.QUARTIC: 0.1,
    }
    rows = {
        axis: mixing.measure(subject, generators(1), program=ALIGNED, axis=axis, value=value)
        for axis, value in values.items()
    }
    energies = {axis: energy for axis, (energy, *_) in zip(values, asked, strict=True)}
    assert energies[mixing.DIMENSION].units == 64 and energies[mixing.RANK].units == mixing.UNITS
    assert energies[mixing.RANK].couplings[0].rank == 2
    assert energies[mixing.QUARTIC].j4 == 0.1 and energies[mixing.QUARTIC].units == 64
    for axis, row in rows.items():
        values, _ = mixing.coupled_modes(energies[axis])
        slowest = mixing.mean_field(energies[axis], values)
        assert row["theory"] == 2 / slowest and row["smallest_eigenvalue"] == values[0]
        assert row["steps"] == int(100 * 2 / (slowest * row["dt"]))
    assert rows[mixing.GAP]["smallest_eigenvalue"] == pytest.approx(0.05)
    assert [shape[1] for _, shape, *_ in asked] == [mixing.MODES + 4, 2 + 4, 4 + 4, 4 + 4]
    assert [chains for _, _, chains, _ in asked] == [4, 8, 4, 4]
    # white noise is independent from step to step, so that a time is one step
    for axis, row in rows.items():
        assert row["dt"] == (0.2 if axis == mixing.QUARTIC else 1.0)
        assert row["autocorrelation_time"] == pytest.approx(row["dt"], rel=0.2)
        assert row["unit_autocorrelation_time"] == pytest.approx(row["dt"], rel=0.2)


def test_results_of_draws_are_averaged():
    draws = [
        {"tau": tau, "theory": 2.0, "unit": tau / 2, "effective": 100.0, "modes": 2,
         "smallest": 1.0, "steps": 50, "chains": 4}
        for tau in (1.0, 3.0)
    ]  # fmt: skip
    found = mixing._times("float", draws, dt=0.5)
    errors = [mixing.time_error(tau, 200.0) for tau in (1.0, 3.0)]
    assert found["autocorrelation_time"] == 2 and found["unit_autocorrelation_time"] == 1
    assert found["autocorrelation_time_error"] == pytest.approx(np.hypot(*errors) / 2)
    assert (found["times"], found["draws"], found["dt"]) == ([1.0, 3.0], 2, 0.5)
    assert (found["theory"], found["effective_samples"], found["steps"]) == (2, 100, 50)


def test_trained_couplings_mix_as_their_smallest_eigenvalue_says(subject, generators):
    row = mixing.measure(subject, generators(1), program=ALIGNED, axis=mixing.TRAINED, value=0)
    smallest = subject.recipes[ALIGNED].energy.eigenvalues()[0]
    assert row["device"] == "model" and row["smallest_eigenvalue"] == pytest.approx(smallest)
    assert row["theory"] == pytest.approx(2 / smallest)
    error = row["autocorrelation_time_error"]
    assert row["autocorrelation_time"] == pytest.approx(row["theory"], abs=5 * error)
    assert row["unit_autocorrelation_time"] < row["autocorrelation_time"]


def test_a_read_out_that_comes_early_costs_score(subject, baseline, generators):
    scores = [
        mixing.measure(subject, generators(1), program=ALIGNED, axis=mixing.STEPS, value=steps)[
            "centred"
        ]
        for steps in (2, 8, 192)
    ]
    assert scores[0] < scores[1] < scores[2] == pytest.approx(baseline[ALIGNED], abs=1e-3)


def timed(axis, program, value, time, theory):
    return {
        "axis": axis,
        "program": program,
        "value": value,
        "autocorrelation_time": time,
        "theory": theory,
    }


def test_the_answer_gives_the_times_and_the_steps():
    rows = [
        *falling_scores(mixing.AXES[-1:], (24,)),
        timed(mixing.DIMENSION, ALIGNED, 4096, 51.0, 50.0),
        timed(mixing.DIMENSION, ALIGNED, 64, 49.0, 50.0),
        timed(mixing.RANK, FULL, 8, 42.0, 40.0),
        timed(mixing.QUARTIC, ALIGNED, 0.1, 6.0, 4.0),
        timed(mixing.QUARTIC, ALIGNED, 0.3, 2.5, 2.0),
    ]
    said = mixing.conclude(rows)
    assert "does not depend on dimension (49 units of time at 64 units, 51 at 4,096)" in said
    assert "within 5% (rms 3%), J4 = 0.3 brings it down to 2.5 (quartic times are up to 50%" in said
    assert "before step 191 (full interface)" in said
    rows[-5]["autocorrelation_time"] = 80.0
    assert "depends on dimension (49 units of time at 64 units, 80 at 4,096)" in mixing.conclude(
        rows
    )

# SPDX-License-Identifier: Apache-2.0
"""Precision: the law of the quantized chain, and scores at few bits."""

import numpy as np
import pytest

from helpers.study_rows import falling_scores
from ornstein.hdl.config import REFERENCE
from ornstein.host.compile.compiler import compile_problem
from ornstein.host.devices.device import open_device
from ornstein.host.experiments.studies import precision
from ornstein.host.experiments.studies.subject import ALIGNED, FULL, IDEAL
from ornstein.host.models.run import samples_needed
from ornstein.host.physics.problem import BIAS, Problem
from ornstein.sim.energy import Energy, Module
from ornstein.sim.stages import Stage


def test_the_law_of_the_chain_is_exact_without_rounding_and_adds_its_noise_with_it(subject):
    energy = subject.recipes[ALIGNED].energy
    matrix, exact = energy.matrix(), energy.covariance(1.0)
    assert precision.chain_covariance(matrix, kT=1.0, dt=1.0, lsb=0.0) == pytest.approx(
        exact, rel=1e-9, abs=1e-9
    )
    lsb, step = 0.5, np.eye(len(matrix)) - matrix
    added = precision.chain_covariance(matrix, kT=1.0, dt=1.0, lsb=lsb) - exact
    assert added == pytest.approx(
        lsb**2 / 12 * np.linalg.inv(np.eye(len(matrix)) - step @ step), abs=1e-9
    )


def test_the_law_of_the_chain_is_what_the_integer_model_does():
    """What a coarse LSB adds to the variance of free units: the same noise at a fine and a coarse
    LSB, so that the difference has an error far below that of either."""
    energy = Energy((Module("a", 8),))
    problem = Problem(
        "law",
        (energy,),
        (Stage(200, 1.0), Stage(4000, 1.0, accumulate=True)),
        dt=1.0,
        entry=BIAS,
    )
    second, law = [], []
    for spare in (0, 9):
        program = compile_problem(problem, REFERENCE, np.zeros((1, 8)), spare=spare)
        with open_device("model") as device:
            device.load(program)
            second.append(device.run(np.zeros((64, 8)), seed=3).second)
        law.append(
            precision.chain_covariance(
                program.matrices[0], kT=1.0, dt=program.dt, lsb=program.state_lsb
            )[0, 0]
        )
    added = second[1] - second[0]
    error = added.std() / np.sqrt(added.size)
    assert law[1] - law[0] > 4 * error  # what is tested for can be seen
    assert added.mean() == pytest.approx(law[1] - law[0], abs=4 * error)


@pytest.mark.parametrize("axis", (precision.FACTORS, precision.COUPLINGS, precision.ROUNDED))
def test_few_bits_cost_score_and_covariance(subject, axis, generators):
    few, many = (
        precision.measure(subject, generators(1), program=ALIGNED, axis=axis, value=bits)
        for bits in (6, 16)
    )
    assert (
        few["centred"] < many["centred"] and few["covariance_error"] > 10 * many["covariance_error"]
    )
    assert few["device"] == many["device"] == "model"


def test_a_noise_gain_rounds_the_temperature():
    assert precision.rounded_temperature(1.0, 4) == 1.0
    assert precision.rounded_temperature(1e-6, 8) == 0.0
    assert precision.rounded_temperature(0.5, 12) == pytest.approx(
        0.5, rel=2 * 2.0**-13 / np.sqrt(0.5)
    )


def test_the_noise_gain_is_rounded_at_the_temperature_that_averages_afford(subject, generators):
    recipe = subject.recipes[ALIGNED]
    kT = precision.GAIN_SAMPLES / samples_needed(recipe, subject.model, 1.0)
    few, many = (
        precision.measure(subject, generators(2), program=ALIGNED, axis=precision.GAIN, value=bits)
        for bits in (5, 14)
    )
    for row, bits in ((few, 5), (many, 14)):
        assert row["kT"] == kT
        assert row["realised_kT"] == precision.rounded_temperature(kT, bits)
        assert len(set(row["scores"])) == 2
    assert few["covariance_error"] > 10 * many["covariance_error"] > 0


def test_only_dither_is_drawn(subject, generators):
    nearest, dithered = (
        precision.measure(subject, generators(2), program=ALIGNED, axis=axis, value=9)
        for axis in (precision.ROUNDED, precision.DITHERED)
    )
    assert nearest["draws"] == 1 and dithered["draws"] == 2
    assert len({*nearest["scores"], *dithered["scores"]}) == 3


def test_the_undisturbed_program_is_the_closed_form(subject, generators):
    row = precision.measure(subject, generators(1), program=FULL, axis=IDEAL, value=0)
    expected = subject.score(subject.recipes[FULL].predict(subject.model.x_test))
    assert (row["centred"], row["covariance_error"], row["device"]) == (
        expected,
        0.0,
        "float:exact",
    )


@pytest.mark.parametrize("bits, width", ((8, 8), (14, 14)))
def test_a_fabric_has_factors_of_as_many_bits_as_asked_for(bits, width):
    fabric = precision.fabric_of(bits)
    assert fabric.factor_width == width
    change = bits - REFERENCE.factor_width
    assert fabric.project_shifts[0] == REFERENCE.project_shifts[0] + change


def test_the_answer_gives_the_bits_of_each_axis_and_of_the_noise_gain():
    rows = falling_scores(precision.AXES, (11, 9, 8, 7, 5), covariance_error=0.05)
    for row in rows:
        if row["axis"] == precision.GAIN and row["value"] == 6:
            row["covariance_error"] = 0.005
    said = precision.conclude(rows)
    for text in ("fall to 11.9 bits (full", "alone to 9.9 bits (full", "state to 8.9 bits (full"):
        assert text in said
    assert "nearest, 7.9 bits (full" in said and "more than 1 % below 6 bits" in said
    assert "the noise gain costs 1 % of the score at 5.9 bits (full interface)" in said
    for row in rows:
        if row["axis"] == precision.GAIN:
            row["scores"], row["centred"] = [1.0], 1.0
    said = precision.conclude(rows)
    assert (
        "the noise gain costs less than 1 % of the score at any number of bits tried, but" in said
    )

# SPDX-License-Identifier: Apache-2.0
"""Studies: exact where nothing is disturbed, theory where there is one, a small run of each."""

import csv
import html
import json
from dataclasses import replace

import numpy as np
import pytest
from scipy.signal import lfilter
from threadpoolctl import threadpool_limits
from typer.testing import CliRunner

from ornstein.hdl.config import REFERENCE
from ornstein.host.cli.app import app
from ornstein.host.compile.compiler import compile_problem
from ornstein.host.devices.device import open_device
from ornstein.host.experiments.studies import (
    converters,
    mixing,
    noise,
    precision,
    temperature,
    wiring,
)
from ornstein.host.experiments.studies.analysis import Axis, thresholds
from ornstein.host.experiments.studies.catalogue import STUDIES, run_study
from ornstein.host.experiments.studies.report import write_report
from ornstein.host.experiments.studies.subject import (
    ALIGNED,
    FULL,
    IDEAL,
    PROGRAMS,
    TITLES,
    Subject,
    summary,
)
from ornstein.host.models.model_file import TrainedModel
from ornstein.host.models.run import compile_recipe
from ornstein.host.physics.problem import BIAS, Problem
from ornstein.sim.energy import Coupling, Energy, Module
from ornstein.sim.stages import Stage


@pytest.fixture(scope="module")
def subject():
    return Subject.fit(TrainedModel.load())


@pytest.fixture(scope="module")
def baseline(subject):
    """Score of each program as the demo compiles and runs it, on the integer model."""
    scores = {}
    for name, recipe in subject.recipes.items():
        program = compile_recipe(recipe, subject.model, REFERENCE)
        with open_device("model") as device:
            device.load(program)
            scores[name] = subject.score(
                program.problem.decode(device.run(subject.model.x_test, seed=1).mean)
            )
    return scores


def generators(count, seed=0):
    return [np.random.default_rng([seed, number]) for number in range(count)]


# ---- what is studied, and where it loses one per cent --------------------------------------------


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_undisturbed_program_is_the_demo_s(subject, baseline, program):
    for measure in (wiring.measure, temperature.measure, mixing.measure):
        row = measure(subject, generators(2), program=program, axis=IDEAL, value=0.0)
        assert row["centred"] == baseline[program] and row["error"] is None


def test_the_fingerprint_does_not_depend_on_the_number_of_threads(subject):
    with threadpool_limits(2):
        assert Subject.fit(subject.model).fingerprint == subject.fingerprint


def points(axis, program, *scores, values):
    return [
        {"program": program, "axis": axis, "value": value, **summary("model", list(drawn))}
        for value, drawn in zip(values, scores, strict=True)
    ]


def test_the_threshold_is_interpolated_between_the_points_around_it():
    axis = Axis("bits", "bits", falling=True, linear=True)
    rows = points(IDEAL, FULL, [1.0], values=[0]) + points(
        "bits", FULL, [0.9], [0.995], [0.98], values=[4, 8, 6]
    )
    (found,) = thresholds(rows, (axis,))
    assert found.value == pytest.approx(8 - 2 * (0.01 - 0.005) / 0.015) and found.low is None
    assert found.text(lambda value: f"{value:.1f} bits") == "7.3 bits"


def test_thresholds_outside_the_values_tried_say_so():
    axis = Axis("error", "error")
    base = points(IDEAL, FULL, [1.0], values=[0]) + points(IDEAL, ALIGNED, [1.0], values=[0])
    rows = (
        base
        + points("error", FULL, [0.999], [0.995], values=[0.1, 1])
        + points("error", ALIGNED, [0.9], [0.8], values=[0.1, 1])
    )
    never, at_once = thresholds(rows, (axis,))
    assert (never.value, never.text(str)) == (None, "not even 1.0")
    assert (at_once.value, at_once.text(str)) == (0.1, "before 0.1")


def test_the_interval_of_a_threshold_follows_the_spread_of_the_draws():
    axis, values = Axis("error", "error"), (0.01, 0.1, 1.0)
    drawn = np.random.default_rng(0).standard_normal((3, 12))
    widths = []
    for spread in (1e-4, 2e-3):
        scores = np.array([[1.0], [0.995], [0.9]]) + spread * drawn
        rows = points(IDEAL, FULL, [1.0], values=[0]) + points(
            "error", FULL, *scores, values=values
        )
        (found,) = thresholds(rows, (axis,))
        assert found.low < found.value < found.high
        widths.append(np.log(found.high / found.low))
    assert widths[1] == pytest.approx(20 * widths[0], rel=0.3)


# ---- converters ----------------------------------------------------------------------------------


def test_an_ideal_converter_changes_nothing_inside_its_range():
    values = np.array([[0.3, -0.7], [1.5, -2.0]])
    converted = converters.convert(values, np.ones(2), np.random.default_rng(0))
    assert np.array_equal(converted, [[0.3, -0.7], [1.0, -1.0]])


def test_a_converter_rounds_to_its_levels_and_saturates():
    values = np.linspace(-1.5, 1.5, 301)[:, None]
    converted = converters.convert(values, np.array([1.0]), np.random.default_rng(0), bits=4)
    assert np.array_equal(np.unique(converted), np.arange(-8, 8) / 8)
    inside = np.abs(values) < 0.9
    assert np.abs(converted - values)[inside].max() <= 1 / 16 + 1e-12


def test_offset_and_gain_errors_are_static_and_a_unit_s_own():
    values, scale = np.random.default_rng(1).uniform(-0.5, 0.5, (50, 400)), np.ones(400)
    offset = converters.convert(values, scale, np.random.default_rng(2), offset=0.01) - values
    gain = converters.convert(values, scale, np.random.default_rng(2), gain=0.01) / values - 1
    for error in (offset, gain):
        assert np.allclose(error, error[0])
        assert error[0].std() == pytest.approx(
            0.01, rel=0.15
        )  # 4 standard errors of 400 normal draws


def test_a_range_of_zero_is_a_unit_without_a_converter():
    converted = converters.convert(
        np.zeros((3, 1)), np.zeros(1), np.random.default_rng(0), bits=8, offset=0.1
    )
    assert np.array_equal(converted, np.zeros((3, 1)))


@pytest.mark.parametrize("program", (FULL, ALIGNED))
def test_sixteen_bits_leave_the_score_and_four_do_not(subject, program):
    ideal = converters.measure(subject, generators(1), program=program, axis=IDEAL, value=0.0)[
        "centred"
    ]
    for converter in ("DAC", "ADC"):
        fine, coarse = (
            converters.measure(
                subject, generators(1), program=program, axis=f"{converter} bits", value=bits
            )["centred"]
            for bits in (16, 4)
        )
        assert fine == pytest.approx(ideal, abs=1e-4)
        assert coarse < fine


# ---- wiring --------------------------------------------------------------------------------------


@pytest.mark.parametrize("program", PROGRAMS)
def test_no_mismatch_and_no_lost_connection_are_the_baseline_exactly(subject, baseline, program):
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


def test_without_any_connection_nothing_is_left_of_the_aligned_answer(subject):
    row = wiring.measure(subject, generators(1), program=ALIGNED, axis=wiring.DEAD, value=1.0)
    assert row["centred"] == 0.0


def test_a_refitted_interface_makes_up_for_mismatch(subject, baseline):
    plain, refitted = (
        wiring.measure(subject, generators(2), program=FULL, axis=axis, value=0.1)["centred"]
        for axis in (wiring.MISMATCH, wiring.REFITTED)
    )
    assert plain < baseline[FULL] - 0.02
    assert refitted == pytest.approx(baseline[FULL], abs=1e-3)


def test_a_substrate_without_an_equilibrium_scores_nothing_and_is_counted(subject):
    row = wiring.measure(subject, generators(2), program=ALIGNED, axis=wiring.STUCK, value=0.5)
    assert row["unstable"] == 2 and row["scores"] == [0.0, 0.0]


# ---- noise ---------------------------------------------------------------------------------------


def drawn(source, steps, shape=(200, 4)):
    return np.stack([source.standard_normal(shape) for _ in range(steps)])


def test_ideal_noise_is_white_and_leaves_the_covariance(subject):
    source = noise.Imperfect(np.random.default_rng(0), np.ones(128))
    assert noise.covariance_error(subject.recipes[ALIGNED].energy, source) < 1e-12
    values = drawn(noise.Imperfect(np.random.default_rng(0), np.ones(4)), 50)
    assert np.mean(values**2) == pytest.approx(1, abs=4 * np.sqrt(2 / values.size))
    assert abs(np.mean(values[1:] * values[:-1])) < 4 / np.sqrt(values.size)


def test_common_noise_has_the_correlation_asked_for():
    values = drawn(
        noise.Imperfect(np.random.default_rng(0), np.ones(4), correlation=0.6), 50
    ).reshape(-1, 4)
    assert np.cov(values.T) == pytest.approx(np.full((4, 4), 0.6) + 0.4 * np.eye(4), abs=0.05)


def test_flicker_noise_has_the_density_asked_for():
    corner, steps = 0.02, 4096
    values = drawn(
        noise.Imperfect(np.random.default_rng(0), np.ones(8), corner=corner), steps, (64, 8)
    )
    density = np.mean(np.abs(np.fft.rfft(values, axis=0)) ** 2, axis=(1, 2)) / steps
    frequency = np.fft.rfftfreq(steps)
    band = (frequency > 1e-3) & (frequency < 1e-2)
    # four to a decade of times make a ripple of a few per cent, on top of 512 periodograms' 4 %
    assert density[band].mean() == pytest.approx(np.mean(1 + corner / frequency[band]), rel=0.08)


def test_unequal_temperatures_give_the_covariance_of_lyapunov_s_equation():
    energy = Energy(
        (Module("a", 2),), (Coupling(("a",), (np.array([[1.0], [1.0]]),), np.full((1, 1, 1), 0.1)),)
    )
    source = noise.Imperfect(np.random.default_rng(0), np.array([0.5, 1.5]))
    matrix, exact = energy.matrix(), energy.covariance(1.0)
    # for 2 x 2: C = T^-1 solves by hand on the symmetric and antisymmetric modes
    modes = np.array([[1, 1], [1, -1]]) / np.sqrt(2)
    values = np.diag(modes @ matrix @ modes)
    forced = modes @ (2 * np.diag([0.5, 1.5])) @ modes
    found = modes @ (forced / (values[:, None] + values)) @ modes
    assert noise.covariance_error(energy, source) == pytest.approx(
        np.linalg.norm(found - exact) / np.linalg.norm(exact)
    )


def test_slow_noise_costs_what_white_noise_does_not(subject, monkeypatch):
    monkeypatch.setattr(noise, "SAMPLES", 64)
    white, slow = (
        noise.measure(subject, generators(1), program=ALIGNED, axis=axis, value=value)
        for axis, value in ((IDEAL, 0.0), (noise.FLICKER, 0.1))
    )
    ideal = subject.score(subject.recipes[ALIGNED].predict(subject.model.x_test))
    assert ideal - white["centred"] < 0.01 < ideal - slow["centred"]
    assert (white["device"], white["samples"]) == ("float", 64)


# ---- precision -----------------------------------------------------------------------------------


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
        "law", (energy,), (Stage(200, 1.0), Stage(4000, 1.0, accumulate=True)), entry=BIAS
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
def test_few_bits_cost_score_and_covariance(subject, axis):
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


# ---- mixing --------------------------------------------------------------------------------------


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


def test_the_mixing_time_of_a_harmonic_chain_is_twice_its_relaxation_time(subject):
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


def test_a_quartic_term_mixes_faster(subject):
    row = mixing.measure(subject, generators(1), program=ALIGNED, axis=mixing.QUARTIC, value=0.3)
    assert 0.5 < row["autocorrelation_time"] < 2.0 < 50


# ---- temperature ---------------------------------------------------------------------------------


@pytest.mark.parametrize("program, kT", ((FULL, 1e-5), (ALIGNED, 1e-2)))
def test_the_score_of_a_warm_program_is_that_of_the_law(subject, program, kT):
    row = temperature.measure(subject, generators(3), program=program, axis="16 samples", value=kT)
    cold = subject.relaxed(subject.recipes[program])
    assert cold - row["expected"] > 0.01
    assert row["centred"] == pytest.approx(row["expected"], abs=5 * row["error"] + 5e-4)


# ---- a study as a whole --------------------------------------------------------------------------


def test_every_study_asks_something_of_every_program():
    for name, study in STUDIES.items():
        assert study.name == name and study.question.endswith("?")
        assert {point["program"] for point in study.points} == set(PROGRAMS)
        assert {point["axis"] for point in study.points} == {
            IDEAL,
            *(axis.name for axis in study.axes),
        }
        assert len({json.dumps(point, sort_keys=True) for point in study.points}) == len(
            study.points
        )


def small_study():
    """The study of the wiring's yield, at two fractions and with two draws."""
    whole = STUDIES["yield"]
    kept = tuple(
        point for point in whole.points if point["axis"] == IDEAL or point["value"] in (1e-3, 1e-1)
    )
    return replace(whole, points=kept, draws=2)


def test_a_study_writes_its_rows_its_answer_and_a_page(subject, tmp_path):
    small = small_study()
    answer = run_study(small, subject, tmp_path)
    rows = list(csv.DictReader((tmp_path / "yield.csv").read_text().splitlines()))
    assert len(rows) == len(small.points) == 15
    assert {"program", "axis", "value", "device", "draws", "centred", "error", "loss"} <= set(
        rows[0]
    )
    document = json.loads((tmp_path / "yield.json").read_text())
    assert document["conclusion"] == answer.conclusion and answer.conclusion.count(".") >= 1
    assert len(document["loses_one_percent"]) == 6 and len(document["rows"][-1]["scores"]) == 2
    page = html.unescape(write_report(tmp_path, "yield.html", [answer]).read_text())
    assert answer.conclusion in page and "data:image/svg+xml" in page
    assert (tmp_path / "figures" / "yield.png").stat().st_size > 10_000


def test_the_command_prints_where_the_score_is_lost_and_takes_up_the_points_found(
    tmp_path, monkeypatch
):
    from ornstein.host.cli import main as cli  # noqa: F401 - registers the commands

    monkeypatch.setitem(STUDIES, "yield", small_study())
    command = [
        "study",
        "yield",
        "--workers",
        "0",
        "--output",
        str(tmp_path),
        "--json",
        str(tmp_path / "said.json"),
    ]
    first = CliRunner().invoke(app, command)
    assert first.exit_code == 0, first.output
    document = json.loads((tmp_path / "yield.json").read_text())
    assert document["conclusion"] in first.output
    assert json.loads((tmp_path / "said.json").read_text()) == {"yield": document["conclusion"]}
    printed = [
        line for line in first.output.splitlines() if line.strip().startswith(("dead", "stuck"))
    ]
    assert len(printed) == len(document["loses_one_percent"])
    assert all(any(title in line for title in TITLES.values()) for line in printed)
    log = (tmp_path / "yield.jsonl").read_bytes()
    assert CliRunner().invoke(app, command).output == first.output
    assert (tmp_path / "yield.jsonl").read_bytes() == log


def test_a_study_that_is_not_there_is_named_beside_those_that_are():
    from ornstein.host.cli import main as cli  # noqa: F401 - registers the commands

    result = CliRunner().invoke(app, ["study", "weather"])
    assert result.exit_code == 2
    assert "weather" in result.output and all(name in result.output for name in STUDIES)

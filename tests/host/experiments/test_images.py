# SPDX-License-Identifier: Apache-2.0
"""Images on the fabric: a substrate that denoises, one that generates, and the files and pages
around them.
"""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.svm import SVC

from ornstein.hdl.config import REFERENCE
from ornstein.host.compile.compiler import compile_problem
from ornstein.host.devices.device import open_device
from ornstein.host.experiments.images import denoise, generate
from ornstein.host.experiments.images.denoise import Denoiser
from ornstein.host.experiments.images.digits import CLASSES, PIXELS, add_noise, load_images, psnr
from ornstein.host.experiments.images.experiment import (
    GAIN,
    GENERATION,
    NARROW,
    RECOGNISED,
    SUBSTRATE,
    Images,
    nearest,
    psnr_error,
    run_images,
    spread,
    wiener,
)
from ornstein.host.experiments.images.generate import BLOCKS, CENTRE, HOT, LEAK, PER_BLOCK
from ornstein.host.experiments.images.parameters import (
    HIDDEN,
    KINDS,
    QUADRATIC,
    QUARTIC,
    SIGMAS,
    Parameters,
)
from ornstein.host.experiments.images.report import (
    conclusions,
    denoising_grid,
    generation_grid,
    write_images_page,
)
from ornstein.host.models.model_file import ModelFileError


@pytest.fixture(scope="module")
def digits():
    return load_images()


@pytest.fixture(scope="module")
def parameters():
    return Parameters.load()


def run(uri, problem, inputs, calibration, seed=1):
    program = compile_problem(problem, REFERENCE, calibration)
    with open_device(uri) as device:
        device.load(program)
        return device.run(inputs, seed=seed)


# ---- images and measures -------------------------------------------------------------------------


def test_held_out_images_are_not_among_those_for_training(digits):
    assert digits.train.shape == (1437, PIXELS) and digits.test.shape == (360, PIXELS)
    assert digits.train.min() == 0 and digits.train.max() == 1
    both = {image.tobytes() for image in digits.train} & {image.tobytes() for image in digits.test}
    assert not both


def test_psnr_of_noise_is_minus_twenty_log_sigma_within_its_error():
    rng = np.random.default_rng(0)
    clean = rng.random((400, PIXELS))
    noisy = add_noise(clean, 0.3, rng)
    error = psnr_error(noisy, clean)
    assert psnr(noisy, clean) == pytest.approx(-20 * np.log10(0.3), abs=4 * error)
    assert error == pytest.approx(
        10 / np.log(10) * np.sqrt(2 / PIXELS / 400), rel=0.2
    )  # of a mean of chi-squares


def test_wiener_filter_is_the_posterior_mean_of_a_gaussian():
    rng = np.random.default_rng(0)
    images = rng.standard_normal((50, PIXELS)) @ rng.standard_normal((PIXELS, PIXELS)) / 8
    covariance = np.cov(images.T, bias=True) + 1e-9 * np.eye(PIXELS)
    noisy = add_noise(images, 0.5, rng)
    precision = np.linalg.inv(covariance) + np.eye(PIXELS) / 0.5**2
    expected = (
        images.mean(axis=0)
        + np.linalg.solve(precision, ((noisy - images.mean(axis=0)) / 0.5**2).T).T
    )
    np.testing.assert_allclose(wiener(images, 0.5)(noisy), expected, atol=1e-5)


def test_spread_and_nearest_on_a_case_by_hand():
    images = np.repeat([[0.0], [2.0], [10.0], [10.0]], 2, axis=1)
    assert spread(images, np.array([0, 0, 1, 1])) == pytest.approx(np.sqrt(0.5))
    found = nearest(images, np.array([[1.0, 1.0], [10.0, 13.0]]))
    np.testing.assert_allclose(found, [1, 1, np.sqrt(4.5), np.sqrt(4.5)])


# ---- denoising -----------------------------------------------------------------------------------


def small_denoiser(hidden=0, j4=denoise.J4):
    rng = np.random.default_rng(3)
    factor = rng.standard_normal((PIXELS + hidden, denoise.RANK)) / 16
    return Denoiser(
        factor,
        rng.random(PIXELS),
        rng.standard_normal(PIXELS + hidden),
        rng.random(PIXELS),
        rng.random(PIXELS),
        j4,
    )


@pytest.mark.parametrize("hidden", [0, 5])
def test_gradients_are_those_of_the_error_of_the_equilibrium(hidden):
    rng = np.random.default_rng(0)
    denoiser, clean, step = small_denoiser(hidden), rng.random((6, PIXELS)), 1e-5
    noisy = add_noise(clean, 0.3, rng)
    _, gradients = denoiser.loss_and_gradients(noisy, clean)
    for name, gradient in gradients.items():
        direction = rng.standard_normal(gradient.shape)
        ends = [
            replace(
                denoiser, **{name: getattr(denoiser, name) + sign * step * direction}
            ).loss_and_gradients(noisy, clean)[0]
            for sign in (1, -1)
        ]
        assert (ends[0] - ends[1]) / (2 * step) == pytest.approx(
            np.sum(gradient * direction), rel=1e-4, abs=1e-9
        ), name


def test_equilibrium_is_where_the_force_of_the_energy_vanishes():
    denoiser = small_denoiser(hidden=5)
    biases = denoiser.biases(np.random.default_rng(0).random((4, PIXELS)))
    state = denoiser.equilibrium(biases)
    energy = denoiser.energy().check()
    np.testing.assert_allclose(
        state @ energy.matrix() + 4 * energy.j4 * state**3, biases, atol=1e-6
    )


def test_a_quadratic_substrate_is_a_linear_filter(parameters):
    denoiser = parameters.denoisers[QUADRATIC, 0.5]
    one, two = np.random.default_rng(0).random((2, 3, PIXELS))
    np.testing.assert_allclose(
        denoiser((one + two) / 2), (denoiser(one) + denoiser(two)) / 2, atol=1e-6
    )


def test_training_lowers_the_error_and_keeps_the_stiffness_in_bounds(digits):
    rng = np.random.default_rng(0)
    start = denoise.initial(digits.train, 0.5, j4=denoise.J4, scale=4.0)
    trained = denoise.train(digits.train, 0.5, start, steps=40)
    clean = digits.train[:200]
    noisy = add_noise(clean, 0.5, rng)
    assert psnr(trained(noisy), clean) > psnr(start(noisy), clean) + 0.1
    top = np.linalg.svd(trained.factor)[1][0] ** 2
    assert top < denoise.STIFFNESS * 2 * denoise.J2
    twice = [denoise.train(digits.train, 0.5, start, steps=2).factor for _ in range(2)]
    np.testing.assert_array_equal(*twice)


def test_hidden_units_start_out_weakly_coupled_and_leave_the_pixels_couplings_alone():
    before = small_denoiser()
    after = denoise.with_hidden(before, 64)
    assert after.hidden == 64 and after.parameters == before.parameters + 64 * (denoise.RANK + 1)
    matrix = after.energy().matrix()
    np.testing.assert_array_equal(matrix[:PIXELS, :PIXELS], before.energy().matrix())
    assert 0 < np.abs(matrix[:PIXELS, PIXELS:]).max() < 0.2 * 2 * denoise.J2


@pytest.mark.parametrize("sigma", SIGMAS)
def test_quartic_denoiser_beats_the_wiener_filter_by_0_4_db_on_the_integer_model(
    sigma, digits, parameters
):
    noisy = add_noise(digits.test, sigma, np.random.default_rng(1))
    denoiser = parameters.denoisers[QUARTIC, sigma]
    problem = denoiser.problem("quartic")
    calibration = denoiser.biases(add_noise(digits.train, sigma, np.random.default_rng(2)))
    outputs = run("model", problem, denoiser.biases(noisy), calibration)
    made = problem.decode(outputs.mean)
    assert psnr(made, digits.test) > psnr(wiener(digits.train, sigma)(noisy), digits.test) + 0.4
    # number formats cost no more than a hundredth of a decibel, though some images lie between two
    # wells
    exact = run("float", problem, denoiser.biases(noisy), calibration)
    assert psnr(made, digits.test) == pytest.approx(
        psnr(problem.decode(exact.mean), digits.test), abs=0.02
    )
    assert outputs.counters["state_saturations"] == outputs.counters["rank_saturations"] == 0
    bare = replace(problem, energies=(problem.energy.without_couplings(),))
    outputs = run("model", bare, denoiser.biases(noisy), calibration)
    assert psnr(problem.decode(outputs.mean), digits.test) < psnr(made, digits.test) - 1


@pytest.mark.parametrize("kind", KINDS)
def test_the_gateware_denoises_bit_for_bit_like_the_model(kind, digits, parameters):
    denoiser = parameters.denoisers[kind, 0.3]
    biases = denoiser.biases(add_noise(digits.test[:4], 0.3, np.random.default_rng(1)))
    calibration = denoiser.biases(add_noise(digits.train, 0.3, np.random.default_rng(2)))
    made = [
        run(uri, denoiser.problem(kind, steps=20), biases, calibration).sums
        for uri in ("rtl", "model")
    ]
    np.testing.assert_array_equal(*made)


# ---- generation ----------------------------------------------------------------------------------


def test_noise_falls_by_one_ratio_a_step_so_that_one_leak_fits_all_blocks():
    steps = generate.deviations()
    assert len(steps) == BLOCKS * PER_BLOCK + 1 and steps[0] == HOT
    np.testing.assert_allclose((steps[1:] / steps[:-1]) ** 2, 1 - LEAK)
    # given a clean image at zero, the noise after a step has the variance left by its mean and its
    # own
    before, after = steps[0] ** 2, steps[1] ** 2
    kept = (after / before) ** 2 * before
    assert after - kept == pytest.approx(after * (before - after) / before)


def test_training_finds_the_gaussian_that_made_the_images():
    """For one narrow Gaussian a class, and no quartic term, S is known: leak C (C + sigma^2)^-1."""
    rng = np.random.default_rng(0)
    deviations = np.zeros(PIXELS)
    deviations[:3] = 0.6, 0.4, 0.3
    labels = np.arange(1500) % CLASSES
    images = CENTRE + rng.standard_normal((len(labels), PIXELS)) * deviations
    j4, generate.J4 = generate.J4, 0.0
    try:
        generator = generate.train(images, labels)
    finally:
        generate.J4 = j4
    for block in range(BLOCKS):
        made = (generator.vectors[block] * generator.strengths[block]) @ generator.vectors[block].T
        steps = generate.deviations()[block * PER_BLOCK : (block + 1) * PER_BLOCK] ** 2
        expected = np.mean(
            [LEAK * deviations**2 / (deviations**2 + step) for step in steps], axis=0
        )
        np.testing.assert_allclose(made.diagonal()[:3], expected[:3], atol=0.15 * LEAK)


def test_every_block_is_positive_definite_and_the_program_runs_32_steps_after_the_noise(parameters):
    problem = parameters.generator.problem().check()
    assert min(energy.eigenvalues()[0] for energy in problem.energies) > 0
    assert problem.steps - problem.stages[0].steps == BLOCKS * PER_BLOCK
    assert [stage.energy for stage in problem.stages] == [0, *range(BLOCKS), BLOCKS - 1]
    assert problem.stages[-1].kT == 0 and problem.samples == 1


@pytest.fixture(scope="module")
def generated(parameters):
    labels = np.tile(np.arange(CLASSES), 30)
    generator = parameters.generator
    problem = generator.problem()
    calibration = generator.inputs(np.tile(np.arange(CLASSES), 7))
    return (
        labels,
        problem,
        run("model", problem, generator.inputs(labels), calibration),
        calibration,
    )


def test_generated_digits_are_recognised_and_differ(generated, digits):
    labels, problem, outputs, _ = generated
    classifier = SVC(C=10).fit(digits.train, digits.train_labels)
    assert classifier.score(digits.test, digits.test_labels) > 0.98
    made = problem.decode(outputs.mean)
    assert np.mean(classifier.predict(made) == labels) >= 0.95
    assert (
        spread(made, labels) > 0.1 and nearest(made, digits.train).min() > 0.05
    )  # neither one image nor copies
    assert outputs.counters["state_saturations"] == outputs.counters["rank_saturations"] == 0


def test_the_gateware_generates_bit_for_bit_like_the_model(generated, parameters):
    labels, problem, outputs, calibration = generated
    made = run("rtl", problem, parameters.generator.inputs(labels[:20]), calibration)
    np.testing.assert_array_equal(made.sums, outputs.sums[:20])


# ---- files, results and page ---------------------------------------------------------------------


def test_parameters_survive_the_file_and_name_the_command_that_made_them(parameters, tmp_path):
    parameters.save(tmp_path / "again.safetensors")
    again = Parameters.load(tmp_path / "again.safetensors")
    assert (
        again.provenance == parameters.provenance
        and "ornstein images --train" in again.provenance["command"]
    )
    np.testing.assert_array_equal(
        again.denoisers[HIDDEN, 0.5].factor, parameters.denoisers[HIDDEN, 0.5].factor
    )
    np.testing.assert_array_equal(again.generator.biases, parameters.generator.biases)
    assert again.denoisers[QUADRATIC, 0.3].j4 == 0


def test_a_file_that_is_no_parameters_is_named_with_the_next_step(tmp_path):
    (tmp_path / "other").write_bytes(b"nothing")
    for path in (tmp_path / "other", tmp_path / "missing"):
        with pytest.raises(
            ModelFileError,
            match=f"{path.name}: no file of image parameters.*ornstein images --train",
        ):
            Parameters.load(path)


def test_page_and_results_of_a_small_run(parameters, tmp_path):
    told = []
    images = run_images(parameters, "model", per_class=10, progress=lambda *what: told.append(what))
    assert isinstance(images, Images) and told[-1][1] == told[-1][2]
    page = Path(write_images_page(images, tmp_path)).read_text()
    assert all(sentence.split(":")[0][:40] in page for sentence in conclusions(images))
    assert (tmp_path / "figures" / "generated.png").stat().st_size > 10_000
    assert {row[1] for row in denoising_grid(images).rows} >= {*KINDS, "Wiener filter"}
    assert {row[0] for row in generation_grid(images).rows} >= {SUBSTRATE, NARROW}
    assert images.find(GENERATION, NARROW, RECOGNISED).gateware >= 90
    assert images.find("denoising, sigma 0.5", QUARTIC, GAIN).gateware > 0.4
    document = json.loads(json.dumps(images.documents()))
    assert set(document[0]) == {
        "experiment",
        "row",
        "quantity",
        "reference",
        "float64",
        "gateware",
        "error",
        "note",
    }
    images.write_csv(tmp_path / "results.csv")
    assert len((tmp_path / "results.csv").read_text().splitlines()) == len(document) + 1

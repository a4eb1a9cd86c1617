# SPDX-License-Identifier: Apache-2.0
"""All numbers of ``ornstein images``, held against what the trained parts give when run by hand."""

import csv
from dataclasses import replace

import numpy as np
import pytest
from sklearn.svm import SVC

from ornstein.host.devices.comparison import ModelMismatchError
from ornstein.host.devices.device import Outputs
from ornstein.host.devices.fabric import FabricDevice
from ornstein.host.experiments.common import documents, write_csv
from ornstein.host.experiments.images.baselines import wiener
from ornstein.host.experiments.images.denoising import (
    CYCLES,
    GAIN,
    NOISY,
    PARAMETERS,
    PSNR,
    REFERENCES,
    WIENER,
    ZEROED,
    denoise_digits,
)
from ornstein.host.experiments.images.digits import CLASSES, add_noise
from ornstein.host.experiments.images.generation import (
    GAUSSIAN,
    MATCHED,
    NARROW,
    NEAREST,
    REAL,
    RECOGNISED,
    SPREAD,
    SUBSTRATE,
    share_error,
)
from ornstein.host.experiments.images.generation import ZEROED as GENERATION_ZEROED
from ornstein.host.experiments.images.measures import (
    gain_error,
    nearest,
    psnr,
    psnr_error,
    spread,
)
from ornstein.host.experiments.images.parameters import HIDDEN, KINDS, QUARTIC, SIGMAS
from ornstein.host.experiments.images.run import run_images
from ornstein.host.experiments.images.runners import TwoRunners

PER_CLASS = 10


def test_progress_ends_with_all_images_of_each_program(small_run):
    _, told = small_run
    last = {what: (done, total) for what, done, total in told}
    assert all(done == total for done, total in last.values())
    assert last[f"denoising, sigma 0.3, {QUARTIC}"] == (360, 360)
    assert last["generation, substrate"] == (PER_CLASS * CLASSES, PER_CLASS * CLASSES)
    assert len(last) == 2 * 4 + 2


# ---- denoising -----------------------------------------------------------------------------------


@pytest.fixture(params=SIGMAS)
def level(request, small_run, digits):
    """(sigma, results, noisy images, images after the Wiener filter) of one noise level."""
    sigma = request.param
    noisy = add_noise(digits.test, sigma, np.random.default_rng(1))
    filtered = wiener(digits.train, sigma)(noisy)
    return sigma, small_run[0].denoising[sigma], noisy, filtered


def test_psnr_gain_and_their_errors_are_those_of_the_images_that_are_kept(level, digits):
    sigma, experiment, _, filtered = level
    for result in experiment.select(PSNR):
        made = experiment.arrays[result.row]
        gain = experiment.find(GAIN, result.row)
        value = result.float64 if result.gateware is None else result.gateware
        assert value == psnr(made, digits.test) and result.error == psnr_error(made, digits.test)
        found = gain.float64 if gain.gateware is None else gain.gateware
        assert found == pytest.approx(value - psnr(filtered, digits.test))
        assert gain.error == gain_error(made, filtered, digits.test)
        reference = REFERENCES.get((result.row, sigma))
        assert result.reference == reference
        if reference is not None:
            assert gain.reference == pytest.approx(reference - REFERENCES[WIENER, sigma])


def test_rows_without_a_device_are_the_noise_the_filter_and_the_networks(level, parameters):
    sigma, experiment, noisy, filtered = level
    np.testing.assert_array_equal(experiment.arrays[NOISY], noisy)
    np.testing.assert_array_equal(experiment.arrays[WIENER], filtered)
    for kind in (QUARTIC, HIDDEN):
        network = parameters.perceptrons[kind, sigma]
        row = f"perceptron 64-{network.hidden}-64"
        np.testing.assert_array_equal(experiment.arrays[row], network(noisy))
        assert experiment.find(PARAMETERS, row).float64 == network.parameters
        assert experiment.find(PSNR, row).gateware is None


def test_rows_of_substrates_are_their_programs_answers(level, parameters, digits, answer):
    sigma, experiment, noisy, _ = level
    training = add_noise(digits.train, sigma, np.random.default_rng(2))
    quartic = parameters.denoisers[QUARTIC, sigma]
    uncoupled = replace(quartic, factor=np.zeros_like(quartic.factor))
    rows = {kind: parameters.denoisers[kind, sigma] for kind in KINDS} | {ZEROED: uncoupled}
    for row, denoiser in rows.items():
        problem = denoiser.problem(row)
        biases, calibration = denoiser.biases(noisy), denoiser.biases(training)
        made, exact = (answer(uri, problem, biases, calibration) for uri in ("model", "float"))
        np.testing.assert_array_equal(experiment.arrays[row], problem.decode(made.mean))
        result = experiment.find(PSNR, row)
        assert result.float64 == psnr(problem.decode(exact.mean), digits.test)
        steps = f"{problem.steps - problem.samples} steps, {problem.samples} averaged"
        assert steps in result.note and "; 0 saturations" in result.note
        size = experiment.find(PARAMETERS, row)
        assert size.float64 == denoiser.parameters
        assert size.note.startswith(f"{denoiser.factor.size} couplings, ")
        assert not experiment.select(CYCLES, row)  # the integer model has no clock


class FakeRunner:
    """Answers like a device of gateware that took 1,000 cycles an input and saturated twice."""

    def run(self, problem, inputs, calibration, progress=None):
        return FakeRun(problem, inputs)


class FakeRun:
    cycles_per_input, saturations = 1000.0, 2

    def __init__(self, problem, inputs):
        self.program = self
        self.problem = problem
        self.answers = np.full((len(inputs), 64), 0.5)


def test_cycles_and_saturations_are_those_of_the_run(parameters, digits):
    run = TwoRunners(FakeRunner(), FakeRunner(), None)
    experiment = denoise_digits(parameters, digits, 0.3, run)
    for row in (*KINDS, ZEROED):
        assert experiment.find(CYCLES, row).gateware == 1000
        assert experiment.find(PSNR, row).note.endswith("; 2 saturations")


def test_gateware_that_differs_from_the_model_is_an_error(parameters, monkeypatch):
    run = FabricDevice.run

    def wrong(device, inputs, **options) -> Outputs:
        outputs = run(device, inputs[:2], **options)
        outputs.sums[0, 0] += 1
        return outputs

    monkeypatch.setattr(FabricDevice, "run", wrong)
    with pytest.raises(ModelMismatchError):
        run_images(parameters, "rtl", per_class=2)


# ---- generation ----------------------------------------------------------------------------------


def test_quantities_of_generated_digits_are_those_of_the_images_that_are_kept(small_run, digits):
    images, _ = small_run
    classifier = SVC(C=10).fit(digits.train, digits.train_labels)
    for result in images.generation.select(RECOGNISED):
        if result.row == REAL:
            made, labels = digits.test, digits.test_labels  # not all of them are kept
        else:
            made, labels = images.generation.arrays[result.row], images.labels
        found = {
            RECOGNISED: 100 * classifier.score(made, labels),
            SPREAD: spread(made, labels),
            NEAREST: nearest(made, digits.train).mean(),
        }
        for quantity, expected in found.items():
            other = images.generation.find(quantity, result.row)
            value = other.float64 if other.gateware is None else other.gateware
            assert value == pytest.approx(expected), (result.row, quantity)
        assert result.error == pytest.approx(share_error(found[RECOGNISED] / 100, len(labels)))


def test_the_error_of_a_share_is_that_of_independent_trials():
    assert share_error(0.5, 100) == pytest.approx(5.0)
    assert share_error(1.0, 100) == 0


def test_rows_of_the_generator_are_its_program_s_answers(small_run, parameters, answer):
    images, _ = small_run
    generator, experiment = parameters.generator, images.generation
    inputs = generator.inputs(images.labels)
    calibration = generator.inputs(np.tile(np.arange(CLASSES), 7))
    problem = generator.problem()
    bare = replace(
        problem, energies=tuple(energy.without_couplings() for energy in problem.energies)
    )
    for row, made in ((SUBSTRATE, problem), (GENERATION_ZEROED, bare)):
        outputs = answer("model", made, inputs, calibration)
        np.testing.assert_array_equal(experiment.arrays[row], problem.decode(outputs.mean))
    assert (
        f"{len(inputs)} images, {problem.steps} steps"
        in experiment.find(RECOGNISED, SUBSTRATE).note
    )
    assert experiment.find(PARAMETERS, SUBSTRATE).float64 == generator.parameters
    assert np.any(experiment.arrays[NARROW] != experiment.arrays[SUBSTRATE])
    assert experiment.find(RECOGNISED, NARROW).gateware >= 90
    assert experiment.find(RECOGNISED, NARROW).float64 is None


def test_gaussian_digits_differ_by_their_spread_only(small_run):
    images, _ = small_run
    arrays, labels = images.generation.arrays, images.labels
    assert spread(arrays[MATCHED], labels) == pytest.approx(spread(arrays[SUBSTRATE], labels))
    assert spread(arrays[GAUSSIAN], labels) > 1.2 * spread(arrays[MATCHED], labels)
    means = [arrays[row][labels == 3].mean(axis=0) for row in (GAUSSIAN, MATCHED)]
    assert np.corrcoef(*means)[0, 1] > 0.95


# ---- files ---------------------------------------------------------------------------------------


def test_files_hold_all_results_in_the_same_columns(small_run, tmp_path):
    experiments = small_run[0].experiments
    rows = documents(experiments, "reference")
    columns = "experiment row quantity reference float64 gateware error note".split()
    assert all(list(row) == columns for row in rows)
    assert [row["experiment"] for row in rows[:: len(rows) - 1]] == [
        "denoising, sigma 0.3",
        "generation",
    ]
    write_csv(tmp_path / "results.csv", experiments, "reference")
    with (tmp_path / "results.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == len(rows)

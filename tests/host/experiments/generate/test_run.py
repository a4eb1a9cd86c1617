# SPDX-License-Identifier: Apache-2.0
import json
from dataclasses import replace

import numpy as np
import pytest

from helpers.command_line import failure, run
from ornstein.hdl.config import preset
from ornstein.host.devices.comparison import check_equals_model
from ornstein.host.devices.device import prediction_only
from ornstein.host.experiments.generate import benchmark as benchmark_module
from ornstein.host.experiments.generate import scores
from ornstein.host.experiments.generate.benchmark import (
    GAUSSIAN,
    NOISE,
    OURS,
    REAL,
    UNET,
    ZEROED,
    run_benchmark,
)
from ornstein.host.experiments.generate.report import (
    ZOOM,
    conclusions,
    sheet,
    table,
    write_benchmark_page,
)
from ornstein.host.experiments.generate.run import (
    SUBSTRATE,
    calibration_features,
    fitting_program,
    generate,
    with_skips,
)
from ornstein.host.models.diffusion import Diffusion, diffusion_digits, trained_model
from ornstein.host.models.model_file import WEIGHTS
from ornstein.host.models.noise_levels import noise_levels

COUNT = 3
LEVELS = noise_levels()
"""Those of the command. With far fewer, what the sampler makes leaves the range of the inputs."""


@pytest.fixture(scope="module")
def model():
    return Diffusion.load(trained_model(SUBSTRATE, 16))


@pytest.fixture(scope="module")
def made(model):
    return generate(model, "model", count=COUNT, levels=LEVELS)


@pytest.fixture(scope="module")
def benchmark(model):
    """Few images, and the gateware's image on the model: the simulator is tested below. No test
    looks at the sizes of the error bars, so they are of few resamples.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scores, "RESAMPLES", 10)
        return run_benchmark(
            Diffusion.load(trained_model("unet")),
            {16: model},
            diffusion_digits(),
            count=12,
            gateware="model:ulx3s",
        )


def test_the_integer_model_makes_the_images_of_the_equilibrium(model, made):
    """The arithmetic moves no pixel by more than 0.01 of its range."""
    exact = generate(model, "float:exact", count=COUNT, levels=LEVELS)
    assert made.images.shape == (COUNT, 16, 16) and made.clipped == 0
    assert np.abs(made.images - exact.images).max() < 0.01
    assert exact.cycles is None


def test_rank_16_fits_the_reference_fabric(made):
    assert made.device == "model:reference" and made.rank == 16
    assert made.steps == 8 and made.cycles > 0


def test_rank_32_fits_the_reference_fabric_too():
    model = Diffusion.load(trained_model(SUBSTRATE, 32))
    uri, program = fitting_program(model, "model", calibration_features(model, noise_levels(2)))
    assert uri == "model:reference" and program.config == preset("reference")


def test_seeds_decide_and_images_do_not_depend_on_the_count(model, made):
    one = generate(model, "model", count=1, levels=LEVELS)
    other = generate(model, "model", count=1, levels=LEVELS, seed=2)
    np.testing.assert_array_equal(one.images, made.images[:1])
    assert not np.array_equal(one.images, other.images)


def test_noise_of_the_substrate_replaces_that_of_the_host(model, made):
    thermal = generate(model, "model", count=1, levels=LEVELS, noise=SUBSTRATE)
    assert thermal.host_bits == 0 and made.host_bits == len(LEVELS) * 256 * 64
    assert not np.array_equal(thermal.images, made.images[:1])


def test_a_batch_of_pixels_on_gateware_equals_the_model(device, model):
    features = calibration_features(model, noise_levels(2))
    program = model.coupling.program_for(preset("reference"), features)
    inputs = model.coupling.inputs(features)[:16]
    rtl = device("rtl:reference")
    rtl.load(program)
    outputs = rtl.run(inputs, seed=3, selection=prediction_only(program.problem))
    check_equals_model(program, inputs, outputs, 3)


def test_zeroed_couplings_leave_nothing_to_the_pixels(model):
    """Without couplings the decoder is its offset, whatever the image."""
    bare = with_skips(model, ())
    assert not bare.coupling.encoder_modes.any()
    kept = with_skips(model, ("bottleneck",)).coupling.encoder_modes
    assert not kept[:96].any() and kept[96:].any()


def test_the_benchmark_has_all_rows(benchmark):
    assert [row.what for row in benchmark.rows[:3]] == [REAL, UNET, OURS]
    assert benchmark.find(ZEROED).scores.distance > benchmark.find(GAUSSIAN).scores.distance
    assert benchmark.find(OURS).scores.distance < benchmark.find(ZEROED).scores.distance
    assert benchmark.find(NOISE).host_bits == 0
    ours, unet = benchmark.find(OURS).multiplications, benchmark.find(UNET).multiplications
    assert 0 < ours < unet and benchmark.find(REAL).multiplications is None
    for row in benchmark.results():
        assert {"what", "rank", "device", "distance", "pixel_distance", "images"} <= row.keys()
        assert "scores" not in row
    assert all(row.scores.images == 12 for row in benchmark.rows[1:])
    assert benchmark.checked == 12 * 256
    assert benchmark.compared == 12 and benchmark.differences[16] < 0.02


def test_the_report_states_the_ratios_and_the_table(benchmark, tmp_path):
    page = write_benchmark_page(benchmark, tmp_path).read_text()
    ratio = benchmark.find(OURS).scores.distance / benchmark.find(UNET).scores.distance
    assert f"{ratio:.2f} times the distance of the U-Net" in page
    assert f"U-Net takes {benchmark.find(UNET).multiplications:,} multiplications" in page
    assert len(table(benchmark).rows) == len(benchmark.rows)
    assert any("bars" in sentence for sentence in conclusions(benchmark))
    json.dumps(benchmark.results())


def test_the_benchmarks_command_writes_what_it_prints(benchmark, tmp_path, monkeypatch):
    """It asks for ranks 16 and 32 and 1,000 images, of which the benchmark here makes fewer."""
    asked = []

    def fewer(unet, ours, digits, **options):
        asked.append((list(ours), options["count"]))
        return benchmark

    monkeypatch.setattr(benchmark_module, "run_benchmark", fewer)
    result = run("generate", "--benchmark", "--output", tmp_path)
    assert result.returncode == 0, result.stderr
    assert asked == [([16, 32], 1000)]
    assert json.loads((tmp_path / "results.json").read_text()) == benchmark.results()
    assert (tmp_path / "report.html").is_file()
    printed = " ".join(result.stdout.split())
    assert all(sentence in printed for sentence in conclusions(benchmark))


def test_a_better_generator_meets_the_bars(benchmark):
    """The sentence follows the numbers."""
    first = benchmark.rows[2]
    near = replace(first, scores=replace(first.scores, distance=1e-3))
    better = replace(benchmark, rows=[*benchmark.rows[:2], near, *benchmark.rows[3:]])
    assert any("both met" in s and "not" not in s for s in conclusions(better))


def test_a_sheet_holds_every_image_in_its_place():
    images = np.zeros((17, 16, 16))
    images[16] = 1
    picture = sheet(images)[::ZOOM, ::ZOOM]
    assert picture.shape == (2 + 2 * 18, 2 + 16 * 18)
    assert not picture[20:36, 2:18].any() and picture[:20].all()


def test_the_command_writes_everything(tmp_path):
    folder = tmp_path / "digits"
    result = run("generate", "--count", 2, "--levels", 2, "--output", folder)
    assert result.returncode == 0, result.stderr
    assert {p.name for p in folder.iterdir()} == {
        "images.npy",
        "sheet.png",
        "report.html",
        "results.json",
        "figures",
    }
    assert np.load(folder / "images.npy").shape == (2, 16, 16)
    results = json.loads((folder / "results.json").read_text())
    assert results["count"] == 2 and "--rank 16" in results["model"]["command"]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--device", "model:tiny"), 4, "tiny"),
        (("--device", "nonsense"), 3, "nonsense"),
        (("--device", "float:exact", "--noise", "substrate"), 3, "no temperature"),
        (("--rank", 5), 6, "--rank 5"),
        (("--model", WEIGHTS / "default"), 6, "no layer e1.shift.weight"),
        (("--model", WEIGHTS / "generator-unet"), 6, "not a substrate"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_writes_nothing(tmp_path, arguments, code, words):
    found, line = failure("generate", "--count", 1, "--output", tmp_path / "x", *arguments)
    assert found == code and words in line
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    "arguments", [("--count", 0), ("--count", -3), ("--levels", 1), ("--noise", "pink")]
)
def test_wrong_usage_has_its_exit_code(tmp_path, arguments):
    result = run("generate", "--output", tmp_path / "x", *arguments)
    assert result.returncode == 2 and "Traceback" not in result.stderr
    assert not (tmp_path / "x").exists()


def test_a_file_in_place_of_the_folder_is_kept(tmp_path):
    (tmp_path / "x").write_text("mine")
    code, line = failure("generate", "--count", 1, "--output", tmp_path / "x")
    assert code == 6 and "folder" in line and (tmp_path / "x").read_text() == "mine"

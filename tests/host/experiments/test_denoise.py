# SPDX-License-Identifier: Apache-2.0
import json
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from helpers.command_line import failure, run
from ornstein.hdl.config import preset
from ornstein.host.devices.comparison import check_equals_model
from ornstein.host.devices.device import open_device, prediction_only
from ornstein.host.experiments.denoise.decoder import SubstrateDecoder
from ornstein.host.experiments.denoise.files import read_images, write_images
from ornstein.host.experiments.denoise.run import (
    SUBSTRATE,
    calibration_images,
    psnr,
    run_benchmark,
    ssim,
    substrate_share,
)
from ornstein.host.models.data import DataError, add_noise, digits
from ornstein.host.models.decoder_moments import DecoderMoments
from ornstein.host.models.network import Network

SIGMA = 0.1


@pytest.fixture(scope="module")
def network():
    return Network.load()


@pytest.fixture(scope="module")
def measured():
    return DecoderMoments.load()


def calibration(network):
    return network.features(calibration_images(SIGMA))


@pytest.fixture(scope="module")
def benchmark(network, measured):
    """Two images, and the gateware's row on the model: its simulator takes a minute to build."""
    device = "model:ulx3s"
    return run_benchmark(
        network, measured, digits(), sigma=SIGMA, gateware=device, ranks=(16, 32), images=2
    )


def small_benchmark(network, measured, **options):
    """One image, one rank, and no gateware."""
    return run_benchmark(
        network, measured, digits(), sigma=SIGMA, gateware=None, ranks=(8,), images=1, **options
    )


@pytest.fixture(scope="module")
def ideal(network, measured):
    return small_benchmark(network, measured)


def test_the_integer_model_reaches_the_linear_map_of_its_rank(benchmark):
    for rank in (16, 32):
        found, bound = benchmark.find(SUBSTRATE, rank), benchmark.find("linear map", rank)
        assert found.psnr == pytest.approx(bound.psnr, abs=0.05)
        assert found.ssim == pytest.approx(bound.ssim, abs=0.003)
        assert found.clipped == 0


def test_the_skips_do_what_skips_are_for(benchmark):
    everything = benchmark.find(SUBSTRATE, 32).psnr
    assert benchmark.find("without e1", 32).psnr < everything - 0.5
    assert benchmark.find("without e2", 32).psnr < everything
    assert benchmark.find("no skips", 32).psnr <= 25.0
    assert benchmark.find("couplings zeroed").psnr < benchmark.find("noisy").psnr


def test_rank_and_network_are_ordered(benchmark):
    assert benchmark.find(SUBSTRATE, 16).psnr < benchmark.find(SUBSTRATE, 32).psnr
    assert benchmark.find(SUBSTRATE, 32).psnr < benchmark.find("unet").psnr
    assert benchmark.find("noisy").psnr == pytest.approx(20.0, abs=0.3)


def test_a_relaxation_takes_eight_steps(benchmark):
    assert benchmark.steps == 8
    assert benchmark.chebyshev_steps == 5


def test_results_have_the_stated_fields(benchmark):
    for row in benchmark.results():
        assert {"what", "rank", "device", "psnr", "ssim", "cycles", "joules"} <= row.keys()


def test_the_share_of_the_network_is_counted(network):
    assert substrate_share(network) == pytest.approx(0.628, abs=0.001)


def test_a_pixel_of_the_gateware_equals_the_model(device, network, measured):
    """One skip fits the fabric ``reference``; a crop of 4 x 8 pixels keeps it short."""
    decoder = SubstrateDecoder.fit(network.encoders, measured, rank=16, skips=("e1",))
    program = decoder.program_for(preset("reference"), calibration(network))
    noisy = add_noise(digits().test[:1], SIGMA, 1002)
    inputs = decoder.inputs(network.features(noisy))[:32]
    rtl = device("rtl:reference")
    rtl.load(program)
    outputs = rtl.run(inputs, seed=3, selection=prediction_only(program.problem))
    check_equals_model(program, inputs, outputs, 3)
    expected = program.input_cycles * len(inputs)
    assert outputs.counters["cycles"] == pytest.approx(expected, rel=0.1)


def test_features_beyond_the_range_are_clipped_and_counted(network, measured):
    decoder = SubstrateDecoder.fit(network.encoders, measured, rank=4)
    program = decoder.program_for(preset("ulx3s"), calibration(network))
    features = network.features(np.zeros((1, 8, 8)))
    features["e1"][0, 3, 2, 2] = 1e4
    with open_device("model:ulx3s") as model:
        model.load(program)
        d1, clipped = decoder.decode(model, features, seed=1)
    assert clipped == 1 and np.isfinite(d1).all()


def test_scores_are_those_of_known_images():
    clean = np.zeros((1, 16, 16))
    assert psnr(clean + 0.1, clean) == pytest.approx(20.0)
    assert ssim(clean, clean) == pytest.approx(1.0)


def test_temperature_costs_decibels_and_averages_buy_them_back(network, measured, ideal):
    one, many = (small_benchmark(network, measured, kT=1e-2, samples=n) for n in (1, 16))
    loss = [ideal.find(SUBSTRATE).psnr - found.find(SUBSTRATE).psnr for found in (one, many)]
    assert loss[0] > 1 and 0 < loss[1] < loss[0] / 3
    assert many.steps == ideal.steps + 15


def test_an_imperfect_chip_makes_worse_images(network, measured, ideal, tmp_path):
    chip = tmp_path / "chip.toml"
    chip.write_text("seed = 1\n[connections]\nmismatch = 0.3\n")
    uri = f"model:ulx3s?imperfections={chip}"
    found = small_benchmark(network, measured, device=uri)
    assert found.find(SUBSTRATE).device == uri
    assert found.find("unet").psnr == ideal.find("unet").psnr
    assert found.find(SUBSTRATE).psnr < ideal.find(SUBSTRATE).psnr - 0.2


def test_a_png_goes_in_and_comes_out(tmp_path):
    noisy = add_noise(digits().test[:1], SIGMA, 1002)[0]
    write_images(tmp_path / "noisy.png", noisy[None], single=True)
    result = run("denoise", tmp_path / "noisy.png", "--output", tmp_path / "clean.png")
    assert result.returncode == 0, result.stderr
    found = read_images(tmp_path / "clean.png").pixels
    clean = digits().test[:1]
    assert psnr(found, clean)[0] > psnr(read_images(tmp_path / "noisy.png").pixels, clean)[0] + 8


def test_a_bad_file_in_a_folder_is_named_and_the_others_are_done(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    np.save(folder / "good.npy", digits().test[0])
    np.save(folder / "size.npy", np.zeros((9, 9)))
    Image.new("RGB", (8, 8)).save(folder / "colour.png")
    result = run("denoise", folder, "--output", tmp_path / "out")
    assert result.returncode == 6
    assert "Traceback" not in result.stderr
    for name, reason in (("size.npy", "multiples"), ("colour.png", "grey")):
        assert any(name in line and reason in line for line in result.stderr.splitlines())
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["good.npy"]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (np.full((8, 8), np.nan), "not finite"),
        (np.full((8, 8), 128.0), "scale them"),
        (np.zeros(8), "shape"),
        (np.array([["a"]]), "type"),
    ],
)
def test_arrays_that_are_no_images_are_refused(tmp_path, values, words):
    np.save(tmp_path / "x.npy", values)
    with pytest.raises(DataError, match=words):
        read_images(tmp_path / "x.npy")


def test_headers_that_ask_for_more_than_there_is_are_refused(tmp_path):
    """70 TB in a .npy, 40 gigapixels in a PNG."""
    with (tmp_path / "x.npy").open("wb") as file:
        header = {"descr": "<f8", "fortran_order": False, "shape": (1 << 40, 8)}
        np.lib.format.write_array_header_1_0(file, header)
    with pytest.raises(DataError, match=r"not a readable .npy file .*but the file ends after"):
        read_images(tmp_path / "x.npy")
    size = struct.pack(">IIBBBBB", 200_000, 200_000, 8, 0, 0, 0, 0)
    chunks = [
        struct.pack(">I", len(content))
        + kind
        + content
        + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in ((b"IHDR", size), (b"IDAT", b""))
    ]
    (tmp_path / "x.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))
    with pytest.raises(DataError, match=r"not a readable image .*decompression bomb"):
        read_images(tmp_path / "x.png")


def test_the_output_never_overwrites_the_input(tmp_path):
    np.save(tmp_path / "x.npy", digits().test[0])
    before = (tmp_path / "x.npy").read_bytes()
    code, line = failure("denoise", tmp_path / "x.npy", "--output", tmp_path / "x.npy")
    assert code == 6 and "overwrite" in line
    assert (tmp_path / "x.npy").read_bytes() == before


def test_a_device_without_room_is_refused(tmp_path):
    np.save(tmp_path / "x.npy", digits().test[0])
    code, line = failure(
        "denoise", tmp_path / "x.npy", "--output", tmp_path / "y.npy", "--fabric", "tiny"
    )
    assert code == 4 and "tiny" in line and not (tmp_path / "y.npy").exists()


def test_the_report_holds_the_table_and_the_figures(benchmark, tmp_path):
    from ornstein.host.experiments.denoise.report import table, write_denoise_page

    page = write_denoise_page(benchmark, tmp_path).read_text()
    assert f"{benchmark.find(SUBSTRATE, 32).psnr:.2f}" in page
    assert len(table(benchmark).rows) == len(benchmark.rows)
    assert {p.name for p in (tmp_path / "figures").iterdir()} == {"denoised.png", "by_rank.png"}
    json.dumps(benchmark.results())

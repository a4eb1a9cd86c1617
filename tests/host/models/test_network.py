# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
from scipy.signal import correlate

from ornstein.host.models.data import add_noise, digits
from ornstein.host.models.decoder_moments import MOMENTS_FILE, DecoderMoments
from ornstein.host.models.model_file import (
    ACTIVATIONS_FILE,
    DEFAULT_MODEL,
    ModelFileError,
    read_arrays,
)
from ornstein.host.models.network import SKIPS, Network, image_of, pixels, rows, shuffled


@pytest.fixture(scope="module")
def network():
    return Network.load()


def test_features_are_those_that_pytorch_computed(network):
    """The committed spatial means were computed by PyTorch from the same rounded weights."""
    means, provenance = read_arrays(DEFAULT_MODEL / ACTIVATIONS_FILE)
    noisy = add_noise(digits().test, provenance["sigma"], provenance["noise_seeds"][1])[:4]
    features = network.features(noisy)
    for block in ("e1", "e2"):
        np.testing.assert_allclose(
            features[block].mean(axis=(2, 3)), means[f"{block}_test"][:4], atol=2e-5
        )
    d1 = network.decode(features)
    np.testing.assert_allclose(d1.mean(axis=(2, 3)), means["d1_test"][:4], atol=2e-5)


def test_convolutions_are_correlations_with_zeros_around(network):
    image = np.random.default_rng(0).normal(size=(1, 8, 8)).astype(np.float32)
    stem = network._convolution("stem", image[:, None])[0]
    kernel = network.weights["stem.weight"][5, 0]
    expected = correlate(image[0], kernel, mode="same") + network.weights["stem.bias"][5]
    np.testing.assert_allclose(stem[5], expected, atol=1e-5)


def test_multiplications_are_those_of_the_layers(network):
    """Per pixel of a 32 x 32 image; the decoder's share is stated in the report."""
    counts = network.multiplications()
    assert counts["stem"] == 9 * 64
    assert counts["e1"] == 2 * 9 * 64 * 64
    assert counts["e2"] == (9 * 64 * 128 + 9 * 128 * 128 + 64 * 128) // 4
    assert counts["d1"] == 9 * 192 * 64 + 9 * 64 * 64 + 192 * 64


def test_pixels_hold_the_coarse_features_of_their_block(network):
    features = network.features(np.zeros((1, 8, 12)))
    values = pixels(features).reshape(8, 12, -1)
    np.testing.assert_array_equal(values[3, 6, 64:192], features["e2"][0, :, 1, 3])
    np.testing.assert_array_equal(values[3, 6, 192:], features["bottleneck"][0, :, 0, 1])
    np.testing.assert_array_equal(image_of(rows(features["e1"]), 8, 12), features["e1"])


def test_four_channels_become_the_four_pixels_of_one():
    """In the order of PyTorch's pixel_shuffle: row by row."""
    coarse = np.arange(2 * 8 * 3 * 5).reshape(2, 8, 3, 5)
    fine = shuffled(coarse)
    assert fine.shape == (2, 2, 6, 10)
    for channel, row, column in np.ndindex(2, 6, 10):
        source = 4 * channel + 2 * (row % 2) + column % 2
        np.testing.assert_array_equal(
            fine[:, channel, row, column], coarse[:, source, row // 2, column // 2]
        )


def test_edges_must_be_multiples_of_four(network):
    with pytest.raises(ValueError, match=r"\(1, 8, 10\)"):
        network.features(np.zeros((1, 8, 10)))


def test_measured_moments_come_back_from_their_file(network, tmp_path):
    images = digits().train[:9]
    measured = DecoderMoments.measure(network, images, 0.1, 1)
    measured.save(tmp_path)
    again = DecoderMoments.load(tmp_path)
    assert again.moments.count == measured.moments.count == 9 * 32 * 32
    assert again.ridge == measured.ridge and again.provenance["images"] == 9
    np.testing.assert_allclose(again.moments.gram, measured.moments.gram, rtol=1e-5, atol=1e-5)


def test_the_committed_moments_are_of_all_training_images():
    measured = DecoderMoments.load()
    assert measured.provenance["images"] == 1733
    assert measured.moments.gram.shape == (448, 448)
    assert (DEFAULT_MODEL / MOMENTS_FILE).stat().st_size < 1 << 20


@pytest.mark.parametrize("content", [None, b"", b"0" * 100])
def test_missing_and_damaged_moments_say_what_to_do(tmp_path, content):
    if content is not None:
        (tmp_path / MOMENTS_FILE).write_bytes(content)
    with pytest.raises(ModelFileError, match="--refit"):
        DecoderMoments.load(tmp_path)


def test_other_networks_are_refused_by_their_layers(tmp_path):
    from safetensors.numpy import save_file

    save_file({"stem.weight": np.zeros((4, 1, 3, 3), np.float32)}, tmp_path / "net.safetensors")
    with pytest.raises(ModelFileError, match=r"no layer stem\.bias"):
        Network.load(tmp_path / "net.safetensors")


def test_skips_are_in_the_order_of_resolution():
    assert SKIPS == ("e1", "e2", "bottleneck")

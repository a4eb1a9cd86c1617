# SPDX-License-Identifier: Apache-2.0
import re
import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from ornstein.host.devices.device import open_device
from ornstein.host.models.diffusion import (
    COUPLING_FILE,
    DECODERS,
    HELD_OUT,
    RANKS,
    SIDE,
    SUBSTRATE,
    UNET,
    Diffusion,
    centred,
    diffusion_digits,
    trained_model,
)
from ornstein.host.models.model_file import WEIGHTS_FILE, ModelFileError
from ornstein.host.models.noise_levels import noise_levels
from ornstein.host.physics.alignment import STRENGTH
from ornstein.sim.energy import EnergyError


@pytest.fixture(scope="module")
def model():
    return Diffusion.load(trained_model(SUBSTRATE, 16))


@pytest.fixture
def copy(tmp_path):
    """A folder with the files of the model of rank 16, which a test may change."""
    return shutil.copytree(trained_model(SUBSTRATE, 16), tmp_path / "model")


@pytest.mark.parametrize("rank", RANKS)
def test_the_couplings_of_the_package_keep_their_bound(rank):
    """All S are at most STRENGTH, so M has eigenvalues 2 j2 (1 +- S)."""
    coupling = Diffusion.load(trained_model(SUBSTRATE, rank)).coupling
    assert coupling.rank == rank
    assert coupling.strengths.max() == pytest.approx(STRENGTH, rel=1e-5)
    energy = coupling.problem.energy
    assert energy.eigenvalues()[0] == pytest.approx(2 * energy.j2 * (1 - STRENGTH), rel=1e-4)
    identity = np.eye(rank)
    for modes in (coupling.encoder_modes, coupling.decoder_modes):
        np.testing.assert_allclose(modes.T @ modes, identity, atol=1e-5)


def test_the_decoder_relaxes_to_the_equilibrium_of_its_training(model):
    """y = gain V S / (1 - S^2) U' x + offset, from the derivation of docs/physics.md."""
    coupling = model.coupling
    features = model.features(centred(diffusion_digits().test[:1]), 0.5)
    standard = (coupling.inputs(features) - coupling.centre) / coupling.deviation
    strengths = coupling.strengths / (1 - coupling.strengths**2)
    means = standard @ coupling.encoder_modes * strengths @ coupling.decoder_modes.T
    expected = coupling.as_features(means * coupling.gain + coupling.offset, SIDE, SIDE)
    with open_device("float:exact") as device:
        device.load(coupling.program_for(_reference(), features))
        found, clipped = coupling.relax(device, features, seed=1)
    assert clipped == 0
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("decoder", DECODERS)
def test_a_model_removes_noise_at_every_level(decoder):
    """Better than the best constant: the mean of the training digits."""
    model = Diffusion.load(trained_model(decoder, 16))
    digits = diffusion_digits()
    clean, mean = centred(digits.test[:32]), centred(digits.train).mean(axis=0)
    rng = np.random.default_rng(0)
    for sigma in noise_levels(4):
        noisy = clean + sigma * rng.standard_normal(clean.shape)
        found = model.denoise(noisy, sigma, lambda f, c: _decoded(model, f, c))
        error = np.mean((found - clean) ** 2)
        assert error < np.mean((mean - clean) ** 2)
        assert error < np.mean((noisy - clean) ** 2)


def test_the_held_out_digits_are_those_of_the_images_experiment():
    from ornstein.host.experiments.images.digits import load_images

    digits, small = diffusion_digits(), load_images()
    assert digits.test.shape == (HELD_OUT, SIDE, SIDE)
    np.testing.assert_array_equal(digits.test_labels, small.test_labels)
    np.testing.assert_array_equal(digits.train_labels, small.train_labels)


def test_a_rank_that_was_not_trained_says_how_to_train_it():
    with pytest.raises(ModelFileError, match="--rank 7"):
        trained_model(SUBSTRATE, 7)


@pytest.mark.parametrize("layer", ["e2.shift.bias", "bottleneck2.conv1.weight"])
def test_a_missing_layer_is_named(copy, layer):
    arrays = load_file(copy / WEIGHTS_FILE)
    del arrays[layer]
    save_file(arrays, copy / WEIGHTS_FILE)
    with pytest.raises(ModelFileError, match=f"no layer {re.escape(layer)}"):
        Diffusion.load(copy)


def test_the_second_block_at_quarter_resolution_gives_features_at_half(model):
    features = model.features(centred(diffusion_digits().test[:1]), 0.5)
    assert model.network.encoders == {"e1": 32, "e2": 64, "bottleneck": 32}
    assert {block: values.shape[1:] for block, values in features.items()} == {
        "e1": (32, SIDE, SIDE),
        "e2": (64, SIDE // 2, SIDE // 2),
        "bottleneck": (32, SIDE // 2, SIDE // 2),
    }


@pytest.mark.parametrize("name", ["strengths", "gain"])
def test_a_missing_or_misshapen_array_of_the_coupling_is_named(copy, name):
    arrays = load_file(copy / COUPLING_FILE)
    kept = arrays.pop(name)
    save_file(arrays, copy / COUPLING_FILE)
    with pytest.raises(ModelFileError, match=f"no array {name}"):
        Diffusion.load(copy)
    save_file({**arrays, name: np.concatenate([kept, kept])}, copy / COUPLING_FILE)
    with pytest.raises(ModelFileError, match=r"has shape"):
        Diffusion.load(copy)


def test_strengths_that_reach_one_are_refused(copy):
    arrays = load_file(copy / COUPLING_FILE)
    arrays["strengths"][0] = 1.01
    save_file(arrays, copy / COUPLING_FILE)
    with pytest.raises(EnergyError, match="not positive definite"):
        Diffusion.load(copy)


def test_the_unet_has_its_own_decoder():
    assert Diffusion.load(trained_model(UNET)).coupling is None


def _reference():
    from ornstein.hdl.config import preset

    return preset("reference")


def _decoded(model, features, condition):
    """The network's own decoder, or the equilibrium of its substrate."""
    if model.coupling is None:
        return model.network.decode(features, condition)
    with open_device("float:exact") as device:
        device.load(model.coupling.program_for(_reference(), features))
        return model.coupling.relax(device, features, seed=1)[0]

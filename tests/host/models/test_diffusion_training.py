# SPDX-License-Identifier: Apache-2.0
"""Training through the substrate's equilibrium, repeatable, and read back without PyTorch."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from ornstein.host.models.data import Images  # noqa: E402
from ornstein.host.models.diffusion import DECODERS, SUBSTRATE, UNET, Diffusion  # noqa: E402
from ornstein.host.models.diffusion_training import Equilibrium, save, train  # noqa: E402
from ornstein.host.models.noise_levels import Preconditioning, noise_features  # noqa: E402
from ornstein.host.physics.alignment import STRENGTH  # noqa: E402

BASE = 8


@pytest.fixture
def images():
    values = np.random.default_rng(0).uniform(size=(14, 8, 8))
    return Images("random", values[:8], values[8:], np.zeros(8, int), np.zeros(6, int))


@pytest.mark.parametrize("decoder", DECODERS)
def test_two_epochs_repeat_and_report(images, decoder):
    seen = []
    first, losses = train(
        images, decoder, 4, BASE, 2, batch=4, seed=1, progress=lambda *step: seen.append(step)
    )
    again, _ = train(images, decoder, 4, BASE, 2, batch=4, seed=1)
    assert seen == list(zip((1, 2), losses, strict=True))
    pairs = zip(first.state_dict().values(), again.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_every_coupling_keeps_its_bound():
    """Whatever the factors are, the largest singular value is STRENGTH."""
    torch.manual_seed(0)
    layer = Equilibrium((8, 16, 32), 8, 4)
    for size in (1e-3, 1.0, 1e3):
        layer.encoder_factor.data = size * torch.randn_like(layer.encoder_factor)
        values = torch.linalg.svdvals(layer.coupling())
        assert values[0].item() == pytest.approx(STRENGTH, rel=1e-5)
        assert values[4:].max().item() < 1e-6


def test_training_changes_the_coupling(images):
    untrained, _ = train(images, SUBSTRATE, 4, BASE, 1, batch=8, rate=1e-12)
    trained, _ = train(images, SUBSTRATE, 4, BASE, 2, batch=4)
    change = trained.decoder.coupling() - untrained.decoder.coupling()
    assert change.abs().max().item() > 1e-3


@pytest.mark.parametrize("decoder", DECODERS)
def test_what_is_read_back_answers_as_what_was_trained(images, decoder, tmp_path):
    """NumPy on the host, with the equilibrium in closed form, equals PyTorch.

    The weights of the network are rounded to float16 for both.
    """
    net, losses = train(images, decoder, 4, BASE, 2, batch=4)
    save(tmp_path, net, images, losses, 0, "ornstein train --decoder")
    model = Diffusion.load(tmp_path)
    assert model.provenance["losses"] == pytest.approx(losses, abs=1e-5)
    assert model.provenance["decoder"] == decoder
    rounded = {
        name: value if name.startswith("decoder.") else value.half().float()
        for name, value in net.state_dict().items()
    }
    net.load_state_dict(rounded)
    noisy, sigma = np.random.default_rng(1).normal(size=(2, 8, 8)).astype(np.float32), 0.7
    scales = Preconditioning(0.64)
    with torch.no_grad():
        scaled = torch.from_numpy(scales.input(sigma) * noisy).float().unsqueeze(1)
        output = net(scaled, torch.from_numpy(noise_features(np.full(2, sigma))))[:, 0].numpy()
    expected = scales.skip(sigma) * noisy + scales.output(sigma) * output

    def decode(features, condition):
        if model.coupling is None:
            return model.network.decode(features, condition)
        return closed_form(model.coupling, features)

    np.testing.assert_allclose(model.denoise(noisy, sigma, decode), expected, atol=2e-4)
    assert (model.coupling is None) == (decoder == UNET)


def closed_form(coupling, features):
    standard = (coupling.inputs(features) - coupling.centre) / coupling.deviation
    strengths = coupling.strengths / (1 - coupling.strengths**2)
    means = standard @ coupling.encoder_modes * strengths @ coupling.decoder_modes.T
    height, width = features["e1"].shape[2:]
    return coupling.as_features(means * coupling.gain + coupling.offset, height, width)

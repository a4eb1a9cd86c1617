# SPDX-License-Identifier: Apache-2.0
"""The U-Net: topology, repeatable training and files that are read back without PyTorch."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from ornstein.host.models.data import Images  # noqa: E402
from ornstein.host.models.model_file import TrainedModel  # noqa: E402
from ornstein.host.models.unet import STAGES, UNet, activations, save_model, train  # noqa: E402

SIGMA = 0.1


@pytest.fixture
def images():
    values = np.random.default_rng(0).uniform(size=(14, 8, 8))
    return Images("random", values[:8], values[8:], np.zeros(8, int), np.zeros(6, int))


def test_topology():
    net = UNet(base=8)
    noisy = torch.zeros(2, 1, 16, 16)
    shapes = {stage: tuple(value.shape) for stage, value in net.stages(noisy).items()}
    assert shapes == {
        "e1": (2, 8, 16, 16),
        "e2": (2, 16, 8, 8),
        "d2": (2, 16, 8, 8),
        "d1": (2, 8, 16, 16),
    }
    assert net(noisy).shape == noisy.shape
    assert net.d1.conv1.weight.shape == (8, 24, 3, 3)


def test_training_reports_progress_and_repeats(images):
    seen = []
    first, losses = train(
        images, SIGMA, base=8, epochs=3, batch=4, seed=1, progress=lambda *step: seen.append(step)
    )
    again, _ = train(images, SIGMA, base=8, epochs=3, batch=4, seed=1)
    assert seen == list(zip((1, 2, 3), losses, strict=True))
    assert losses[-1] < losses[0]
    assert all(
        torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True)
    )


def test_activations_are_spatial_means(images):
    kept = activations(UNet(base=8), images.test, SIGMA, seed=0, batch=4)
    assert {stage: value.shape for stage, value in kept.items()} == {
        s: (6, 8 if "1" in s else 16) for s in STAGES
    }


def test_saved_model_is_read_back_with_its_provenance(images, tmp_path):
    net, losses = train(images, SIGMA, base=8, epochs=1, batch=4)
    save_model(tmp_path, net, images, SIGMA, losses, seed=0, command="ornstein train --base 8")
    model = TrainedModel.load(tmp_path)
    assert np.array_equal(model.W_enc, net.e1.conv1.weight.detach().numpy())
    assert model.y_train.shape == (8, 8) and model.x_test.shape == (6, 8)
    assert model.provenance["command"] == "ornstein train --base 8"
    assert model.provenance["epochs"] == 1 and model.provenance["losses"][0] == pytest.approx(
        losses[0], abs=1e-6
    )

# SPDX-License-Identifier: Apache-2.0
"""The file of trained parameters."""

import numpy as np
import pytest

from ornstein.host.experiments.images import denoiser
from ornstein.host.experiments.images import parameters as trained
from ornstein.host.experiments.images.parameters import (
    HIDDEN,
    KINDS,
    QUADRATIC,
    QUARTIC,
    SIGMAS,
    Parameters,
)
from ornstein.host.models.model_file import ModelFileError


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


def test_training_goes_from_kind_to_kind_and_reports_each(digits, monkeypatch):
    """Two steps of each: hidden units are added to what the quartic substrate has learned."""
    monkeypatch.setattr(trained, "STEPS", dict.fromkeys(KINDS, 2))
    sizes = []
    perceptron = object()

    def train_perceptron(images, sigma, parameters):
        sizes.append(parameters)
        return perceptron

    monkeypatch.setattr(trained, "train_perceptron", train_perceptron)
    told = []
    found = trained.train_all(digits, lambda *what: told.append(what))
    for sigma in SIGMAS:
        quartic, hidden = found.denoisers[QUARTIC, sigma], found.denoisers[HIDDEN, sigma]
        assert quartic.j4 == hidden.j4 == denoiser.J4 and found.denoisers[QUADRATIC, sigma].j4 == 0
        assert hidden.hidden == 64 and quartic.hidden == 0
        near = np.abs(hidden.factor[:64] - quartic.factor).max()
        assert near < 0.2 * np.abs(quartic.factor).max()
        assert (f"{QUARTIC}, sigma {sigma}", 2, 2) in told
    assert sizes == [
        found.denoisers[kind, sigma].parameters for kind in KINDS[1:] for sigma in SIGMAS
    ]
    assert set(found.perceptrons) == {(kind, sigma) for kind in KINDS[1:] for sigma in SIGMAS}
    assert found.provenance["images"] == len(digits.train) and told[-1] == ("generator", 1, 1)

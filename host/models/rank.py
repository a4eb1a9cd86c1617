# SPDX-License-Identifier: Apache-2.0
"""The rank that a skip's activations ask for."""

from ornstein.host.models.model_file import Activations
from ornstein.host.physics.moments import Moments
from ornstein.host.physics.regression import validated_rank


def choose_rank(model: Activations) -> int:
    """Returns the rank that the training activations ask for."""
    moments = Moments.of(model.x_train, model.y_train)
    inputs = (model.x_train - moments.x_mean) / moments.x_deviation
    return validated_rank(inputs, model.y_train - moments.y_mean)


def full_rank(model: Activations) -> int:
    """Returns the rank that no linear map between both sides exceeds."""
    return min(model.x_train.shape[1], model.y_train.shape[1])

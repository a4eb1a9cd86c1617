# SPDX-License-Identifier: Apache-2.0
"""The skips that a command is given by --model, --skip and --activations."""

from pathlib import Path

from ornstein.host.models.model_file import TrainedModel, load_skips
from ornstein.host.models.tensor_files import ModelFileError


def one_skip(model: Path, skips: list[str] | None, activations: list[Path] | None) -> TrainedModel:
    """Returns the skip of a command that takes one. Raises ModelFileError."""
    found = load_skips(model, skips or (), activations or ())
    if len(found) > 1:
        raise ModelFileError(
            f"this command takes one skip, not {len(found)}; ornstein hierarchy and ornstein score "
            "take several"
        )
    return found[0]

# SPDX-License-Identifier: Apache-2.0
"""The skips that a command is given by --model, --skip and --activations."""

from pathlib import Path

from ornstein.host.cli.app import errors
from ornstein.host.models.model_file import TrainedModel, load_skips, without_outliers
from ornstein.host.models.tensor_files import ModelFileError
from ornstein.host.physics.outliers import RATIO


def one_skip(model: Path, skips: list[str] | None, activations: list[Path] | None) -> TrainedModel:
    """Returns the skip of a command that takes one, without outliers among its training samples.

    It warns if there were any. Raises ModelFileError.
    """
    found = load_skips(model, skips or (), activations or ())
    if len(found) > 1:
        raise ModelFileError(
            f"this command takes one skip, not {len(found)}; ornstein hierarchy and ornstein score "
            "take several"
        )
    kept = without_outliers(found[0])
    count, total = (len(one.x_train) for one in (kept, found[0]))
    if count < total:
        errors.print(
            f"warning: {total - count} of {total:,} training samples reach more than {RATIO:g} "
            "times as far as the rest; fit and ranges leave them out",
            soft_wrap=True,
        )
    return kept

# SPDX-License-Identifier: Apache-2.0
"""The error of learning, in a module that loads nothing else."""


class LearningError(RuntimeError):
    """Learning that cannot begin, go on or be resumed; one line."""

# SPDX-License-Identifier: Apache-2.0
"""A schedule in physical units: the stages of a relaxation, and the integrators."""

from dataclasses import dataclass

LM, EM = "lm", "em"
"""Leimkuhler-Matthews and Euler-Maruyama."""


@dataclass(frozen=True)
class Stage:
    """A stretch of the schedule: ``steps`` time steps at temperature ``kT``.

    ``accumulate`` averages the states of this stage, ``thin`` = n > 0 streams every n-th state to
    the host. ``energy`` and ``bias`` choose among the problem's energies and the input's bias sets.
    """

    steps: int
    kT: float = 0.0
    accumulate: bool = False
    thin: int = 0
    energy: int = 0
    bias: int = 0

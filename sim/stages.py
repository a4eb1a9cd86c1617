# SPDX-License-Identifier: Apache-2.0
"""A schedule in physical units: the stages of a relaxation, and the integrators."""

from dataclasses import dataclass

LM, EM = "lm", "em"
"""The integrators Leimkuhler-Matthews and Euler-Maruyama."""


@dataclass(frozen=True)
class Stage:
    """A part of the schedule: time steps at one temperature.

    Attributes
    ----------
    steps : number of time steps, at least 1
    kT : temperature, in units of the energy
    accumulate : average the states of this stage
    thin : stream every ``thin``-th state to the host; 0 streams none
    energy : index of the energy, among those of the problem
    bias : index of the bias set, among those of an input
    halvings : how often the time step is halved in this stage
    """

    steps: int
    kT: float = 0.0
    accumulate: bool = False
    thin: int = 0
    energy: int = 0
    bias: int = 0
    halvings: int = 0

    def time_step(self, dt: float) -> float:
        """The time step of this stage, where that of the problem is ``dt``."""
        return dt / (1 << self.halvings)

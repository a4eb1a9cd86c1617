# SPDX-License-Identifier: Apache-2.0
"""Runs every program twice: on the device, and in float64 before any number format."""

from collections.abc import Callable

import numpy as np

from ornstein.host.experiments.common import Progress, Run, Runner
from ornstein.host.physics.problem import Problem


class TwoRunners:
    """Runs a problem on the device and in float64.

    Attributes
    ----------
    device, exact : the runners of the device and of float64
    """

    def __init__(self, device: Runner, exact: Runner, progress: Progress | None):
        self.device, self.exact = device, exact
        self._progress = progress or (lambda what, done, total: None)

    def __call__(
        self, what: str, problem: Problem, inputs: np.ndarray, calibration: np.ndarray
    ) -> tuple[Run, np.ndarray]:
        """Returns the device's run and the answers (n, 64) of float64.

        Parameters
        ----------
        what : name of the run for the progress report
        inputs, calibration : (n, input_size), (m, input_size)
        """
        run = self.device.run(problem, inputs, calibration, self._counter(what, len(inputs)))
        return run, self.exact.run(problem, inputs, calibration).answers

    def _counter(self, what: str, total: int) -> Callable[[int], None]:
        """Returns a function that reports progress and is told how many more inputs are done."""
        done = 0

        def advance(count: int) -> None:
            nonlocal done
            done += count
            self._progress(what, done, total)

        return advance

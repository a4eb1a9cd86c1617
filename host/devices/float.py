# SPDX-License-Identifier: Apache-2.0
"""The float reference as a device: the float program itself, before any number format."""

from collections.abc import Iterable, Iterator

import numpy as np

from ornstein.host.compile.program import Program
from ornstein.host.devices.device import Device, Outputs, checked_seed
from ornstein.host.physics.problem import STATE
from ornstein.sim.reference import relax


class FloatDevice(Device):
    """float64 Langevin dynamics, or with ``exact`` the closed form that it averages to (harmonic
    energies only).
    """

    def __init__(self, uri: str = "float", *, exact: bool = False):
        super().__init__()
        self.uri, self.config = uri, None
        self._exact = exact

    def load(self, program: Program) -> None:
        self.program = program

    def verify(self) -> int:
        self._loaded()
        return 0

    def stream(
        self, blocks: Iterable[np.ndarray], *, seed: int = 1, warm: bool = False
    ) -> Iterator[Outputs]:
        program = self._loaded()
        problem = program.problem
        rng = np.random.default_rng(checked_seed(seed))
        last = None
        for block in blocks:
            program.quantize(block)  # the same inputs are refused as by every other device
            if not len(block):
                continue
            biases = problem.biases(np.asarray(block, float))
            if self._exact:
                stage = [stage for stage in problem.stages if stage.accumulate][-1]
                mean = problem.energy.mean(biases[:, stage.bias])
                spread = problem.energy.covariance(stage.kT).diagonal()
                yield Outputs(
                    mean=mean,
                    second=mean**2 + spread,
                    samples=np.zeros((len(mean), 0, mean.shape[1])),
                )
                continue
            initial = np.zeros((len(block), problem.energies[0].units))
            if problem.entry == STATE:
                initial = np.asarray(block, float)
            if not warm:
                result = relax(
                    problem.energies,
                    biases,
                    problem.stages,
                    dt=problem.dt,
                    integrator=problem.integrator,
                    initial=initial,
                    rng=rng,
                )
                yield Outputs(mean=result.mean, second=result.second, samples=result.samples)
                continue
            parts = []
            for row in range(len(block)):
                start = initial[row : row + 1] if last is None else last
                result = relax(
                    problem.energies,
                    biases[row : row + 1],
                    problem.stages,
                    dt=problem.dt,
                    integrator=problem.integrator,
                    initial=start,
                    rng=rng,
                )
                last = result.final
                parts.append(
                    Outputs(mean=result.mean, second=result.second, samples=result.samples)
                )
            yield Outputs.join(parts)

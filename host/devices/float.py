# SPDX-License-Identifier: Apache-2.0
"""The float reference as a device: the float program itself, in float64.

Of the fabric's number formats only the realised time step enters, so that both take the same steps.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from ornstein.host.compile.program import EncodedInputs, Program
from ornstein.host.devices.device import Device, Outputs, Selection
from ornstein.host.devices.jobs import seed_words
from ornstein.host.physics.problem import STATE, Problem
from ornstein.sim.reference import NormalSource, Trajectory, relax

_DRAWN_AT_ONCE = 32
"""Steps for which each input's normals are drawn at once, since a draw of few is slow."""


NoiseMaker = Callable[[np.random.Generator], NormalSource]
"""Makes the noise of one input from its generator."""


class FloatDevice(Device):
    """float64 Langevin dynamics, or with ``exact`` the closed form that it averages to.

    See :class:`ornstein.host.devices.device.Device`. All counters are None. The closed form exists
    for harmonic energies only; others raise EnergyError. ``source`` makes each input's noise from a
    generator; by default it is the generator's own, which is white.
    """

    def __init__(
        self, uri: str = "float", *, exact: bool = False, source: NoiseMaker | None = None
    ):
        super().__init__()
        self.uri, self.config = uri, None
        self._exact, self.warm_start = exact, not exact
        self._source = source
        self._states = np.zeros((0, 0))  # (chains, units) in which the last run left the chains

    def _load(self, program: Program) -> None:
        self._states = np.zeros((program.layout.chains, program.problem.energies[0].units))

    def _update(self, program: Program, changed: np.ndarray) -> None:
        """Does nothing: the next run takes the energies of the program."""

    def verify(self) -> int:
        """Returns 0: the program is used as it is, and there are no memories to read back."""
        self._loaded()
        return 0

    def _run_blocks(
        self,
        program: Program,
        blocks: Iterator[EncodedInputs],
        seed: int,
        warm: bool,
        selection: Selection,
    ) -> Iterator[Outputs]:
        first = 0
        for block in blocks:
            if not len(block):
                continue
            if self._exact:
                outputs = _closed_form(program.problem, block.values)
            else:
                outputs = self._relax(program, block.values, seed, first, warm)
            first += len(block)
            yield _selected(program, outputs, selection)

    def _relax(
        self, program: Program, values: np.ndarray, seed: int, first: int, warm: bool
    ) -> Outputs:
        """Returns the outputs of the dynamics for inputs (n, input_size).

        ``first`` is the number of inputs before them in the stream. Warm inputs run as many at once
        as there are chains, each from its chain's last state.
        """
        problem, chains = program.problem, len(self._states)
        size = chains if warm else len(values)
        parts = []
        for start in range(0, len(values), size):
            part = values[start : start + size]
            if warm:
                initial = self._states[: len(part)]
            elif problem.entry == STATE:
                initial = part
            else:
                initial = np.zeros((len(part), problem.energies[0].units))
            noise = _InputNoise(seed, first + start, len(part), self._source)
            result = _trajectory(problem, program.dt, part, initial, noise)
            last = np.arange(max(0, len(part) - chains), len(part))
            self._states[last % chains] = result.final[last]
            parts.append(Outputs(result.mean, result.second, result.samples))
        return Outputs.join(parts)


class _InputNoise:
    """Standard normals for the inputs ``first``, ``first + 1``, ... of a stream.

    Each input has its own generator, seeded with the stream's seed and the input's index, so that
    its noise does not depend on the inputs beside it.
    """

    def __init__(self, seed: int, first: int, count: int, source: NoiseMaker | None = None):
        generators = [np.random.default_rng(seed_words(seed, first + row)) for row in range(count)]
        self._sources: Sequence[NormalSource] = [*map(source, generators)] if source else generators
        self._at_once = 1 if source else _DRAWN_AT_ONCE  # other noise depends on earlier steps
        self._drawn = np.zeros((0, count))
        self._used = 0

    def standard_normal(self, shape: tuple[int, ...]) -> np.ndarray:
        """Returns the next normals (inputs, ...); all calls must ask for the same shape."""
        if self._used == len(self._drawn):
            size = (self._at_once, *shape[1:])
            drawn = [source.standard_normal(size) for source in self._sources]
            self._drawn, self._used = np.stack(drawn, axis=1), 0
        self._used += 1
        return self._drawn[self._used - 1]


def _trajectory(
    problem: Problem, dt: float, values: np.ndarray, initial: np.ndarray, noise: _InputNoise
) -> Trajectory:
    """Relaxes inputs (n, input_size) from states (n, units) in steps of ``dt``."""
    # The added axis of length one makes the products with M separate for each input. Otherwise
    # their rounding would depend on the number of inputs that are relaxed together.
    result = relax(
        problem.energies,
        problem.biases(values)[:, :, None],
        problem.stages,
        dt=dt,
        integrator=problem.integrator,
        initial=initial[:, None],
        rng=noise,
    )
    count, units = initial.shape
    return Trajectory(
        mean=result.mean[:, 0],
        second=result.second[:, 0],
        samples=result.samples.reshape(count, -1, units),
        final=result.final[:, 0],
    )


def _closed_form(problem: Problem, values: np.ndarray) -> Outputs:
    """Returns the exact mean and second moment of the last stage that accumulates."""
    stage = [stage for stage in problem.stages if stage.accumulate][-1]
    biases = problem.biases(values)[:, stage.bias]
    # one solution per input, so that its rounding does not depend on the inputs beside it
    mean = np.concatenate([problem.energy.mean(bias[None]) for bias in biases])
    variance = problem.energy.covariance(stage.kT).diagonal()
    return Outputs(mean, mean**2 + variance, np.zeros((len(mean), 0, mean.shape[1])))


def _selected(program: Program, outputs: Outputs, selection: Selection) -> Outputs:
    """Returns the selected part of outputs of all units."""
    units = selection.units(program)
    samples = outputs.samples if selection.samples else outputs.samples[:, :0]
    second = outputs.second if selection.second else None
    return replace(
        outputs,
        mean=outputs.mean[:, units],
        second=None if second is None else second[:, units],
        samples=samples[..., units],
        selection=selection,
    )

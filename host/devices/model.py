# SPDX-License-Identifier: Apache-2.0
"""The integer model as a device: many jobs side by side, bit for bit what the gateware would
answer.
"""

from collections.abc import Iterable, Iterator

import numpy as np

from ornstein.hdl.config import FabricConfig
from ornstein.host.compile.program import Program
from ornstein.host.devices.device import Device, Outputs, job_seeds, scaled_outputs
from ornstein.sim.model import FabricModel


class ModelDevice(Device):
    """See :class:`ornstein.host.devices.device.Device`. ``cycles`` is None: the model has no clock."""

    def __init__(self, config: FabricConfig, uri: str = "model"):
        super().__init__()
        self.uri, self.config = uri, config
        self._model = FabricModel(config)

    def load(self, program: Program) -> None:
        program.check_fits(self.config)
        model, layout = self._model, program.layout
        model.factor[: len(program.factor)] = program.factor
        model.drive[layout.constant_word : layout.constant_word + len(program.constants)] = (
            program.constants
        )
        model.descriptors[: len(program.descriptors)] = program.descriptors
        model.activation[:] = program.activation
        model.bank_offset = layout.bank_offset
        self.program = program

    def verify(self) -> int:
        program = self._loaded()
        return (
            program.factor.size
            + program.constants.size
            + program.descriptors.size
            + program.activation.size
        )

    def stream(
        self, blocks: Iterable[np.ndarray], *, seed: int = 1, warm: bool = False
    ) -> Iterator[Outputs]:
        program = self._loaded()
        layout, units = program.layout, self.config.unit_lanes
        self._model.counters = dict.fromkeys(self._model.counters, 0)
        done = 0
        for block in blocks:
            words = program.quantize(block)
            count = len(words)
            if not count:
                continue
            jobs = -(-count // layout.chains)
            padded = np.zeros((jobs * layout.chains, layout.input_words, units), np.int16)
            padded[:count] = words
            inputs = padded.reshape(jobs, layout.chains * layout.input_words, units)
            seeds = np.stack([job_seeds(seed, done + job, units) for job in range(jobs)])
            # one after the other if each starts where the last one stopped, else side by side
            groups = [slice(job, job + 1) for job in range(jobs)] if warm else [slice(0, jobs)]
            rows = [
                self._model.run(
                    layout.first_level + warm,
                    layout.levels - warm,
                    seeds=seeds[group],
                    inputs=inputs[group],
                    input_word=layout.input_word,
                )
                for group in groups
            ]
            done += jobs
            sums, squares = (
                self._chains(np.concatenate([getattr(row, name) for row in rows]))[:count]
                for name in ("sums", "squares")
            )
            samples = np.concatenate([row.samples for row in rows])
            yield scaled_outputs(
                program,
                sums,
                squares if self.config.second_moment else None,
                split_samples(program, samples)[:count],
                {"cycles": None, **self._model.counters},
            )

    def _chains(self, memory: np.ndarray) -> np.ndarray:
        """(inputs, units) of sums (jobs, state_depth, unit_lanes)."""
        layout = self.program.layout
        words = memory[:, : layout.chains * layout.state_words]
        return self.program.units(words.reshape(-1, layout.state_words, self.config.unit_lanes))


def split_samples(program: Program, words: np.ndarray) -> np.ndarray:
    """(inputs, kept, units) of sampled words (jobs, words, unit_lanes), which come step by step,
    chain by chain.
    """
    layout = program.layout
    steps = layout.sampled_words // (layout.chains * layout.state_words)
    shaped = words.reshape(
        len(words), steps, layout.chains, layout.state_words, words.shape[-1]
    ).swapaxes(1, 2)
    return program.units(shaped).reshape(
        len(words) * layout.chains, steps, program.problem.energies[0].units
    )

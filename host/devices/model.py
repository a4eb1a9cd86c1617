# SPDX-License-Identifier: Apache-2.0
"""The integer model as a device: bit for bit what the gateware answers."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from ornstein.hdl.config import FabricConfig
from ornstein.hdl.regmap import Control, Space
from ornstein.host.compile.program import EncodedInputs, Program
from ornstein.host.devices.device import Device, Outputs, Selection, scaled_outputs
from ornstein.host.devices.images import (
    activation_elements,
    compare_images,
    descriptor_elements,
)
from ornstein.host.devices.jobs import (
    Job,
    job_seeds,
    pack_jobs,
    unpack_samples,
    unpack_units,
)
from ornstein.sim.model import FabricModel, JobRows


class ModelDevice(Device):
    """See :class:`ornstein.host.devices.device.Device`. The counter ``cycles`` is None: the model
    has no clock.
    """

    config: FabricConfig

    def __init__(self, config: FabricConfig, uri: str = "model"):
        super().__init__()
        self.uri, self.config = uri, config
        self._model = FabricModel(config)

    def _load(self, program: Program) -> None:
        model, layout = self._model, program.layout
        model.state[:] = model.codes[:] = 0
        constants = slice(layout.constant_word, layout.constant_word + len(program.constants))
        model.factor[: len(program.factor)] = program.factor
        model.drive[constants] = program.constants
        model.descriptors[: len(program.descriptors)] = program.descriptors
        model.activation[:] = program.activation
        model.bank_offset = layout.bank_offset

    def _update(self, program: Program, changed: np.ndarray) -> None:
        self._model.factor[changed] = program.factor[changed]

    def verify(self) -> int:
        return compare_images(self.uri, self._loaded(), self._read)

    def _read(self, space: Space, start: int, count: int) -> np.ndarray:
        """Returns elements of the model's memories as a link returns those of a fabric."""
        model = self._model
        match space:
            case Space.FACTOR:
                memory = model.factor.ravel()
            case Space.DRIVE:
                memory = model.drive.ravel()
            case Space.DESCRIPTOR:
                memory = descriptor_elements(model.descriptors)
            case Space.ACTIVATION:
                memory = activation_elements(model.activation)
            case Space.CONTROL:
                memory = np.zeros(len(Control), np.int64)
                memory[Control.BANK_OFFSET] = model.bank_offset
            case _:
                raise ValueError(f"no program has an image of {space.name}")
        return memory[start : start + count]

    def _run_blocks(
        self,
        program: Program,
        blocks: Iterator[EncodedInputs],
        seed: int,
        warm: bool,
        selection: Selection,
    ) -> Iterator[Outputs]:
        self._model.counters = dict.fromkeys(self._model.counters, 0)
        done = 0
        for block in blocks:
            jobs = list(pack_jobs(program, block, done))
            if not jobs:
                continue
            done += len(jobs)
            # a warm job starts where the one before it stopped; cold jobs can run side by side
            batches = [[job] for job in jobs] if warm else [jobs]
            parts: list[Outputs] = []
            for batch in batches:
                rows = self._run_jobs(program, batch, seed, warm)
                count = sum(job.count for job in batch)
                parts.append(self._outputs(program, rows, count, selection))
            counters = {"cycles": None, **self._model.counters}
            yield replace(Outputs.join(parts), counters=counters)

    def _run_jobs(self, program: Program, jobs: list[Job], seed: int, warm: bool) -> JobRows:
        """Runs jobs side by side; a warm run has no level that sets the initial state."""
        layout = program.layout
        return self._model.run(
            layout.first_level + warm,
            layout.levels - warm,
            seeds=np.stack([job_seeds(seed, job.number, self.config.unit_lanes) for job in jobs]),
            inputs=np.stack([job.words for job in jobs]),
            input_word=layout.input_word,
        )

    def _outputs(
        self, program: Program, rows: JobRows, count: int, selection: Selection
    ) -> Outputs:
        """Returns the outputs of the inputs of consecutive jobs from the model's results."""
        units = selection.units(program)
        squares = samples = None
        if selection.second and self.config.second_moment:
            squares = unpack_units(program, rows.squares, count)[:, units]
        if selection.samples:
            samples = unpack_samples(program, rows.samples, count)[..., units]
        sums = unpack_units(program, rows.sums, count)[:, units]
        return scaled_outputs(program, sums, squares, samples, selection)

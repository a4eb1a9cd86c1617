# SPDX-License-Identifier: Apache-2.0
"""A fabric behind a link as a device: the simulated gateware and every board.

While one job relaxes, the inputs of the next one are loaded.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from ornstein.hdl.config import FabricConfig
from ornstein.hdl.regmap import Control, Event, Space, StartRegister, StatusRegister
from ornstein.host.compile.program import EncodedInputs, Program, job_issues
from ornstein.host.devices.device import (
    COUNTERS,
    Device,
    DeviceError,
    Outputs,
    Selection,
    scaled_outputs,
)
from ornstein.host.devices.images import compare_images, memory_images
from ornstein.host.devices.jobs import (
    Job,
    job_seeds,
    pack_jobs,
    unpack_samples,
    unpack_units,
)
from ornstein.host.devices.link import Link
from ornstein.sim.transport import Transport

_LOWEST_CLOCK = 20_000
"""Cycles per second below which a device counts as stuck; even an interpreted simulation is far
faster.
"""
_EXTRA_SECONDS = 10.0
"""Seconds that a wait may take besides the cycles of a job."""


class FabricDevice(Device):
    """See :class:`ornstein.host.devices.device.Device`.

    Parameters
    ----------
    transport : Transport; it is closed with the device, and if opening the device fails
    uri : the name by which the user opened the device
    timeout : seconds of silence after which the link repeats its requests

    Raises
    ------
    LinkError
        No fabric that this version can drive answers.
    """

    config: FabricConfig

    def __init__(self, transport: Transport, uri: str, *, timeout: float = 1.0):
        super().__init__()
        self.uri = uri
        self.link = Link(transport, timeout=timeout)
        try:
            self.config = self.link.identify()
            self.link.negotiate_baud()
            status = self._read_register(Control.STATUS)
        except BaseException:
            transport.close()
            raise
        self._tag = StatusRegister.from_bits(status).tag

    def close(self) -> None:
        super().close()
        self.link.close()

    def _load(self, program: Program) -> None:
        self.link.wait(Event.IDLE, _EXTRA_SECONDS)
        for image in memory_images(program):
            self.link.write(image.space, image.start, image.elements)

    def verify(self) -> int:
        return compare_images(self.uri, self._loaded(), self.link.read)

    def _run_blocks(
        self,
        program: Program,
        blocks: Iterator[EncodedInputs],
        seed: int,
        warm: bool,
        selection: Selection,
    ) -> Iterator[Outputs]:
        self.link.wait(Event.IDLE, self._deadline(program))
        self.link.write(Space.CONTROL, Control.CLEAR, [1])
        # a job that streams samples is read while it runs, so that none can be started behind it
        most_started = 1 if program.layout.sampled_words else 2
        started: deque[Job] = deque()
        parts: list[Outputs] = []  # of the block whose jobs are being read
        number = 0
        for block in blocks:
            for job in pack_jobs(program, block, number):
                self._start_job(program, job, seed, warm)
                started.append(job)
                number += 1
                if len(started) == most_started:
                    yield from self._finish_job(program, started, selection, parts)
        while started:
            yield from self._finish_job(program, started, selection, parts)

    def _start_job(self, program: Program, job: Job, seed: int, warm: bool) -> None:
        """Writes a job's inputs and starts it. The job before it may still run, none may wait."""
        layout, units = program.layout, self.config.unit_lanes
        word = layout.input_word + job.bank * layout.bank_offset
        self.link.write(Space.DRIVE, word * units, job.words.ravel())
        seeds = job_seeds(seed, job.number, units)
        self.start(layout.first_level + warm, layout.levels - warm, seeds, bank=job.bank)

    def start(self, first: int, levels: int, seeds: np.ndarray, *, bank: int = 0) -> None:
        """Starts a job of ``levels`` levels from descriptor ``first`` on.

        ``seeds`` (unit_lanes,) uint64 are the states from which the noise generators start.
        """
        halves = np.stack([seeds & np.uint64(0xFFFFFFFF), seeds >> np.uint64(32)], axis=1)
        self.link.write(Space.SEED, 0, halves.ravel().astype(np.int64))
        tags = 1 << StartRegister.as_shape()["tag"].width
        self._tag = self._tag % (tags - 1) + 1
        job = StartRegister.const(
            {"first": first, "levels": levels, "reseed": 1, "bank": bank, "tag": self._tag}
        )
        self.link.write(Space.CONTROL, Control.START, [job.as_bits()])

    def _finish_job(
        self,
        program: Program,
        started: deque[Job],
        selection: Selection,
        parts: list[Outputs],
    ) -> Iterator[Outputs]:
        """Waits for the oldest job and reads it; with the last job of a block, yields the block's
        outputs.
        """
        job = started.popleft()
        samples = None
        if program.layout.sampled_words:
            samples = self._take_samples(program, job.count, selection)
        # behind a running job another one waits, so that the queue has room once the first is done
        event = Event.ROOM if started else Event.IDLE
        self.link.wait(event, self._deadline(program))
        parts.append(self._read_job(program, job, selection, samples))
        if not job.following:
            yield replace(Outputs.join(parts), counters=self._read_counters())
            parts.clear()

    def _read_job(
        self, program: Program, job: Job, selection: Selection, samples: np.ndarray | None
    ) -> Outputs:
        squares = None
        if selection.second and self.config.second_moment:
            squares = self._read_units(program, Space.SQUARE, job, selection)
        sums = self._read_units(program, Space.SUM, job, selection)
        return scaled_outputs(program, sums, squares, samples, selection)

    def _read_units(
        self, program: Program, space: Space, job: Job, selection: Selection
    ) -> np.ndarray:
        """Returns (count, units) of a job's sums or squares; only selected units are read."""
        layout, lanes = program.layout, self.config.unit_lanes
        start = job.bank * self.config.state_depth * lanes
        if selection.module is None:
            elements = self.link.read(space, start, job.count * layout.state_words * lanes)
            return unpack_units(program, elements.reshape(-1, lanes), job.count)
        names = [module.name for module in program.problem.energies[0].modules]
        first_word, length = layout.module_parts[names.index(selection.module)]
        words = np.arange(job.count) * layout.state_words + first_word
        return self.link.read_ranges(space, start + words * lanes, length)

    def _read_counters(self) -> dict[str, int | None]:
        values = self.link.read(Space.CONTROL, Control.CYCLES, len(COUNTERS))
        return dict(zip(COUNTERS, map(int, values), strict=True))

    def _take_samples(
        self, program: Program, count: int, selection: Selection
    ) -> np.ndarray | None:
        """Takes all words that the running job streams from the ring, while the job runs.

        Returns the samples (count, kept, units), or None where they are not selected: their words
        are then released without being read.
        """
        units, depth = self.config.unit_lanes, self.config.sample_depth
        wanted = program.layout.sampled_words
        words = np.zeros((wanted, units), np.int64)
        taken = self._read_register(Control.TAKEN)
        got = 0
        while got < wanted:
            if not self._samples_waiting(taken):
                self.link.wait(Event.IDLE | Event.SAMPLES, self._deadline(program))
            available = min(self._samples_waiting(taken), wanted - got)
            if not available:
                raise DeviceError(
                    f"device {self.uri!r} finished a job after {got} of {wanted} sampled words; "
                    "load the program again"
                )
            first = taken % depth
            available = min(available, depth - first)
            if selection.samples:
                elements = self.link.read(Space.SAMPLE, first * units, available * units)
                words[got : got + available] = elements.reshape(-1, units)
            got += available
            taken = taken + available & 0xFFFFFFFF
            self.link.write(Space.CONTROL, Control.TAKEN, [taken])
        if not selection.samples:
            return None
        return unpack_samples(program, words, count)[..., selection.units(program)]

    def _samples_waiting(self, taken: int) -> int:
        """Returns the number of words in the ring after ``taken`` words have been taken."""
        return self._read_register(Control.SAMPLES) - taken & 0xFFFFFFFF

    def _read_register(self, register: Control) -> int:
        return int(self.link.read(Space.CONTROL, register, 1)[0])

    def _deadline(self, program: Program) -> float:
        """Returns the seconds that the program's longest wait may take on the slowest device."""
        return _EXTRA_SECONDS + 2 * job_issues(program) / _LOWEST_CLOCK

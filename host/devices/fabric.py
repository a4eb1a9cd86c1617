# SPDX-License-Identifier: Apache-2.0
"""A fabric behind a link as a device: the Verilated gateware and every board. One job relaxes while
the next loads.
"""

from collections.abc import Iterable, Iterator

import numpy as np

from ornstein.hdl.config import SLOPE_WIDTH, STATE_WIDTH
from ornstein.hdl.isa import Operation
from ornstein.hdl.regmap import Control, Event, Space, StartRegister, StatusRegister
from ornstein.host.compile.program import Program
from ornstein.host.devices.device import (
    COUNTERS,
    Device,
    DeviceError,
    Outputs,
    job_seeds,
    scaled_outputs,
)
from ornstein.host.devices.link import Link
from ornstein.host.devices.model import split_samples
from ornstein.sim.transport import Transport

_SLOWEST = 20_000
"""Cycles a second below which a device counts as stuck: far less than an interpreted simulation
reaches.
"""
_PATIENCE = 10.0
"""Seconds allowed beside the cycles of a job."""


def activation_elements(table: np.ndarray) -> np.ndarray:
    """Elements of the activation space from a table (256, 2) of value and slope."""
    values, slopes = table.astype(np.int64).T
    return values & (1 << STATE_WIDTH) - 1 | (slopes & (1 << SLOPE_WIDTH) - 1) << STATE_WIDTH


def descriptor_elements(words: np.ndarray) -> np.ndarray:
    """Elements of the descriptor space from words (count, 8): pairs of 16-bit words, low first."""
    words = words.astype(np.int64)
    return (words[:, 0::2] | words[:, 1::2] << 16).ravel()


class FabricDevice(Device):
    """See :class:`ornstein.host.devices.device.Device`.

    Parameters
    ----------
    transport : Transport; closed with the device
    timeout : seconds of silence after which the link asks again

    Raises LinkError if what is there is no fabric that this version can drive.
    """

    def __init__(self, transport: Transport, uri: str, *, timeout: float = 1.0):
        super().__init__()
        self.uri = uri
        self.link = Link(transport, timeout=timeout)
        try:
            self.config = self.link.identify()
            self.link.hasten()
            status = self._control(Control.STATUS)
        except BaseException:
            transport.close()
            raise
        self._tag = StatusRegister.from_bits(status).tag

    def close(self) -> None:
        self.link.close()

    def load(self, program: Program) -> None:
        program.check_fits(self.config)
        self.program = None
        self.link.wait(Event.IDLE, _PATIENCE)
        for space, start, values in self._images(program):
            self.link.write(space, start, values)
        self.program = program

    def verify(self) -> int:
        count = 0
        for space, start, values in self._images(self._loaded()):
            found = self.link.read(space, start, len(values))
            if (found != values).any():
                wrong = int(np.flatnonzero(found != values)[0])
                raise DeviceError(
                    f"device {self.uri!r} holds {found[wrong]} instead of {values[wrong]} in element "
                    f"{start + wrong} of {space.name}; load the program again"
                )
            count += len(values)
        return count

    def _images(self, program: Program) -> list[tuple[Space, int, np.ndarray]]:
        """(space, first element, elements) of all that a program consists of."""
        images = [
            (Space.FACTOR, 0, program.factor),
            (Space.DRIVE, program.layout.constant_word * self.config.unit_lanes, program.constants),
            (Space.DESCRIPTOR, 0, descriptor_elements(program.descriptors)),
            (Space.ACTIVATION, 0, activation_elements(program.activation)),
            (Space.CONTROL, Control.BANK_OFFSET, np.array([program.layout.bank_offset])),
        ]
        return [
            (space, start, values.ravel().astype(np.int64))
            for space, start, values in images
            if values.size
        ]

    def stream(
        self, blocks: Iterable[np.ndarray], *, seed: int = 1, warm: bool = False
    ) -> Iterator[Outputs]:
        program = self._loaded()
        self.link.wait(Event.IDLE, self._deadline())
        self.link.write(Space.CONTROL, Control.CLEAR, [1])
        waiting: list[
            tuple[int, int, int]
        ] = []  # (job, inputs in it, inputs left in its block after it)
        parts: list[Outputs] = []
        job = 0
        for block in blocks:
            words = program.quantize(block)
            chains = program.layout.chains
            for first in range(0, len(words), chains):
                part = words[first : first + chains]
                self._start(job, part, seed, warm)
                waiting.append((job, len(part), len(words) - first - len(part)))
                job += 1
                if len(waiting) == 2 or program.layout.sampled_words:
                    yield from self._collect(waiting, parts)
        while waiting:
            yield from self._collect(waiting, parts)

    def _start(self, job: int, words: np.ndarray, seed: int, warm: bool) -> None:
        """Write a job's inputs and seeds and start it; the job before it may still run, none may
        wait.
        """
        layout, units = self.program.layout, self.config.unit_lanes
        bank = job & 1
        inputs = np.zeros((layout.chains, layout.input_words, units), np.int64)
        inputs[: len(words)] = words
        self.link.write(
            Space.DRIVE, (layout.input_word + bank * layout.bank_offset) * units, inputs.ravel()
        )
        self.start(
            layout.first_level + warm, layout.levels - warm, job_seeds(seed, job, units), bank=bank
        )

    def start(self, first: int, levels: int, seeds: np.ndarray, *, bank: int = 0) -> None:
        """Start a job of ``levels`` levels from descriptor ``first`` with generators seeded
        (unit_lanes,) uint64.
        """
        halves = np.stack([seeds & np.uint64(0xFFFFFFFF), seeds >> np.uint64(32)], axis=1)
        self.link.write(Space.SEED, 0, halves.ravel().astype(np.int64))
        tags = 1 << StartRegister.as_shape()["tag"].width
        self._tag = self._tag % (tags - 1) + 1
        job = StartRegister.const(
            {"first": first, "levels": levels, "reseed": 1, "bank": bank, "tag": self._tag}
        )
        self.link.write(Space.CONTROL, Control.START, [job.as_bits()])

    def _collect(self, waiting: list, parts: list[Outputs]) -> Iterator[Outputs]:
        """Wait for the oldest job and read it; yields the block's outputs with its last job."""
        job, count, left = waiting.pop(0)
        samples = self._take_samples() if self.program.layout.sampled_words else None
        # with another job behind it, the queue has room again only once this one is done
        self.link.wait(Event.ROOM if waiting else Event.IDLE, self._deadline())
        parts.append(self._read(job & 1, count, samples))
        if not left:
            yield Outputs.join(parts)
            parts.clear()

    def _read(self, bank: int, count: int, samples: np.ndarray | None) -> Outputs:
        program, layout, config = self.program, self.program.layout, self.config
        size = count * layout.state_words * config.unit_lanes
        start = bank * config.state_depth * config.unit_lanes

        def memory(space):
            elements = self.link.read(space, start, size)
            return program.units(elements.reshape(count, layout.state_words, config.unit_lanes))

        squares = memory(Space.SQUARE) if config.second_moment else None
        kept = (
            np.zeros((count, 0, program.problem.energies[0].units), np.int64)
            if samples is None
            else split_samples(program, samples[None])[:count]
        )
        values = self.link.read(Space.CONTROL, Control.CYCLES, len(COUNTERS))
        counters = {name: int(value) for name, value in zip(COUNTERS, values, strict=True)}
        return scaled_outputs(program, memory(Space.SUM), squares, kept, counters)

    def _take_samples(self) -> np.ndarray:
        """All words (words, unit_lanes) that the running job streams, taken from the ring while it
        runs.
        """
        units, depth = self.config.unit_lanes, self.config.sample_depth
        wanted = self.program.layout.sampled_words
        taken = self._control(Control.TAKEN)
        words = np.zeros((wanted, units), np.int64)
        got = 0
        while got < wanted:
            if not self._available(taken):
                self.link.wait(Event.IDLE | Event.SAMPLES, self._deadline())
            available = min(self._available(taken), wanted - got)
            if not available:
                raise DeviceError(
                    f"device {self.uri!r} finished a job after {got} of {wanted} sampled words; "
                    "load the program again"
                )
            place = taken % depth
            available = min(available, depth - place)
            elements = self.link.read(Space.SAMPLE, place * units, available * units)
            words[got : got + available] = elements.reshape(-1, units)
            got += available
            taken = taken + available & 0xFFFFFFFF
            self.link.write(Space.CONTROL, Control.TAKEN, [taken])
        return words

    def _available(self, taken: int) -> int:
        return self._control(Control.SAMPLES) - taken & 0xFFFFFFFF

    def _control(self, register: Control) -> int:
        return int(self.link.read(Space.CONTROL, register, 1)[0])

    def _deadline(self) -> float:
        """Seconds that the program's longest wait may take on the slowest device."""
        if self.program is None:
            return _PATIENCE
        return _PATIENCE + 2 * job_issues(self.program) / _SLOWEST


def job_issues(program: Program) -> int:
    """Cycles in which a job of the program uses the lanes."""
    return sum(
        level.steps
        * sum(step.outer * step.inner for step in passes if step.operation != Operation.ACTIVATE)
        for level, passes in program.schedule()
    )

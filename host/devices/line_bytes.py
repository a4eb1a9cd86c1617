# SPDX-License-Identifier: Apache-2.0
"""What a run sends over the line: which input words, and how many bytes an input in all."""

import numpy as np

from ornstein.hdl.isa import Operation
from ornstein.hdl.protocol import (
    ANSWER_HEADER_BYTES,
    CRC_BYTES,
    MAX_READ_BYTES,
    MAX_WRITE_BYTES,
    REQUEST_HEADER_BYTES,
)
from ornstein.hdl.regmap import Control, Space
from ornstein.hdl.spaces import spaces
from ornstein.host.compile.program import EncodedInputs, Program
from ornstein.host.devices.device import Selection
from ornstein.host.devices.jobs import Job, pack_jobs

FRAME_BYTES = 2 + CRC_BYTES
"""Bytes of a frame besides its content: END before and behind it, and the CRC."""
REQUEST_BYTES = FRAME_BYTES + REQUEST_HEADER_BYTES
ANSWER_BYTES = FRAME_BYTES + ANSWER_HEADER_BYTES
_REWRITE = 64
"""Jobs of a bank after which all of its input words are written again, so that a bit that has
changed by itself does not last."""


class InputWords:
    """What the input words of both banks hold, so that only those that change need to be written:
    most programs never use some of the biases that an input could have.
    """

    def __init__(self, program: Program):
        self._unit_lanes = program.config.unit_lanes
        # between words that are written together: those of a gap take less than another request
        self._longest_gap = (REQUEST_BYTES + ANSWER_BYTES) // (2 * self._unit_lanes)
        self._banks = 2 if program.layout.bank_offset else 1
        self.forget()
        self._jobs = [0] * self._banks
        self._kept = not any(
            step.operation == Operation.EXPAND and step.to_drive
            for _, passes in program.schedule
            for step in passes
        )

    def forget(self) -> None:
        """The device may hold anything: all words are written next time."""
        self._held: list[np.ndarray | None] = [None] * self._banks

    def changed(self, job: Job) -> list[tuple[int, np.ndarray]]:
        """Returns the words that the bank of a job does not hold yet, as numbers of first words and
        words (n, unit_lanes). A gap that is shorter than a request is written too.
        """
        bank = job.bank % self._banks
        held, self._held[bank] = self._held[bank], job.words
        self._jobs[bank] += 1
        if held is None or not self._kept or self._jobs[bank] % _REWRITE == 0:
            return [(0, job.words)]
        rows = (job.words != held).ravel().nonzero()[0] // self._unit_lanes
        if not len(rows):
            return []
        ends = (rows[1:] - rows[:-1] > self._longest_gap).nonzero()[0].tolist()
        firsts = [rows[0], *(rows[end + 1] for end in ends)]
        lasts = [*(rows[end] for end in ends), rows[-1]]
        return [
            (int(first), job.words[first : last + 1])
            for first, last in zip(firsts, lasts, strict=True)
        ]


def bytes_per_input(
    program: Program, inputs: EncodedInputs, selection: Selection
) -> tuple[float, float]:
    """Returns the bytes that travel to a device and from it for each input of a cold run without
    samples, on average. What SLIP escapes is left out; it is one byte in 128 of random ones.
    """
    words, jobs, config = InputWords(program), list(pack_jobs(program, inputs, 0)), program.config
    layout, infos = program.layout, spaces(program.config)
    sent = answered = 0
    for job in jobs:
        written = [part.size * infos[Space.DRIVE].bytes for _, part in words.changed(job)]
        if program.draws:
            written.append(infos[Space.SEED].size * infos[Space.SEED].bytes)
        written.append(infos[Space.CONTROL].bytes)
        requests = sum(-(-size // MAX_WRITE_BYTES) for size in written)
        sent += sum(written) + requests * REQUEST_BYTES
        answered += requests * ANSWER_BYTES
        read = [(1, 1)]  # the events of a wait
        read.append((1, (Control.TAKEN - Control.STATUS + 1) * infos[Space.CONTROL].bytes))
        every = [(1, job.count * layout.state_words * config.unit_lanes)]
        units = program.problem.energies[0].slices
        if selection.module is not None:
            part = units[selection.module]
            every = [(job.count, part.stop - part.start)]
        spaces_read = [Space.SUM]
        if selection.second and config.second_moment:
            spaces_read.append(Space.SQUARE)
        read += [(n, count * infos[space].bytes) for space in spaces_read for n, count in every]
        requests = sum(n * -(-size // MAX_READ_BYTES) for n, size in read)
        sent += requests * REQUEST_BYTES
        answered += sum(n * size for n, size in read) + requests * ANSWER_BYTES
    return sent / len(inputs), answered / len(inputs)

# SPDX-License-Identifier: Apache-2.0
"""What a run sends: only words that change, and as many bytes as are counted beforehand."""

from dataclasses import replace

import numpy as np
import pytest

from helpers.programs import toy, toy_inputs
from ornstein.hdl.config import TINY
from ornstein.host.compile.compiler import compile_problem
from ornstein.host.devices import line_bytes
from ornstein.host.devices.device import Selection
from ornstein.host.devices.fabric import FabricDevice
from ornstein.host.devices.jobs import pack_jobs
from ornstein.host.devices.line_bytes import InputWords, bytes_per_input
from ornstein.sim.rtl import RtlTransport


@pytest.fixture(scope="module")
def program():
    return compile_problem(toy(), TINY, toy_inputs())


def some_biases(count: int) -> np.ndarray:
    """Inputs of which only the first two biases are ever used."""
    inputs = toy_inputs(count)
    inputs[:, 2:] = 0
    return inputs


def test_each_bank_is_given_the_words_that_it_does_not_hold(program):
    words, held = InputWords(program), {}
    jobs = list(pack_jobs(program, program.encode(some_biases(40)), 0))
    sizes = []
    for job in jobs:
        parts = words.changed(job)
        bank = held.setdefault(job.bank, np.full_like(job.words, 99))
        for first, part in parts:
            bank[first : first + len(part)] = part
        np.testing.assert_array_equal(bank, job.words)
        sizes.append(sum(len(part) for _, part in parts))
    assert sizes[:2] == [len(jobs[0].words)] * 2
    assert max(sizes[2:]) < len(jobs[0].words)
    assert words.changed(replace(jobs[-1], number=jobs[-1].number + 2)) == []
    words.forget()
    ((first, part),) = words.changed(jobs[-1])
    assert first == 0 and len(part) == len(jobs[-1].words)


def test_all_words_are_written_now_and_then(program, monkeypatch):
    monkeypatch.setattr(line_bytes, "_REWRITE", 4)
    words = InputWords(program)
    (job,) = pack_jobs(program, program.encode(toy_inputs(program.layout.chains)), 0)
    written = [len(words.changed(job)) for _ in range(9)]
    assert written == [1, 0, 0, 1, 0, 0, 0, 1, 0]


class Counting(RtlTransport):
    """Counts the bytes both ways."""

    sent = answered = 0

    def write(self, data):
        self.sent += len(data)
        super().write(data)

    def read(self, timeout):
        data = super().read(timeout)
        self.answered += len(data)
        return data


@pytest.mark.parametrize(
    "selection", (Selection(), Selection(second=False, samples=False, module="b"))
)
def test_a_run_sends_and_answers_the_bytes_that_were_counted(program, selection):
    inputs = some_biases(80)
    transport = Counting(TINY)
    with FabricDevice(transport, "rtl:tiny") as device:
        device.load(program)
        device.run(inputs[:4], selection=selection)
        before = transport.sent, transport.answered
        device.run(inputs, selection=selection)
        found = transport.sent - before[0], transport.answered - before[1]
    expected = bytes_per_input(program, program.encode(inputs), selection)
    # escapes, waits that are repeated, and the beginning of the run come on top
    for real, counted in zip(found, expected, strict=True):
        assert counted <= real / len(inputs) < 1.15 * counted


def test_a_program_that_draws_nothing_is_sent_no_seeds(program):
    stages = tuple(replace(stage, kT=0.0) for stage in toy().stages)
    cold = compile_problem(toy(stages=stages), TINY, toy_inputs())
    assert program.draws and not cold.draws
    sent = [
        bytes_per_input(one, one.encode(toy_inputs(40)), Selection())[0] for one in (cold, program)
    ]
    assert sent[0] < sent[1]

# SPDX-License-Identifier: Apache-2.0
"""The simulated gateware on several cores: same answers, same cycles, and it can be interrupted."""

import os
import signal
import threading

import numpy as np
import pytest

from helpers.programs import toy, toy_inputs
from ornstein.hdl.config import TINY
from ornstein.host.compile.compiler import compile_problem
from ornstein.host.devices import rtl
from ornstein.host.devices.device import Outputs, Selection
from ornstein.host.devices.rtl import RtlDevice
from ornstein.sim import cores as cores_module
from ornstein.sim.stages import Stage


@pytest.fixture(scope="module")
def program():
    stages = Stage(10, 0.02), Stage(24, 0.02, accumulate=True, thin=12)
    return compile_problem(toy(stages=stages), TINY, toy_inputs())


@pytest.fixture
def use(monkeypatch):
    """``use(3)``: that many cores, on which every block is worth spreading."""
    monkeypatch.setattr(rtl, "_WORTH_SPREADING", 1)

    def set_cores(count):
        for module in (rtl, cores_module):
            monkeypatch.setattr(module, "cores", lambda: count)

    return set_cores


def answers(device, program, **options):
    """Returns the arrays and counters of a cold stream, and of a warm run behind it."""
    chains = program.layout.chains
    blocks = np.split(toy_inputs(9 * chains - 1), [5 * chains, 6 * chains])
    cold = Outputs.join(list(device.stream(blocks, seed=3, **options)))
    warm = device.run(toy_inputs(chains), seed=4, warm=True, **options)
    return [(one.sums, one.squares, one.samples, one.mean, one.counters) for one in (cold, warm)]


@pytest.mark.parametrize("selection", (Selection(), Selection(second=False, module="b")))
def test_answers_and_cycles_depend_on_no_number_of_cores(program, use, selection):
    use(1)
    with RtlDevice(TINY, "rtl:tiny") as device:
        device.load(program)
        expected = answers(device, program, selection=selection)
        assert not device._others
    use(3)
    with RtlDevice(TINY, "rtl:tiny") as device:
        device.load(program)
        for _ in range(2):
            for found, one in zip(
                answers(device, program, selection=selection), expected, strict=True
            ):
                for array, other in zip(found, one, strict=True):
                    np.testing.assert_equal(array, other)
        assert len(device._others) == 2
        others = [other for other, _ in device._others]
    assert all(other._closed for other in others)


def test_a_new_program_reaches_every_simulator(program, use):
    use(2)
    changed = compile_problem(toy(stages=(Stage(7, 0.1, accumulate=True),)), TINY, toy_inputs())
    with RtlDevice(TINY, "rtl:tiny") as device:
        device.load(program)
        device.run(toy_inputs(12), seed=2)
        device.load(changed)
        found = device.run(toy_inputs(12), seed=2)
        use(1)
        np.testing.assert_array_equal(device.run(toy_inputs(12), seed=2).sums, found.sums)


def test_short_runs_need_one_simulator(program, monkeypatch):
    monkeypatch.setattr(rtl, "cores", lambda: 4)
    with RtlDevice(TINY, "rtl:tiny") as device:
        device.load(program)
        device.run(toy_inputs(12))
        assert not device._others


def test_ctrl_c_ends_all_simulators_and_the_next_run_is_right(use):
    use(2)
    stages = (Stage(4000, 0.1, accumulate=True),)
    endless = compile_problem(toy(stages=stages), TINY, toy_inputs())
    short = compile_problem(toy(), TINY, toy_inputs())
    with RtlDevice(TINY, "rtl:tiny") as device:
        device.load(short)
        expected = device.run(toy_inputs(12), seed=2)
        device.load(endless)
        threads = threading.active_count()
        timer = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT))
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            device.run(toy_inputs(4000))  # it would take minutes
        timer.join()
        assert threading.active_count() == threads
        device.load(short)
        np.testing.assert_array_equal(device.run(toy_inputs(12), seed=2).sums, expected.sums)

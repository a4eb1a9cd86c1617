# SPDX-License-Identifier: Apache-2.0
"""What every device promises, tested on each of them with the same tests.

Programs, inputs and seeds are the same everywhere. A new device is added to ``OPENERS`` alone.
"""

import contextlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest

from helpers.programs import toy, toy_inputs
from ornstein.hdl.config import TINY
from ornstein.hdl.regmap import Space
from ornstein.hdl.spaces import spaces
from ornstein.host.compile.compiler import compile_problem
from ornstein.host.compile.coupling_memory import AdjustableCouplings
from ornstein.host.compile.program import InputError, Program, ProgramError
from ornstein.host.devices.device import Device, DeviceError, Outputs, Selection, open_device
from ornstein.host.devices.fabric import FabricDevice
from ornstein.host.devices.imperfect import open_imperfect
from ornstein.host.devices.imperfections import Chip, Connections, ConverterErrors
from ornstein.host.devices.model import ModelDevice
from ornstein.host.devices.serial import SerialTransport
from ornstein.sim import faults
from ornstein.sim.port import Port
from ornstein.sim.rtl import RtlTransport
from ornstein.sim.stages import Stage
from ornstein.sim.transport import LinkError

ARRAYS = "mean", "second", "samples", "sums", "squares"
INTERRUPTIONS = 40
"""Points of a run at which it is interrupted, one after the other; a tenth of them at a port, which
waits for each lost answer.
"""


@contextlib.contextmanager
def rtl() -> Iterator[Device]:
    """The simulated gateware; it answers at once, so that lost answers are soon asked for again."""
    with FabricDevice(RtlTransport(TINY), "rtl:tiny", timeout=0.1) as device:
        yield device


@contextlib.contextmanager
def serial() -> Iterator[Device]:
    """The same behind a serial port of the operating system."""
    with (
        Port(RtlTransport(TINY)) as port,
        FabricDevice(SerialTransport(port.name), "serial", timeout=0.5) as device,
    ):
        yield device


CHIP = Chip(
    seed=3,
    connections=Connections(mismatch=0.1),
    bias_converter=ConverterErrors(gain=0.1),
    read_converter=ConverterErrors(bits=14, noise=0.001),
)

OPENERS = {
    "rtl": rtl,
    "model": lambda: open_device("model:tiny"),
    "float": lambda: open_device("float"),
    "exact": lambda: open_device("float:exact"),
    "serial": serial,
    "imperfect": lambda: open_imperfect("model:tiny", CHIP),
}


@pytest.fixture(params=OPENERS)
def opened(request) -> Iterator[Device]:
    with OPENERS[request.param]() as device:
        yield device


@pytest.fixture(scope="module")
def program() -> Program:
    """It averages, and streams more samples than the ring of the fabric holds."""
    stages = Stage(10, 0.02), Stage(24, 0.02, accumulate=True, thin=3)
    program = compile_problem(toy(stages=stages), TINY, toy_inputs())
    assert program.layout.sampled_words > TINY.sample_depth
    return program


@pytest.fixture(scope="module")
def other() -> Program:
    """Another program: other states, other factors, no samples."""
    stages = (Stage(30, 0.5, accumulate=True),)
    return compile_problem(toy(stages=stages, dt=0.5), TINY, 3 * toy_inputs())


def same(found: Outputs, expected: Outputs) -> bool:
    return all(np.array_equal(getattr(found, a), getattr(expected, a)) for a in ARRAYS)


def assert_same(found: Outputs, expected: Outputs) -> None:
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name), err_msg=name)


@pytest.fixture
def loaded(opened, program) -> Device:
    opened.load(program)
    return opened


def is_exact(device: Device) -> bool:
    """It draws no random numbers."""
    return device.uri == "float:exact"


# ---- memories that change ------------------------------------------------------------------------


@pytest.mark.parametrize("space", [Space.FACTOR, Space.DESCRIPTOR, Space.ACTIVATION])
def test_a_changed_bit_is_found_and_the_program_can_be_loaded_again(loaded, program, space):
    """A device with a scrubber mends it by itself, see test_upsets.py; without one, a comparison
    with the program names the memory. Devices that have no memories of their own are left out.
    """
    expected = loaded.run(toy_inputs(), seed=3)
    word, bit = 4, 1
    if isinstance(loaded, ModelDevice):
        faults.change_bit(loaded._model, space, word, bit)
    elif isinstance(loaded, FabricDevice):
        loaded.stop_scrubbing()
        element = word * spaces(TINY)[space].lanes
        value = loaded.link.read(space, element, 1)
        loaded.link.write(space, element, value ^ 1 << bit)
    else:
        return
    with pytest.raises(DeviceError, match=f"of {space.name}; load the program again"):
        loaded.verify()
    loaded.load(program)
    assert loaded.verify() > 0
    assert_same(loaded.run(toy_inputs(), seed=3), expected)


# ---- what a run depends on -----------------------------------------------------------------------


def test_the_seed_is_heard_and_decides_everything(loaded):
    first = loaded.run(toy_inputs(), seed=5)
    assert_same(loaded.run(toy_inputs(), seed=5), first)
    assert same(loaded.run(toy_inputs(), seed=6), first) == is_exact(loaded)
    assert same(loaded.run(toy_inputs(), seed=5 + 2**32), first) == is_exact(loaded)


def test_nothing_is_carried_from_run_to_run(loaded, other, program):
    """Not by other inputs, other seeds, warm starts, another program, or a stream that was left."""
    expected = loaded.run(toy_inputs(), seed=5)
    loaded.run(-toy_inputs(7), seed=9)
    loaded.run(toy_inputs(2), seed=3, warm=True)
    assert_same(loaded.run(toy_inputs(), seed=5), expected)
    loaded.load(other)
    loaded.run(toy_inputs(), seed=5)
    loaded.load(program)
    assert_same(loaded.run(toy_inputs(), seed=5), expected)
    for _ in range(3):
        left = loaded.stream([toy_inputs(4)] * 4, seed=8)
        next(left)
        left.close()
        assert_same(loaded.run(toy_inputs(), seed=5), expected)


def test_a_fresh_device_and_a_loaded_one_start_warm_from_zero(loaded, program, other):
    first = loaded.run(toy_inputs(), seed=5, warm=True)
    loaded.load(other)
    loaded.run(toy_inputs(), seed=5)
    loaded.load(program)
    assert_same(loaded.run(toy_inputs(), seed=5, warm=True), first)


@pytest.mark.parametrize("warm", [False, True])
def test_blocks_do_not_matter_and_a_stream_equals_a_run(loaded, program, warm):
    chains, inputs = program.layout.chains, toy_inputs(11)
    assert chains == 2
    loaded.run(inputs[:chains], seed=2)
    expected = loaded.run(inputs, seed=5, warm=warm)
    for places in ([2, 8], [8], [4, 4, 10], []):
        loaded.run(inputs[:chains], seed=2)
        parts = list(loaded.stream(np.split(inputs, places), seed=5, warm=warm))
        assert_same(Outputs.join(parts), expected)


def test_a_selection_changes_nothing(loaded):
    expected = loaded.run(toy_inputs(), seed=5)
    found = loaded.run(
        toy_inputs(), seed=5, selection=Selection(second=False, samples=False, module="b")
    )
    np.testing.assert_array_equal(found.mean, expected.mean[:, 5:])
    assert_same(loaded.run(toy_inputs(), seed=5), expected)


# ---- other factors -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def weaker(program) -> Program:
    """The program with weaker couplings in one of its two factors."""
    couplings = AdjustableCouplings.of(program)
    factors = couplings.factors()
    return couplings.with_factors({**factors, (0, 1): 0.7 * factors[0, 1]})


def test_an_updated_program_answers_as_if_it_was_loaded(loaded, weaker):
    before = loaded.run(toy_inputs(), seed=5)
    changed = np.count_nonzero((weaker.factor != loaded.program.factor).any(axis=1))
    assert 0 < changed < len(weaker.factor)
    assert loaded.update(weaker) == changed and loaded.update(weaker) == 0
    assert loaded.program is weaker
    after = loaded.run(toy_inputs(), seed=5)
    assert not same(after, before)
    loaded.load(weaker)
    assert_same(loaded.run(toy_inputs(), seed=5), after)


def test_an_update_keeps_the_states(loaded, weaker):
    program = loaded.program
    loaded.run(toy_inputs(4), seed=5)
    kept = loaded.run(toy_inputs(4), seed=6, warm=True)
    loaded.load(program)
    loaded.run(toy_inputs(4), seed=5)
    loaded.update(weaker)
    loaded.update(program)
    assert_same(loaded.run(toy_inputs(4), seed=6, warm=True), kept)


def test_an_update_of_more_than_factors_is_refused(loaded, other, program):
    expected = loaded.run(toy_inputs(), seed=5)
    with pytest.raises(ProgramError, match="differs from the loaded one in"):
        loaded.update(other)
    with pytest.raises(ProgramError, match="factor holds values beyond 12 bits"):
        loaded.update(replace(program, factor=program.factor + np.int16(4096)))
    assert_same(loaded.run(toy_inputs(), seed=5), expected)


# ---- misuse --------------------------------------------------------------------------------------


def test_two_streams_by_turns(loaded):
    """The later one goes on; the earlier one ends with an error."""
    expected = loaded.run(toy_inputs(8), seed=2)
    blocks = np.split(toy_inputs(8), 2)
    first, second = (loaded.stream(blocks, seed=seed) for seed in (1, 2))
    next(first)
    parts = [next(second)]
    with pytest.raises(DeviceError, match="has run or loaded something else since"):
        next(first)
    parts += second
    assert_same(Outputs.join(parts), expected)


def test_a_load_or_a_run_ends_a_stream_that_waits(loaded, program):
    for disturb in (lambda: loaded.load(program), lambda: loaded.run(toy_inputs(), seed=4)):
        stream = loaded.stream(np.split(toy_inputs(8), 2), seed=2)
        next(stream)
        disturb()
        with pytest.raises(DeviceError, match="so that this stream cannot go on"):
            next(stream)

    def disturbing() -> Iterator[np.ndarray]:
        yield toy_inputs(4)
        loaded.run(toy_inputs(), seed=4)
        yield toy_inputs(4)

    with pytest.raises(DeviceError, match="so that this stream cannot go on"):
        list(loaded.stream(disturbing(), seed=2))


def test_a_warm_start_needs_a_run_that_ended(loaded):
    left = loaded.stream(np.split(toy_inputs(8), 2), seed=2)
    next(left)
    left.close()
    with pytest.raises(DeviceError, match=r"did not come to its end.*run without it first"):
        loaded.run(toy_inputs(), warm=True)
    loaded.run(toy_inputs())
    loaded.run(toy_inputs(), warm=True)


def test_every_use_after_close_is_an_error(loaded, program):
    stream = loaded.stream(np.split(toy_inputs(8), 2))
    next(stream)
    loaded.close()
    loaded.close()
    for use in (
        lambda: loaded.run(toy_inputs()),
        lambda: next(loaded.stream([toy_inputs()])),
        lambda: next(stream),
        lambda: loaded.load(program),
        loaded.verify,
    ):
        with pytest.raises(DeviceError, match=r"is closed; open it again$"):
            use()


def test_a_refused_program_leaves_the_old_one(loaded, program):
    expected = loaded.run(toy_inputs(), seed=5)
    with pytest.raises(ProgramError):
        loaded.load(replace(program, state_lsb=float("nan")))
    assert_same(loaded.run(toy_inputs(), seed=5), expected)


def test_refused_inputs_leave_the_device_usable(loaded):
    expected = loaded.run(toy_inputs(), seed=5)
    with pytest.raises(InputError):
        list(loaded.stream([toy_inputs(4), toy_inputs(4), np.full((1, 8), np.nan)]))
    assert_same(loaded.run(toy_inputs(), seed=5), expected)


# ---- interrupted ---------------------------------------------------------------------------------


class Interrupt(BaseException):
    """What Ctrl-C raises, at a chosen line of the host's code."""


def interrupted(action: Callable[[], object], line: int | None) -> int:
    """Runs an action, and raises Interrupt at that line of Ornstein's code that is executed in it;
    None never does. Returns the lines executed.
    """
    count = 0

    def trace(frame, event, _):
        nonlocal count
        if not any(part in frame.f_code.co_filename for part in ("/host/devices/", "/sim/")):
            return None
        if event == "line":
            count += 1
            if count == line:
                raise Interrupt
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        action()
    except (Interrupt, LinkError):
        pass  # an interrupted cleanup may also find the line closed
    finally:
        sys.settrace(before)
    return count


def test_a_run_may_be_interrupted_anywhere(loaded, program):
    """Whatever the line at which Ctrl-C comes, the next run on the same device is right."""
    expected = loaded.run(toy_inputs(5), seed=5)
    lines = interrupted(lambda: loaded.run(toy_inputs(5), seed=5), None)
    points = INTERRUPTIONS // (10 if loaded.uri == "serial" else 1)
    for line in np.linspace(1, lines, points).astype(int):
        interrupted(lambda: loaded.run(-toy_inputs(5), seed=8), int(line))
        assert_same(loaded.run(toy_inputs(5), seed=5), expected)


def test_a_load_may_be_interrupted_anywhere(loaded, program, other):
    """Afterwards no program is loaded, or the new one is, or the old one still."""
    expected = {}
    for one in (other, program):
        loaded.load(one)
        expected[one] = loaded.run(toy_inputs(), seed=5)
    lines = interrupted(lambda: loaded.load(other), None)
    loaded.load(program)
    for line in np.linspace(1, lines, INTERRUPTIONS // 10).astype(int):
        interrupted(lambda: loaded.load(other), int(line))
        if loaded.program is None:
            with pytest.raises(DeviceError, match="no program is loaded"):
                loaded.run(toy_inputs(), seed=5)
        else:
            assert_same(loaded.run(toy_inputs(), seed=5), expected[loaded.program])
        loaded.load(program)
        assert_same(loaded.run(toy_inputs(), seed=5), expected[program])

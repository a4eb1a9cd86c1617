# SPDX-License-Identifier: Apache-2.0
"""Many runs on a simulated device in whose memories bits change: each must be right or a clear
error, and each change must be reported with the name of its memory.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from ornstein.hdl.config import TINY
from ornstein.hdl.regmap import SCRUBBED
from ornstein.hdl.spaces import spaces
from ornstein.host.compile.compiler import compile_problem
from ornstein.host.compile.program import Program
from ornstein.host.devices.device import Outputs, open_device
from ornstein.host.devices.fabric import FabricDevice
from ornstein.host.devices.link_faults import operate, programs
from ornstein.host.devices.scrubbing import verified_images
from ornstein.host.physics.problem import STATE
from ornstein.sim.rtl import RtlTransport

_TIMEOUT = 0.05
"""Seconds until a request is repeated; the simulated device answers at once."""

_LOOK = 0.1
"""Seconds after which a job that does more than it must is ended."""


@dataclass
class UpsetCampaign:
    """What became of the runs so far.

    Attributes
    ----------
    outcomes : number of runs by outcome: ``right``, ``error``
    upsets : bits that were changed, by the name of the memory
    in_time : of these, those that were reported by the run in which they came; the others came
        after its last job, and were reported by the next one
    failures : descriptions of runs that were not handled as they must be
    """

    outcomes: Counter[str] = field(default_factory=Counter)
    upsets: Counter[str] = field(default_factory=Counter)
    in_time: int = 0
    failures: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        runs = ", ".join(f"{count:,} {what}" for what, count in sorted(self.outcomes.items()))
        memories = ", ".join(f"{count:,} in {name}" for name, count in self.upsets.items())
        return (
            f"{self.upsets.total():,} bits changed ({memories}), {self.in_time:,} of them before "
            f"the end of a run; runs: {runs}; {len(self.failures)} handled wrongly"
        )


def attack_memories(count: int, seed: int = 1) -> Iterator[UpsetCampaign]:
    """Yields the campaign after each of ``count`` changed bits.

    The memories take turns. Program, bit and moment are chosen at random.
    """
    rng = np.random.default_rng(seed)
    transport = RtlTransport(TINY, upsets=True)
    with FabricDevice(transport, "rtl:tiny", timeout=_TIMEOUT, look=_LOOK) as device:
        attack = _Attack(device, transport, rng)
        for _ in range(count):
            attack.once()
            yield attack.campaign


def with_constants(program: Program, rng: np.random.Generator) -> tuple[Program, np.ndarray]:
    """Returns a program like that one, whose units have constant biases and begin in the states
    that are its inputs, with inputs. The drive memory holds the constants.
    """
    old = program.problem
    units = sum(module.units for module in old.energies[0].modules)
    problem = replace(old, name="constants", entry=STATE, offset=rng.normal(size=units))
    inputs = rng.uniform(-1, 1, (5, problem.input_size))
    return compile_problem(problem, TINY, inputs), inputs


class _Attack:
    """Runs with one change each."""

    def __init__(self, device: FabricDevice, transport: RtlTransport, rng: np.random.Generator):
        self._device, self._transport, self._rng = device, transport, rng
        self._cases = programs()
        self._cases.append(with_constants(self._cases[0][0], rng))
        self._expected: dict[Program, list[Outputs]] = {}
        self._cycles: dict[Program, int] = {}
        with open_device("model:tiny") as model:
            for program, inputs in self._cases:
                model.load(program)
                self._expected[program] = [model.run(inputs, seed=k) for k in range(2)]
        for program, inputs in self._cases:
            device.load(program)
            begin = transport.cycles
            device.run(inputs)
            self._cycles[program] = transport.cycles - begin
        self.campaign = UpsetCampaign()

    def once(self) -> None:
        """A run in which one bit changes, and another one if that has not been reported."""
        rng, device, campaign = self._rng, self._device, self.campaign
        space = SCRUBBED[campaign.upsets.total() % len(SCRUBBED)]
        held = [
            (program, inputs, image)
            for program, inputs in self._cases
            for image in verified_images(program)
            if image.space == space
        ]
        program, inputs, image = held[int(rng.integers(len(held)))]
        if device.program is not program:
            device.load(program)
        info = spaces(device.config)[space]
        element = image.start + int(rng.integers(len(image.elements)))
        bit = element % info.lanes * info.bits + int(rng.integers(info.bits))
        delay = int(rng.integers(self._cycles[program]))
        what = f"bit {bit} of word {element // info.lanes} of {space.name} after {delay} cycles"
        before = device.upsets[space.name]
        self._transport.upset(space, element // info.lanes, bit, delay)
        self._run(program, inputs, what)
        if self._transport.cancel_upset():  # the run was over before
            self._transport.upset(space, element // info.lanes, bit)
        campaign.upsets[space.name] += 1
        if device.upsets[space.name] > before:
            campaign.in_time += 1
            return
        self._run(program, inputs, f"{what}, the run behind it")
        if device.upsets[space.name] == before:
            campaign.failures.append(f"{what}: not reported")

    def _run(self, program: Program, inputs: np.ndarray, what: str) -> None:
        seed = int(self._rng.integers(2))
        outcome = operate(self._device, program, inputs, seed, self._expected[program][seed])
        self.campaign.outcomes[outcome] += 1
        if outcome not in ("right", "error"):
            self.campaign.failures.append(f"{what}: {outcome}")

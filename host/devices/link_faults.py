# SPDX-License-Identifier: Apache-2.0
"""Many operations over a line that damages bytes, on a device that is reset: each must be right or
a clear error, and after an error the next operation over a sound line must be right.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from ornstein.hdl.config import TINY
from ornstein.host.compile.compiler import compile_problem
from ornstein.host.compile.program import Program
from ornstein.host.devices.device import DeviceError, Outputs, open_device
from ornstein.host.devices.fabric import FabricDevice
from ornstein.host.physics.alignment import align_activations
from ornstein.host.physics.couplings import DECODER, ENCODER
from ornstein.host.physics.problem import BIAS, Problem
from ornstein.sim.line_faults import FaultyLine, LineFault
from ornstein.sim.rtl import RtlTransport
from ornstein.sim.stages import Stage
from ornstein.sim.transport import LinkError

RATES = 0.0, 1e-5, 1e-4, 1e-3, 5e-3, 1e-2
"""Faults per byte, chosen at random for each operation."""
TIMEOUT = 0.02
"""Seconds until a request is repeated; the simulated device answers at once."""
_INPUTS = 5
_MOST_WRITES = 20
"""A reset comes before one of the next so many writes: about as many as a run does."""
_ARRAYS = "mean", "second", "samples", "sums", "squares"


@dataclass
class LinkCampaign:
    """What became of the operations so far.

    Attributes
    ----------
    outcomes : number of operations by outcome: ``right``, ``error``
    faults, resets, reloads : injected faults and resets, and programs that were loaded again
    failures : descriptions of operations that were not handled as they must be
    """

    outcomes: Counter[str] = field(default_factory=Counter)
    faults: int = 0
    resets: int = 0
    reloads: int = 0
    failures: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        parts = ", ".join(f"{count:,} {what}" for what, count in sorted(self.outcomes.items()))
        return (
            f"{parts}; {self.faults:,} faults and {self.resets:,} resets injected, program loaded "
            f"again {self.reloads:,} times; {len(self.failures)} operations handled wrongly"
        )


def programs() -> list[tuple[Program, np.ndarray]]:
    """Returns programs for the smallest fabric, each with inputs: with noise, with more samples
    than the ring holds, quartic, and at zero temperature.
    """
    rng = np.random.default_rng(5)
    found = []
    for stages, j4 in (
        ((Stage(20, 0.05), Stage(30, 0.05, accumulate=True)), 0.0),
        ((Stage(10, 0.05), Stage(24, 0.05, accumulate=True, thin=2)), 0.0),
        ((Stage(20, 0.05), Stage(20, 0.05, accumulate=True)), 0.05),
        ((Stage(30), Stage(4, accumulate=True)), 0.0),
    ):
        x, y = rng.normal(size=(2, 30, 4))
        energy = align_activations(x, y, {ENCODER: 4}, {DECODER: 4}, rank=2).energy
        energy = type(energy)(energy.modules, energy.couplings, energy.j2, j4)
        problem = Problem("faults", (energy,), stages, dt=0.5, entry=BIAS)
        inputs = rng.uniform(-1, 1, (_INPUTS, problem.input_size))
        found.append((compile_problem(problem, TINY, inputs), inputs))
    return found


def attack_link(
    count: int, seed: int = 1, *, resets: float = 0.1, rates: tuple[float, ...] = RATES
) -> Iterator[LinkCampaign]:
    """Yields the campaign after each of ``count`` operations on the simulated gateware.

    An operation loads one of four programs, or goes on with the one that is loaded, and runs it.
    Its line has faults of one of the kinds of :class:`LineFault`, or of all of them. A share
    ``resets`` of the operations meets a reset, or leaves it to the next one.
    """
    rng = np.random.default_rng(seed)
    cases = programs()
    expected = {}
    with open_device("model:tiny") as model:
        for program, inputs in cases:
            model.load(program)
            expected[program] = [model.run(inputs, seed=k) for k in range(2)]
    campaign = LinkCampaign()
    simulated = RtlTransport(TINY)
    line, storm = FaultyLine(simulated, rng), _ResetStorm(simulated)
    with FabricDevice(line, "rtl:tiny", timeout=TIMEOUT) as device:
        for number in range(count):
            program, inputs = cases[int(rng.integers(len(cases)))]
            if device.program is not None and rng.random() < 0.5:
                program = device.program
                inputs = next(given for one, given in cases if one is program)
            kind = list(LineFault)[int(rng.integers(len(LineFault)))]
            line.kinds = tuple(LineFault) if rng.random() < 0.2 else (kind,)
            line.rate = float(rng.choice(rates))
            if rng.random() < resets and storm.left is None:
                storm.left = int(rng.integers(_MOST_WRITES))
            line.before_write = storm.before_write
            what = f"operation {number}, {line.rate:g} of {[k.name for k in line.kinds]}"
            run_seed = int(rng.integers(2))
            outcome = operate(device, program, inputs, run_seed, expected[program][run_seed])
            campaign.outcomes[outcome] += 1
            if outcome not in ("right", "error"):
                campaign.failures.append(f"{what}: {outcome}")
            line.heal()
            line.before_write = lambda: None
            if outcome != "right":
                outcome = operate(device, program, inputs, 0, expected[program][0])
                if outcome != "right":
                    campaign.failures.append(f"{what}: a clean operation behind it: {outcome}")
            campaign.faults, campaign.resets = line.injected, storm.resets
            campaign.reloads = device.reloads
            yield campaign


class _ResetStorm:
    """Resets a device once ``left`` more writes have been done; None is never."""

    def __init__(self, simulated: RtlTransport):
        self._simulated = simulated
        self.left: int | None = None
        self.resets = 0

    def before_write(self) -> None:
        if self.left == 0:
            self._simulated.reset()
            self.resets += 1
        if self.left is not None:
            self.left = self.left - 1 if self.left else None


def operate(
    device: FabricDevice, program: Program, inputs: np.ndarray, seed: int, expected: Outputs
) -> str:
    """Returns ``right``, ``error``, or what else became of an operation."""
    try:
        if device.program is not program:
            device.load(program)
        found = device.run(inputs, seed=seed)
    except (LinkError, DeviceError) as error:
        return "error" if "\n" not in str(error) else f"an error of several lines: {error}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    wrong = [
        name
        for name in _ARRAYS
        if not np.array_equal(getattr(found, name), getattr(expected, name))
    ]
    return f"wrong {', '.join(wrong)}" if wrong else "right"

# SPDX-License-Identifier: Apache-2.0
"""The simulated gateware as a device, which uses all cores in long runs."""

import itertools
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from ornstein.hdl.config import FabricConfig
from ornstein.host.compile.program import EncodedInputs, Program, job_issues
from ornstein.host.devices.device import Outputs, Selection
from ornstein.host.devices.fabric import FabricDevice
from ornstein.host.devices.job_run import JobRun
from ornstein.sim.cores import cores, in_threads
from ornstein.sim.rtl import RtlTransport

_TIMEOUT = 60.0
"""Seconds of silence after which the link repeats its requests."""
_WORTH_SPREADING = 1 << 20
"""Cycles of a block below which opening and loading another simulator takes longer than it saves:
about half a second."""


@dataclass(frozen=True, eq=False)
class _Part:
    """Jobs of a block that one simulator runs; ``first`` is the number of the first of them."""

    simulator: FabricDevice
    transport: RtlTransport
    first: int
    inputs: EncodedInputs


_named: Counter[Path] = Counter()
"""Devices of this process that were opened with each file of waveforms."""
_naming = threading.Lock()


def _waves_of_its_own(waves: Path) -> Path:
    """Returns a file of waveforms that no other device of this process writes."""
    with _naming:
        _named[waves.resolve()] += 1
        number = _named[waves.resolve()]
    return waves if number == 1 else waves.with_stem(f"{waves.stem}-device{number}")


class RtlDevice(FabricDevice):
    """See :class:`ornstein.host.devices.fabric.FabricDevice`.

    The jobs of a long block of inputs are spread over as many simulators as there are cores, the
    last ones on this one, so that a warm run finds their states here. A job starts from its own
    seeds and takes the same cycles on each, so that answers and counters do not depend on their
    number.

    Parameters
    ----------
    config, waves : see :class:`ornstein.sim.rtl.RtlTransport`; with waveforms, this simulator runs
        alone, and the second device of this process has ``run-device2.fst`` in place of ``run.fst``
    uri : the name by which the user opened the device
    """

    def __init__(self, config: FabricConfig, uri: str, *, waves: Path | None = None):
        file = None if waves is None else _waves_of_its_own(waves)
        self._transport = RtlTransport(config, waves=file)
        self._alone = waves is not None
        self._others: list[tuple[FabricDevice, RtlTransport]] = []
        super().__init__(self._transport, uri, timeout=_TIMEOUT)

    def close(self) -> None:
        super().close()
        for other, _ in self._others:
            other.close()

    def _inputs_at_once(self, program: Program) -> int:
        jobs = max(cores(), -(-_WORTH_SPREADING // job_issues(program)))
        return program.layout.chains * jobs

    def _run_blocks(
        self,
        program: Program,
        blocks: Iterator[EncodedInputs],
        seed: int,
        warm: bool,
        selection: Selection,
    ) -> Iterator[Outputs]:
        first = next(blocks, None)
        if first is None:
            return
        if warm or self._alone or self._simulators(program, first) == 1:
            yield from super()._run_blocks(
                program, itertools.chain([first], blocks), seed, warm, selection
            )
            return
        counters: Counter[str] = Counter()
        done = 0
        for block in itertools.chain([first], blocks):
            if not len(block):
                continue
            parts = self._parts(program, block, done)
            done += -(-len(block) // program.layout.chains)
            outputs = in_threads(
                lambda part, stop: _run_part(program, part, seed, selection, stop), parts
            )
            for part in outputs:
                counters.update(part.counters)
            yield replace(Outputs.join(outputs), counters=dict(counters))

    def _simulators(self, program: Program, block: EncodedInputs) -> int:
        """Returns on how many simulators a block is worth running."""
        jobs = -(-len(block) // program.layout.chains)
        return min(cores(), jobs) if jobs * job_issues(program) >= _WORTH_SPREADING else 1

    def _parts(self, program: Program, block: EncodedInputs, first: int) -> list[_Part]:
        """Divides a block of inputs, whose first job has that number, among the simulators, which
        are opened where they are missing.
        """
        chains, count = program.layout.chains, self._simulators(program, block)
        while len(self._others) < count - 1:
            transport = RtlTransport(self.config)
            other = FabricDevice(transport, self.uri, timeout=_TIMEOUT)
            self._others.append((other, transport))
        simulators: list[tuple[FabricDevice, RtlTransport]] = [
            *self._others[: count - 1],
            (self, self._transport),
        ]
        jobs = -(-len(block) // chains)
        bounds = [jobs * n // count for n in range(count + 1)]
        return [
            _Part(simulator, transport, first + begin, block[begin * chains : end * chains])
            for (simulator, transport), begin, end in zip(
                simulators, bounds, bounds[1:], strict=False
            )
        ]


def _run_part(
    program: Program, part: _Part, seed: int, selection: Selection, stop: threading.Event
) -> Outputs:
    """Returns the outputs of jobs on one simulator. Raises LinkError once ``stop`` is set."""
    part.transport.stop = stop
    try:
        if part.simulator.program is not program:
            part.simulator.load(program)
        run = JobRun(part.simulator, program, seed, False, selection, first=part.first)
        return Outputs.join(list(run.outputs(iter([part.inputs]))))
    finally:
        part.transport.stop = None

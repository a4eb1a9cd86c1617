# SPDX-License-Identifier: Apache-2.0
"""One run of inputs on a fabric behind a link, job by job, with a check of each job.

While one job relaxes, the inputs of the next one are written. After each job the control registers
must say that the device has done what it was told, and nothing else. If they do not, the program is
loaded again and the jobs whose outputs were not given yet are repeated, once.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from ornstein.hdl.regmap import Control, Event, Space
from ornstein.host.compile.program import EncodedInputs, Program, job_issues
from ornstein.host.devices.control import ControlState, JobWatch, LostError, UpsetError
from ornstein.host.devices.device import DeviceError, Outputs, Selection, scaled_outputs
from ornstein.host.devices.jobs import (
    Job,
    job_seeds,
    pack_jobs,
    seed_elements,
    unpack_samples,
    unpack_units,
)
from ornstein.host.devices.line_bytes import InputWords
from ornstein.host.devices.link import NoAnswerError
from ornstein.sim.transport import LinkError

if TYPE_CHECKING:
    from ornstein.host.devices.fabric import FabricDevice

_LOWEST_CLOCK = 20_000
"""Cycles per second below which a device counts as stuck; even an interpreted simulation is far
faster.
"""
_EXTRA_SECONDS = 10.0
"""Seconds that a wait may take besides the cycles of a job."""
_CLEAN_ATTEMPTS = 3
"""How often something is sent or read in all until no part of it had to be repeated."""

T = TypeVar("T")


class JobRun:
    """See the module. Parameters as in :meth:`ornstein.host.devices.device.Device.stream`, and
    ``first``, the number of the first job, from which its noise is drawn.
    """

    def __init__(
        self,
        device: FabricDevice,
        program: Program,
        seed: int,
        warm: bool,
        selection: Selection,
        *,
        first: int = 0,
    ):
        self._first = first
        self._device, self._link, self._config = device, device.link, device.config
        self._program, self._seed, self._warm = program, seed, warm
        self._selection = selection
        self._issues = job_issues(program, warm=warm)
        self._seconds = _EXTRA_SECONDS + 2 * self._issues / _LOWEST_CLOCK
        self._started: deque[Job] = deque()
        self._finished: list[tuple[Job, Outputs]] = []  # their outputs have not been given yet
        self._repeated = False  # since outputs were last given
        self._before = dict[str, int | None]()  # counters of what was repeated
        self._looked = time.monotonic()

    def outputs(self, blocks: Iterator[EncodedInputs]) -> Iterator[Outputs]:
        """Yields the outputs of each block that holds an input."""
        self._watch = self._begin()
        # a job that streams samples is read while it runs, so that none can be started behind it
        most_started = 1 if self._program.layout.sampled_words else 2
        number = self._first
        for block in blocks:
            for job in pack_jobs(self._program, block, number):
                self._attempt(lambda job=job: self._start(job))
                number += 1
                while len(self._started) >= most_started:
                    self._attempt(self._finish)
                yield from self._complete()
            if not len(block):  # the next one may be long in coming
                yield from self._finish_all()
        yield from self._finish_all()

    def _finish_all(self) -> Iterator[Outputs]:
        while self._started:
            self._attempt(self._finish)
            yield from self._complete()

    # ---- the device is as it was left ------------------------------------------------------------

    def _begin(self) -> JobWatch:
        """Ends what an earlier run left, and loads the program again if the device has lost it."""
        lost = self._found_lost(self._device.settle())
        if lost is not None:
            if self._warm:
                raise DeviceError(
                    f"device {self._device.uri!r} lost its states: {lost}, so that there are no "
                    "states for a warm start; run without it first"
                )
            self._device.reload(lost)
        self._inputs, self._repairs = InputWords(self._program), self._link.repairs
        self._link.write(Space.CONTROL, Control.CLEAR, [1])
        state = ControlState.read(self._link)
        self._strays = self._link.strays
        sampled = self._program.layout.sampled_words
        return JobWatch(state, self._device.session, self._issues, sampled, self._device.scrubbed)

    def _found_lost(self, state: ControlState) -> LostError | None:
        """Returns why the program is not on a device that was left idle, if it is not."""
        if state.session != self._device.session:
            return LostError("it was reset")
        return state.scrub.upset() if state.scrub and self._device.scrubbed else None

    def _attempt(self, step: Callable[[], None]) -> None:
        """Does a step. If it shows that the device was lost, loads the program again and repeats
        all jobs whose outputs were not given.
        """
        try:
            step()
        except NoAnswerError:
            raise
        except (LostError, LinkError) as failure:
            error = self._cause(failure)
            if self._warm or self._repeated:
                remedy = "run without a warm start" if self._warm else "check its supply"
                raise DeviceError(
                    f"device {self._device.uri!r} did not do what it was told: {error}; {remedy}"
                ) from None
            self._repeated = True
            jobs = [job for job, _ in self._finished] + list(self._started)
            self._finished.clear()
            self._started.clear()
            self._device.reload(error)
            self._before = self._counters()
            self._watch = self._begin()
            for job in jobs:
                self._attempt(lambda job=job: self._start(job))
                self._attempt(self._finish)

    def _cause(self, failure: LostError | LinkError) -> LostError:
        """Returns why a step has failed. A changed memory can make a job do anything, or never end,
        so what the scrubber says comes first. Raises a failure of the link that has no such cause.
        """
        if isinstance(failure, UpsetError):
            return failure
        try:
            upset = self._device.find_upset()
        except LinkError:
            raise failure from None
        if upset is not None:
            return upset
        if isinstance(failure, LinkError):
            raise failure
        return failure

    def _undisturbed(self, action: Callable[[], T]) -> T:
        """Does something over the link, again if a part of it had to be repeated: where frames are
        damaged, one in some hundred thousand passes for another one.
        """
        attempts = 0
        while True:
            repairs = self._link.repairs
            result = action()
            attempts += 1
            if self._link.repairs == repairs or attempts == _CLEAN_ATTEMPTS:
                return result

    def _look(self) -> ControlState:
        """Reads the registers, and counts on."""
        state = self._undisturbed(lambda: ControlState.read(self._link))
        self._watch.note(state)
        self._looked = time.monotonic()
        return state

    def _look_now_and_then(self) -> None:
        if time.monotonic() - self._looked > self._device.look:
            self._look()

    def _wait(self, events: Event) -> None:
        self._link.wait(events, self._seconds, meanwhile=self._look_now_and_then)

    def _verify(self) -> None:
        """Compares the program in the device's memories after an error of the link was repaired."""
        if self._link.repairs == self._device.verified_repairs:
            return
        self._wait(Event.IDLE)
        try:
            self._device.verify()
        except DeviceError as error:
            raise LostError(str(error)) from None

    # ---- jobs ------------------------------------------------------------------------------------

    def _start(self, job: Job) -> None:
        """Writes a job's inputs and starts it. The job before it may still run, none may wait."""
        self._started.append(job)
        layout, units = self._program.layout, self._config.unit_lanes
        place = (layout.input_word + job.bank * layout.bank_offset) * units
        seeds = job_seeds(self._seed, job.number, units)

        def write() -> None:
            if self._link.repairs != self._repairs:  # a damaged request may have changed any word
                self._inputs.forget()
                self._repairs = self._link.repairs
            changed = [
                (Space.DRIVE, place + first * units, words.ravel())
                for first, words in self._inputs.changed(job)
            ]
            self._link.write_together([*changed, (Space.SEED, 0, seed_elements(seeds))])

        self._undisturbed(write)
        first, levels = layout.first_level + self._warm, layout.levels - self._warm
        self._watch.start(self._device.start(first, levels, bank=job.bank))

    def _finish(self) -> None:
        """Waits for the oldest job, reads it, and checks that the device did what it must."""
        job, samples = self._started[0], None
        if self._program.layout.sampled_words:
            samples = self._take_samples(job.count)
        # behind a running job another one waits, so that the queue has room once the first is done
        self._wait(Event.ROOM if len(self._started) > 1 else Event.IDLE)
        outputs = self._undisturbed(lambda: self._read(job, samples))
        state = self._undisturbed(lambda: ControlState.read(self._link))
        self._watch.finish(state)
        self._verify()
        if self._link.strays != self._strays:
            raise LostError("it executed a request of long ago again")
        self._started.popleft()
        self._finished.append((job, outputs))

    def _complete(self) -> Iterator[Outputs]:
        """Yields the outputs of each block whose last job was finished."""
        while ends := [n for n, (job, _) in enumerate(self._finished, 1) if not job.following]:
            parts = [outputs for _, outputs in self._finished[: ends[0]]]
            del self._finished[: ends[0]]
            self._repeated = False
            yield replace(Outputs.join(parts), counters=self._counters())

    def _counters(self) -> dict[str, int | None]:
        """Returns the counters since the run began, with those of what had to be repeated."""
        return {
            name: value + (self._before.get(name) or 0)
            for name, value in self._watch.counters.items()
        }

    def _read(self, job: Job, samples: np.ndarray | None) -> Outputs:
        spaces = [Space.SUM]
        if self._selection.second and self._config.second_moment:
            spaces.append(Space.SQUARE)
        sums, *squares = (self._read_units(space, job) for space in spaces)
        return scaled_outputs(
            self._program, sums, squares[0] if squares else None, samples, self._selection
        )

    def _read_units(self, space: Space, job: Job) -> np.ndarray:
        """Returns (count, units) of a job's sums or squares; only selected units are read."""
        program, layout, lanes = self._program, self._program.layout, self._config.unit_lanes
        start = job.bank * self._config.state_depth * lanes
        if self._selection.module is None:
            elements = self._link.read(space, start, job.count * layout.state_words * lanes)
            return unpack_units(program, elements.reshape(-1, lanes), job.count)
        names = [module.name for module in program.problem.energies[0].modules]
        first_word, length = layout.module_parts[names.index(self._selection.module)]
        words = np.arange(job.count) * layout.state_words + first_word
        return self._link.read_ranges(space, start + words * lanes, length)

    def _take_samples(self, count: int) -> np.ndarray | None:
        """Takes all words that the running job streams from the ring, while the job runs.

        Returns the samples (count, kept, units), or None where they are not selected: their words
        are then released without being read.
        """
        units, depth = self._config.unit_lanes, self._config.sample_depth
        wanted = self._program.layout.sampled_words
        words = np.zeros((wanted if self._selection.samples else 0, units), np.int64)
        taken, got = self._watch.taken(), 0
        while got < wanted:
            available = self._samples_waiting(taken, wanted - got)
            first = taken % depth
            available = min(available, depth - first)
            if self._selection.samples:
                elements = self._undisturbed(
                    lambda first=first, n=available: self._link.read(
                        Space.SAMPLE, first * units, n * units
                    )
                )
                words[got : got + available] = elements.reshape(-1, units)
            got += available
            taken = taken + available & 0xFFFFFFFF
            self._link.write(Space.CONTROL, Control.TAKEN, [taken])
        if not self._selection.samples:
            return None
        return unpack_samples(self._program, words, count)[
            ..., self._selection.units(self._program)
        ]

    def _samples_waiting(self, taken: int, wanted: int) -> int:
        """Returns how many of the ``wanted`` words wait in the ring, one at least, after ``taken``
        words have been taken.
        """
        for _ in range(2):
            state = self._look()
            waiting = state.samples - taken & 0xFFFFFFFF
            if waiting:
                break
            self._wait(Event.IDLE | Event.SAMPLES)
        if not 0 < waiting <= min(self._config.sample_depth, wanted):
            raise LostError(f"its sample ring holds {waiting} words where {wanted} were to come")
        return waiting

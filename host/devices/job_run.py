# SPDX-License-Identifier: Apache-2.0
"""One run of inputs on a fabric behind a link, job by job, with a check of each job.

While one job relaxes, the inputs of the next one are written. After each job the control registers
must say that the device has done what it was told, and nothing else. If they do not, the program is
loaded again and the jobs whose outputs were not given yet are repeated, once.

Short jobs are sent ahead: the requests of the next ones travel while the answers of earlier ones
come back (:class:`ornstein.host.devices.pipeline.Pipeline`). As soon as anything else than these
answers comes, the jobs that are not finished run again one after the other, each exchange only once
the one before it has ended, and lost requests are repeated.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from ornstein.hdl.protocol import WAIT_UNIT, Opcode
from ornstein.hdl.regmap import Control, Event, Space
from ornstein.hdl.spaces import spaces
from ornstein.host.compile.program import EncodedInputs, Program, job_issues
from ornstein.host.devices import scrubbing
from ornstein.host.devices.control import ControlState, JobWatch, LostError, UpsetError
from ornstein.host.devices.device import DeviceError, Outputs, Selection, joined, scaled_outputs
from ornstein.host.devices.frames import Request
from ornstein.host.devices.jobs import (
    Job,
    job_seeds,
    pack_jobs,
    seed_elements,
    unpack_samples,
    unpack_units,
)
from ornstein.host.devices.line_bytes import InputWords
from ornstein.host.devices.link import LONGEST_WAIT_UNITS, NoAnswerError
from ornstein.host.devices.pipeline import DisturbedError, Pipeline
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

_LEAST_PATIENCE = 16
"""Units of the shortest wait."""
_AHEAD = 8
"""Jobs that may be sent ahead of their answers: more than fill the device's queue of requests, so
that what follows is there once an answer makes room."""
_SHORT = 1 / 4
"""Part of the link's time-out that a job may take for others to be sent ahead of its answers."""

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class _Result:
    """What was read of a job: sums and squares (n, units), and samples (n, kept, units); None is
    what was not read.
    """

    job: Job
    sums: np.ndarray
    squares: np.ndarray | None
    samples: np.ndarray | None


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
        self._finished: list[_Result] = []  # their outputs have not been given yet
        self._pipeline: Pipeline | None = None
        # number of the answers that are due, and the tag of the job that they start; None if they
        # are the results of the oldest job
        self._due: deque[tuple[int, int | None]] = deque()
        # the requests that read a job, by its bank, its inputs and the event that they wait for
        self._questions = dict[tuple[int, int, Event], list[Request]]()
        self._alone_since: float | None = None  # when a job was started that has the device alone
        self._repeated = False  # since outputs were last given
        self._before = dict[str, int | None]()  # counters of what was repeated
        self._looked = time.monotonic()

    def outputs(self, blocks: Iterator[EncodedInputs]) -> Iterator[Outputs]:
        """Yields the outputs of each block that holds an input."""
        self._watch = self._begin()
        number = self._first
        for block in blocks:
            for job in pack_jobs(self._program, block, number):
                self._attempt(lambda job=job: self._start(job))
                number += 1
                while len(self._started) >= self._most_started():
                    self._attempt(self._finish)
                yield from self._complete()
            if not len(block):  # the next one may be long in coming
                yield from self._finish_all()
        yield from self._finish_all()

    def _most_started(self) -> int:
        """Returns the number of started jobs from which on the oldest one is finished first."""
        if self._pipeline is not None:
            return _AHEAD
        # a job that streams samples is read while it runs, so that none can be started behind it
        unknown = self._device.job_seconds is None and not self._warm
        return 1 if unknown or self._program.layout.sampled_words else 2

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
            jobs = [result.job for result in self._finished] + list(self._started)
            self._finished.clear()
            self._device.reload(error)
            self._repeat(jobs)

    def _repeat(self, jobs: list[Job]) -> None:
        """Runs jobs anew, each alone."""
        self._started.clear()
        self._leave_pipeline()
        self._before = self._counters()
        self._watch = self._begin()
        for job in jobs:
            self._attempt(lambda job=job: self._start_alone(job))
            self._attempt(self._finish_oldest)

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

    def _check_strays(self, strays: int) -> None:
        """Raises LostError if the link has counted answers that nothing asked for."""
        if strays != self._strays:
            raise LostError("it executed a request of long ago again")

    # ---- jobs ------------------------------------------------------------------------------------

    def _start(self, job: Job) -> None:
        """Starts a job, ahead of the answers to earlier ones if it may be."""
        if self._pipeline is None and not self._started and self._may_be_ahead():
            self._pipeline = Pipeline(self._link)
        if self._pipeline is None:
            self._start_alone(job)
        else:
            self._start_ahead(self._pipeline, job)

    def _finish(self) -> None:
        """Finishes the oldest job."""
        if self._pipeline is None:
            self._finish_oldest()
        else:
            self._finish_ahead(self._pipeline)

    def _start_alone(self, job: Job) -> None:
        """Writes a job's inputs and starts it. The job before it may still run, none may wait."""
        self._started.append(job)
        self._alone_since = self._link.transport.now() if len(self._started) == 1 else None
        self._undisturbed(lambda: self._link.write_together(self._inputs_of(job)))
        self._watch.start(self._device.start(*self._levels, bank=job.bank))

    @property
    def _levels(self) -> tuple[int, int]:
        """The first level of a job, and how many there are."""
        layout = self._program.layout
        return layout.first_level + self._warm, layout.levels - self._warm

    def _inputs_of(self, job: Job) -> list[tuple[Space, int, np.ndarray]]:
        """Returns what is written for a job: space, place and values."""
        if self._link.repairs != self._repairs:  # a damaged request may have changed any word
            self._inputs.forget()
            self._repairs = self._link.repairs
        layout, units = self._program.layout, self._config.unit_lanes
        place = (layout.input_word + job.bank * layout.bank_offset) * units
        changed = [
            (Space.DRIVE, place + first * units, words.ravel())
            for first, words in self._inputs.changed(job)
        ]
        if not self._program.draws:
            return changed
        seeds = job_seeds(self._seed, job.number, units)
        return [*changed, (Space.SEED, 0, seed_elements(seeds))]

    def _finish_oldest(self) -> None:
        """Waits for the oldest job, reads it, and checks that the device did what it must."""
        job, samples = self._started[0], None
        if self._program.layout.sampled_words:
            samples = self._take_samples(job.count)
        # behind a running job another one waits, so that the queue has room once the first is done
        self._wait(Event.ROOM if len(self._started) > 1 else Event.IDLE)
        if self._alone_since is not None:
            self._device.note_job_seconds(self._link.transport.now() - self._alone_since)
        result = self._undisturbed(lambda: self._read(job, samples))
        state = self._undisturbed(lambda: ControlState.read(self._link))
        self._watch.finish(state)
        self._verify()
        self._check_strays(self._link.strays)
        self._started.popleft()
        self._finished.append(result)

    def _complete(self) -> Iterator[Outputs]:
        """Yields the outputs of each block whose last job was finished."""
        while ends := [n for n, one in enumerate(self._finished, 1) if not one.job.following]:
            parts = self._finished[: ends[0]]
            del self._finished[: ends[0]]
            self._repeated = False
            outputs = scaled_outputs(
                self._program,
                np.concatenate([part.sums for part in parts]),
                joined([part.squares for part in parts]),
                joined([part.samples for part in parts]),
                self._selection,
            )
            yield replace(outputs, counters=self._counters())

    def _counters(self) -> dict[str, int | None]:
        """Returns the counters since the run began, with those of what had to be repeated."""
        return {
            name: value + (self._before.get(name) or 0)
            for name, value in self._watch.counters.items()
        }

    @property
    def _statistics(self) -> tuple[Space, ...]:
        """The spaces that are read of a job."""
        second = self._selection.second and self._config.second_moment
        return (Space.SUM, Space.SQUARE) if second else (Space.SUM,)

    @cached_property
    def _element_bytes(self) -> dict[Space, int]:
        """Bytes of an element of each of the statistics on the link."""
        return {space: spaces(self._config)[space].bytes for space in self._statistics}

    def _read(self, job: Job, samples: np.ndarray | None) -> _Result:
        ranges = self._ranges(job)
        read = [self._link.read_ranges(space, *ranges) for space in self._statistics]
        return self._result(job, read, samples)

    def _ranges(self, job: Job) -> tuple[list[int], int]:
        """Returns the first elements, and the length, of the ranges of sums or squares of a job
        that are read; only selected units are.
        """
        layout, lanes = self._program.layout, self._config.unit_lanes
        start = job.bank * self._config.state_depth * lanes
        if self._selection.module is None:
            return [start], job.count * layout.state_words * lanes
        names = [module.name for module in self._program.problem.energies[0].modules]
        first_word, length = layout.module_parts[names.index(self._selection.module)]
        words = [first_word + input_ * layout.state_words for input_ in range(job.count)]
        return [start + word * lanes for word in words], length

    def _result(self, job: Job, read: list[np.ndarray], samples: np.ndarray | None) -> _Result:
        """Returns what the elements that were read of each of the statistics say."""
        if self._selection.module is None:
            lanes = self._config.unit_lanes
            units = [unpack_units(self._program, one.reshape(-1, lanes), job.count) for one in read]
        else:
            units = [one.reshape(job.count, -1) for one in read]
        return _Result(job, units[0], units[1] if len(units) > 1 else None, samples)

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

    # ---- ahead of the answers --------------------------------------------------------------------

    def _may_be_ahead(self) -> bool:
        """Returns whether jobs may be sent ahead: not those whose answers take long, and not before
        the program in the memories is known to be right.
        """
        seconds = self._device.job_seconds
        return (
            not self._warm
            and not self._program.layout.sampled_words
            and seconds is not None
            and seconds < _SHORT * self._link.timeout
            and self._link.repairs == self._device.verified_repairs
            and self._patience <= LONGEST_WAIT_UNITS
        )

    @cached_property
    def _patience(self) -> int:
        """Units of a wait in which any job has ended."""
        program = self._program
        cycles = program.input_cycles * program.layout.chains
        if self._device.scrubbed:
            cycles += scrubbing.verification_cycles(program)
        return _LEAST_PATIENCE + int(4 * cycles / WAIT_UNIT)

    def _start_ahead(self, pipeline: Pipeline, job: Job) -> None:
        """Sends the requests that start a job, and behind them those that read the job before."""
        self._started.append(job)
        requests = [one for part in self._inputs_of(job) for one in self._link.writes(*part)]
        register, tag = self._device.next_job(*self._levels, job.bank)
        requests.append(self._link.register_write(Control.START, register))
        self._due.append((len(requests), tag))
        pipeline.send(requests)
        if len(self._started) > 1:
            self._ask(pipeline, self._started[-2], Event.ROOM)

    def _ask(self, pipeline: Pipeline, job: Job, event: Event) -> None:
        """Sends the requests that read a job once the event holds."""
        requests = self._questions.get((job.bank, job.count, event))
        if requests is None:
            requests = self._questions[job.bank, job.count, event] = self._asked(job, event)
        self._due.append((len(requests), None))
        pipeline.send(requests)

    def _asked(self, job: Job, event: Event) -> list[Request]:
        """Returns the requests that read a job once the event holds."""
        reads = [self._link.reads(space, *self._ranges(job)) for space in self._statistics]
        register, count = ControlState.place(self._config)
        return [
            Request(Opcode.WAIT, 0, event, self._patience, answer_bytes=1),
            *(request for space in reads for request in space),
            *self._link.reads(Space.CONTROL, [register], count),
        ]

    def _finish_ahead(self, pipeline: Pipeline) -> None:
        """Takes the answers up to the results of the oldest job, and checks them."""
        job = self._started[0]
        if len(self._started) == 1:
            self._ask(pipeline, job, Event.IDLE)
        try:
            count, tag = self._due.popleft()
            while tag is not None:
                pipeline.answers(count)
                self._watch.start(tag)
                count, tag = self._due.popleft()
            _, *read, registers = pipeline.answers(count)
        except DisturbedError:
            self._recover()
            return
        if self._link.repairs != self._device.verified_repairs:  # the program must be compared
            self._recover()
            return
        found = self._unpacked(job, b"".join(read))
        self._watch.finish(ControlState.of(self._link.unpacked(Space.CONTROL, registers)))
        self._started.popleft()
        self._finished.append(self._result(job, found, None))

    def _unpacked(self, job: Job, data: bytes) -> list[np.ndarray]:
        """Returns the elements of each of the statistics of a job from the bytes of all of them."""
        starts, length = self._ranges(job)
        found, begin = [], 0
        for space, size in self._element_bytes.items():
            end = begin + len(starts) * length * size
            found.append(self._link.unpacked(space, data[begin:end]))
            begin = end
        return found

    def _recover(self) -> None:
        """Ends the pipeline, and runs its jobs again. Raises LostError if the device is not as it
        was left.
        """
        strays = self._link.strays
        self._leave_pipeline()
        lost = self._found_lost(self._device.settle())
        if lost is not None:
            raise lost
        self._check_strays(strays)
        self._repeat(list(self._started))

    def _leave_pipeline(self) -> None:
        self._pipeline = None
        self._due.clear()

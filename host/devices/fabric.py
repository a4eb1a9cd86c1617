# SPDX-License-Identifier: Apache-2.0
"""A fabric behind a link as a device: the simulated gateware and every board."""

import functools
import secrets
from collections.abc import Iterator

import numpy as np

from ornstein.hdl.config import FabricConfig
from ornstein.hdl.regmap import Control, Event, Space, StartRegister, StatusRegister
from ornstein.host.compile.program import EncodedInputs, Program
from ornstein.host.devices import scrubbing
from ornstein.host.devices.control import ControlState, LostError, UpsetError
from ornstein.host.devices.device import Device, DeviceError, Outputs, Selection
from ornstein.host.devices.images import compare_images, memory_images
from ornstein.host.devices.job_run import JobRun
from ornstein.host.devices.jobs import seed_elements
from ornstein.host.devices.link import Link
from ornstein.sim.transport import Transport

_ABORT_SECONDS = 10.0
"""Seconds in which an aborted job must have ended. It still runs two passes to their end."""
_TAG = StartRegister.as_shape()["tag"]
_TAGS = (1 << _TAG.width) - 1
"""Tags of jobs: 1 to 255. A device that was reset has 0."""
_SESSIONS = (1 << StatusRegister.as_shape()["session"].width) - 1
"""Values of the session that a host writes: 1 to 255."""


class FabricDevice(Device):
    """See :class:`ornstein.host.devices.device.Device`.

    Parameters
    ----------
    transport : Transport; it is closed with the device, and if opening the device fails
    uri : the name by which the user opened the device
    timeout : seconds of silence after which the link repeats its requests
    look : seconds between two looks at the counters while a job runs. At 48 MHz they wrap after 89.
        A job that does more than it must is ended then

    Attributes
    ----------
    session : what the device's status shows as long as the loaded program is in its memories; None
        if it is not known to be there
    verified_repairs : ``link.repairs`` when the memories were last compared with the program
    job_seconds : what a job of the loaded program takes at most, with its inputs on the link; None
        before the first
    scrubbed : memories that the scrubber verifies, a bit each; 0 where there is none

    Raises
    ------
    LinkError
        No fabric that this version can drive answers.
    """

    config: FabricConfig

    def __init__(self, transport: Transport, uri: str, *, timeout: float = 1.0, look: float = 5.0):
        super().__init__()
        self.look = look
        self.uri = uri
        self.session: int | None = None
        self.verified_repairs = 0
        self.job_seconds: float | None = None
        self.scrubbed = 0
        self.link = Link(transport, timeout=timeout)
        try:
            self.config = self.link.identify()
            self.link.negotiate_baud()
            self._tag = ControlState.read(self.link).tag
        except BaseException:
            transport.close()
            raise

    def close(self) -> None:
        super().close()
        self.link.close()

    def _load(self, program: Program) -> None:
        """Writes the program and reads it back, a second time if what is read differs."""
        self.job_seconds = None
        try:
            self._write(program)
        except DeviceError:
            self._write(program)

    def _update(self, program: Program, changed: np.ndarray) -> None:
        """Writes each group of neighbouring words and reads it back, a second time if it differs,
        and tells the scrubber what it must find now.

        A device that was reset since is found by the next run, which loads the program again.
        """
        self.settle()
        self.stop_scrubbing()
        lanes = self.config.lanes
        for words in np.split(changed, np.flatnonzero(np.diff(changed) > 1) + 1):
            if not len(words):
                continue
            start, elements = int(words[0]) * lanes, program.factor[words].ravel().astype(np.int64)
            for _ in range(2):
                self.link.write(Space.FACTOR, start, elements)
                if np.array_equal(self.link.read(Space.FACTOR, start, len(elements)), elements):
                    break
            else:
                self.session = None
                raise DeviceError(
                    f"device {self.uri!r} does not hold the factors that were written from element "
                    f"{start} on; load the program again"
                )
        if self.config.scrub:
            self.scrubbed = scrubbing.begin(self.link, program)

    def _write(self, program: Program) -> None:
        """Writes the program, zeroes the states that it uses, compares the memories with the
        program, and lets the scrubber verify them from then on.

        The session is written first, so that a reset at any time shows. Raises DeviceError if the
        memories differ, or if the device was reset.
        """
        self.settle()
        self.stop_scrubbing()
        # known again only at the end, so that a load that fails half way does not count as whole
        self.session, session = None, 1 + secrets.randbelow(_SESSIONS)
        status = StatusRegister.const({"session": session})
        self.link.write(Space.CONTROL, Control.STATUS, [status.as_bits()])
        states = np.zeros(program.touched_states * self.config.unit_lanes, np.int8)
        for space in (Space.STATE, Space.NOISE):
            self.link.write(space, 0, states)
        for image in memory_images(program):
            self.link.write(image.space, image.start, image.elements)
        repairs = self.link.repairs
        compare_images(self.uri, program, self.link.read)
        if self.config.scrub:
            self.scrubbed = scrubbing.begin(self.link, program)
        if ControlState.read(self.link).session != session:
            raise LostError(f"device {self.uri!r} was reset while it was loaded; load it again")
        self.session, self.verified_repairs = session, repairs

    def stop_scrubbing(self) -> None:
        """Lets the memories be written: what the scrubber then finds is no upset."""
        if self.config.scrub:
            scrubbing.stop(self.link)
        self.scrubbed = 0

    def reload(self, lost: LostError) -> None:
        """Loads the program again onto a device that has lost it."""
        if isinstance(lost, UpsetError):
            self.upsets.update(lost.memories)
        self._load(self._loaded())
        self.reloads += 1

    def find_upset(self) -> UpsetError | None:
        """Ends whatever runs on the device; returns what its scrubber has found, if anything."""
        if not self.scrubbed:
            return None
        state = self.settle()
        if state.scrub is None or state.session != self.session:
            return None
        return state.scrub.upset()

    def verify(self) -> int:
        program, repairs = self._loaded(), self.link.repairs
        compared = compare_images(self.uri, program, self.link.read)
        self.verified_repairs = repairs
        return compared

    def settle(self) -> ControlState:
        """Ends whatever runs on the device, and empties its sample ring; returns its registers.

        Raises LinkError if it does not become idle.
        """
        self._check_open()
        state = ControlState.read(self.link)
        if state.busy:
            self.link.write(Space.CONTROL, Control.ABORT, [1])
            self.link.wait(Event.IDLE, _ABORT_SECONDS)
            state = ControlState.read(self.link)
        if state.taken != state.samples:
            self.link.write(Space.CONTROL, Control.TAKEN, [state.samples])
            state = ControlState.read(self.link)
        self._tag = state.tag
        return state

    def _run_blocks(
        self,
        program: Program,
        blocks: Iterator[EncodedInputs],
        seed: int,
        warm: bool,
        selection: Selection,
    ) -> Iterator[Outputs]:
        return JobRun(self, program, seed, warm, selection).outputs(blocks)

    def note_job_seconds(self, seconds: float) -> None:
        """Notes how long a job of the loaded program took that had the device alone."""
        self.job_seconds = min(seconds, self.job_seconds or seconds)

    def write_seeds(self, seeds: np.ndarray) -> None:
        """Writes the states (unit_lanes,) uint64 from which the noise generators of the next job
        start.
        """
        self.link.write(Space.SEED, 0, seed_elements(seeds))

    def start(self, first: int, levels: int, *, bank: int = 0) -> int:
        """Starts a job of ``levels`` levels from descriptor ``first`` on; returns its tag."""
        job, tag = self.next_job(first, levels, bank)
        self.link.write(Space.CONTROL, Control.START, [job])
        return tag

    def next_job(self, first: int, levels: int, bank: int) -> tuple[int, int]:
        """Returns what the register START must be given for the next job, and the job's tag."""
        self._tag = self._tag % _TAGS + 1
        return _start_register(first, levels, bank) | self._tag << _TAG.offset, self._tag


@functools.cache
def _start_register(first: int, levels: int, bank: int) -> int:
    """Returns the register START of a job with the tag 0."""
    job = StartRegister.const({"first": first, "levels": levels, "reseed": 1, "bank": bank})
    return job.as_bits()

# SPDX-License-Identifier: Apache-2.0
"""The control registers of a fabric as the host reads them, and whether they say what they must."""

import functools
from dataclasses import dataclass
from typing import Self

import numpy as np
from amaranth.lib import data

from ornstein.hdl import regmap
from ornstein.hdl.config import FabricConfig
from ornstein.hdl.regmap import SCRUBBED, Control, ScrubRegister, Space, StatusRegister
from ornstein.host.devices.device import COUNTERS, DeviceError
from ornstein.host.devices.link import Link

_COUNTERS = [
    (name, register.value) for name, register in zip(COUNTERS, regmap.COUNTERS, strict=True)
]
_WORD = 1 << 32
_DONE = 1 << StatusRegister.as_shape()["done"].width
_PASSES = 1 << ScrubRegister.as_shape()["passes"].width


@functools.cache
def _layout(register: type[data.Struct]) -> tuple[tuple[str, int, int], ...]:
    """Returns name, lowest bit and mask of each field of a register."""
    return tuple(
        (str(name), field.offset, (1 << field.width) - 1) for name, field in register.as_shape()
    )


def _fields(register: type[data.Struct], value: int) -> dict[str, int]:
    """Returns the fields of a register that holds a value. Amaranth's own ``from_bits`` takes a
    tenth of the time that a job has on the line.
    """
    return {name: value >> low & mask for name, low, mask in _layout(register)}


class LostError(DeviceError):
    """The device is not as the host left it: it was reset, or something else has used it. What it
    answered since is worth nothing.
    """


class UpsetError(LostError):
    """A memory of the device does not hold the program any more.

    Attributes
    ----------
    memories : names of the memories whose checksum was wrong
    """

    def __init__(self, memories: tuple[str, ...]):
        super().__init__(memories)  # pickle makes it again from these
        self.memories = memories

    def __str__(self) -> str:
        return f"its scrubber found a wrong checksum of {' and of '.join(self.memories)}"


@dataclass(frozen=True)
class ScrubState:
    """What a scrubber says.

    Attributes
    ----------
    memories : those that it verifies, a bit each in the order of
        :data:`ornstein.hdl.regmap.SCRUBBED`
    mismatch : those whose checksum was wrong
    passes : modulo 2**24
    """

    memories: int
    mismatch: int
    passes: int

    @classmethod
    def of(cls, value: int) -> Self:
        """Returns the state that the register SCRUB holds."""
        return cls(**_fields(ScrubRegister, value))

    def upset(self) -> UpsetError | None:
        """Returns the error that names the memories whose checksum was wrong, if there are any."""
        wrong = [space.name for bit, space in enumerate(SCRUBBED) if self.mismatch >> bit & 1]
        return UpsetError(tuple(wrong)) if wrong else None


@dataclass(frozen=True)
class ControlState:
    """The registers from STATUS to TAKEN, and where there is a scrubber to SCRUB, read at once.

    Attributes
    ----------
    busy : a job runs or waits
    done, tag, session : see :class:`ornstein.hdl.regmap.StatusRegister`
    counters : by name, modulo 2**32
    samples, taken : words that have entered the sample ring and were taken out, modulo 2**32
    scrub : what the scrubber says; None where there is none
    """

    busy: bool
    done: int
    tag: int
    session: int
    counters: dict[str, int]
    samples: int
    taken: int
    scrub: ScrubState | None = None

    @classmethod
    def read(cls, link: Link) -> Self:
        """Reads the registers."""
        first, count = cls.place(link.config)
        return cls.of(link.read(Space.CONTROL, first, count))

    @staticmethod
    def place(config: FabricConfig) -> tuple[int, int]:
        """Returns the number of the first register, and how many there are."""
        first, last = Control.STATUS, Control.SCRUB if config.scrub else Control.TAKEN
        return first, last - first + 1

    @classmethod
    def of(cls, registers: np.ndarray) -> Self:
        """Returns the state that the registers (count,) of :meth:`place` hold."""
        values, first = registers.tolist(), Control.STATUS.value
        status = _fields(StatusRegister, values[0])
        return cls(
            busy=bool(status["running"] or status["pending"]),
            done=status["done"],
            tag=status["tag"],
            session=status["session"],
            counters={name: values[register - first] for name, register in _COUNTERS},
            samples=values[Control.SAMPLES - first],
            taken=values[Control.TAKEN - first],
            scrub=ScrubState.of(values[-1]) if len(values) > Control.SCRUB - first else None,
        )


class JobWatch:
    """Compares what a fabric does with what it was told, from a moment on in which it was idle and
    its counters were zero.

    Parameters
    ----------
    state : the registers at that moment
    session : what the host wrote when it loaded the program
    issues, sampled : cycles in which a job multiplies, and words that it sends to the sample ring
    verified : memories that the scrubber was told to verify, see :class:`ScrubState`

    Attributes
    ----------
    counters : by name, in full; the registers hold them modulo 2**32, and are read often enough
    started, finished : jobs
    """

    def __init__(
        self,
        state: ControlState,
        session: int | None,
        issues: int,
        sampled: int,
        verified: int = 0,
    ):
        self.counters = dict.fromkeys(COUNTERS, 0)
        self.started = self.finished = 0
        self._tag = state.tag
        self._first, self._last = state, dict.fromkeys(COUNTERS, 0)
        self._session, self._issues, self._sampled = session, issues, sampled
        self._verified, self._passes, self._last_passes = verified, 0, 0
        if state.scrub:
            self._last_passes = state.scrub.passes

    def start(self, tag: int) -> None:
        """Notes that a job with that tag was started."""
        self.started, self._tag = self.started + 1, tag

    def note(self, state: ControlState) -> None:
        """Counts on. Raises LostError if the device was reset or used by something else, if it does
        more than it was told, or if its scrubber found a memory changed.
        """
        self._need(state.session == self._session, "it was reset, or loaded by something else")
        self._need(state.tag == self._tag, "something else has started a job on it")
        for name, value in state.counters.items():
            self.counters[name] += (value - self._last[name]) % _WORD
        self._last = state.counters
        # the lanes multiply in no more cycles than there are
        while self.counters["cycles"] < self.counters["issued"]:
            self.counters["cycles"] += _WORD
        if state.scrub and self._verified:
            same = state.scrub.memories == self._verified
            self._need(same, "its scrubber verifies other memories than it was told")
            if upset := state.scrub.upset():
                raise upset
            self._passes += (state.scrub.passes - self._last_passes) % _PASSES
            self._last_passes = state.scrub.passes
        issued, most = self.counters["issued"], self.started * self._issues
        self._need(
            issued <= most,
            f"its lanes multiplied in {issued} cycles where the program needs {most}",
        )
        entered, most = self._entered(state), self.started * self._sampled
        self._need(entered <= most, f"it sent {entered} sampled words instead of {most}")

    def finish(self, state: ControlState) -> None:
        """Notes that one more job has ended. Raises LostError unless the device has done exactly
        what the jobs so far must do, and of those that were started since no more than they must.
        """
        self.note(state)
        self.finished += 1
        most = self.started - self.finished
        ahead = (state.done - self._first.done - self.finished) % _DONE
        self._need(ahead <= most, f"it has finished {ahead} jobs more than it was given")
        self._need(most or not state.busy, "it works on a job that nobody started")
        issued, least = self.counters["issued"], self.finished * self._issues
        self._need(
            least <= issued,
            f"its lanes multiplied in {issued} cycles where the program needs {least}",
        )
        unverified = self._verified and self._passes < self.finished
        self._need(not unverified, "its scrubber did not verify its memories behind the job")
        entered = self._entered(state)
        expected = self.finished * self._sampled % _WORD
        self._need(
            most or entered == expected, f"it sent {entered} sampled words instead of {expected}"
        )

    def _entered(self, state: ControlState) -> int:
        """Returns the words that have entered the sample ring, modulo 2**32."""
        return (state.samples - self._first.samples) % _WORD

    def taken(self) -> int:
        """Returns what the register TAKEN must hold once all finished jobs' samples are taken."""
        return (self._first.samples + self.finished * self._sampled) % _WORD

    @staticmethod
    def _need(holds: object, what: str) -> None:
        if not holds:
            raise LostError(what)

# SPDX-License-Identifier: Apache-2.0
"""The control registers of a fabric as the host reads them, and whether they say what they must."""

from dataclasses import dataclass
from typing import Self

from ornstein.hdl import regmap
from ornstein.hdl.regmap import Control, Space, StatusRegister
from ornstein.host.devices.device import COUNTERS, DeviceError
from ornstein.host.devices.link import Link

_WORD = 1 << 32
_DONE = 1 << StatusRegister.as_shape()["done"].width


class LostError(DeviceError):
    """The device is not as the host left it: it was reset, or something else has used it. What it
    answered since is worth nothing.
    """


@dataclass(frozen=True)
class ControlState:
    """The registers from STATUS to TAKEN, read at once.

    Attributes
    ----------
    busy : a job runs or waits
    done, tag, session : see :class:`ornstein.hdl.regmap.StatusRegister`
    counters : by name, modulo 2**32
    samples, taken : words that have entered the sample ring and were taken out, modulo 2**32
    """

    busy: bool
    done: int
    tag: int
    session: int
    counters: dict[str, int]
    samples: int
    taken: int

    @classmethod
    def read(cls, link: Link) -> Self:
        """Reads the registers."""
        first, last = Control.STATUS, Control.TAKEN
        values = [int(value) for value in link.read(Space.CONTROL, first, last - first + 1)]
        status = StatusRegister.from_bits(values[0])
        return cls(
            busy=bool(status.running or status.pending),
            done=status.done,
            tag=status.tag,
            session=status.session,
            counters={
                name: values[register - first]
                for name, register in zip(COUNTERS, regmap.COUNTERS, strict=True)
            },
            samples=values[Control.SAMPLES - first],
            taken=values[Control.TAKEN - first],
        )


class JobWatch:
    """Compares what a fabric does with what it was told, from a moment on in which it was idle and
    its counters were zero.

    Parameters
    ----------
    state : the registers at that moment
    session : what the host wrote when it loaded the program
    issues, sampled : cycles in which a job multiplies, and words that it sends to the sample ring

    Attributes
    ----------
    counters : by name, in full; the registers hold them modulo 2**32, and are read often enough
    started, finished : jobs
    """

    def __init__(self, state: ControlState, session: int | None, issues: int, sampled: int):
        self.counters = dict.fromkeys(COUNTERS, 0)
        self.started = self.finished = 0
        self._tag = state.tag
        self._first, self._last = state, dict.fromkeys(COUNTERS, 0)
        self._session, self._issues, self._sampled = session, issues, sampled

    def start(self, tag: int) -> None:
        """Notes that a job with that tag was started."""
        self.started, self._tag = self.started + 1, tag

    def note(self, state: ControlState) -> None:
        """Counts on. Raises LostError if the device was reset or used by something else."""
        self._need(state.session == self._session, "it was reset, or loaded by something else")
        self._need(state.tag == self._tag, "something else has started a job on it")
        for name, value in state.counters.items():
            self.counters[name] += (value - self._last[name]) % _WORD
        self._last = state.counters
        # the lanes multiply in no more cycles than there are
        while self.counters["cycles"] < self.counters["issued"]:
            self.counters["cycles"] += _WORD

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
            least <= issued <= least + most * self._issues,
            f"its lanes multiplied in {issued} cycles where the program needs {least}",
        )
        entered = (state.samples - self._first.samples) % _WORD
        expected = self.finished * self._sampled % _WORD
        self._need(
            most or entered == expected, f"it sent {entered} sampled words instead of {expected}"
        )

    def taken(self) -> int:
        """Returns what the register TAKEN must hold once all finished jobs' samples are taken."""
        return (self._first.samples + self.finished * self._sampled) % _WORD

    @staticmethod
    def _need(holds: object, what: str) -> None:
        if not holds:
            raise LostError(what)

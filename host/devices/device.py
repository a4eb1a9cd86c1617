# SPDX-License-Identifier: Apache-2.0
"""One interface for everything that runs programs: the simulated gateware, the integer model, the
float reference and boards.

    with open_device("rtl") as device:
        device.load(program)
        outputs = device.run(inputs, seed=1)
"""

import logging
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from numbers import Integral
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from ornstein.hdl import regmap
from ornstein.hdl.config import PRESETS, FabricConfig, preset
from ornstein.host.compile.consistency import check_program, check_same_but_factors
from ornstein.host.compile.program import EncodedInputs, Program
from ornstein.host.physics.problem import Problem

_log = logging.getLogger(__name__)

COUNTERS = tuple(counter.name.lower() for counter in regmap.COUNTERS)


class DeviceError(RuntimeError):
    """There is no such device, or the device cannot do what was asked; one line."""


@dataclass(frozen=True)
class Selection:
    """What a device reads back of its results. The mean is always read.

    Attributes
    ----------
    second : read the second moments, where the device was built with them
    samples : read the samples that the program streams
    module : name of the module whose units are read; None reads all units
    """

    second: bool = True
    samples: bool = True
    module: str | None = None

    def units(self, program: Program) -> slice:
        """Returns the selected units among all units of the program. Raises DeviceError if the
        program has no such module."""
        if self.module is None:
            return slice(None)
        slices = program.problem.energies[0].slices
        if self.module not in slices:
            raise DeviceError(
                f"program {program.name!r} has no module {self.module!r}; it has "
                f"{', '.join(slices)}"
            )
        return slices[self.module]


EVERYTHING = Selection()


def prediction_only(problem: Problem) -> Selection:
    """Returns the selection that :meth:`Outputs.prediction` needs: the target's means alone."""
    return Selection(second=False, samples=False, module=problem.target)


@dataclass(frozen=True, eq=False)
class Outputs:
    """The results of n inputs, for the units that were selected.

    Attributes
    ----------
    mean : (n, units) float64, time average of the states over the accumulating stages
    second : (n, units) float64, time average of the squared states; None where it was not selected
        or the device was built without it
    samples : (n, kept, units) float64, every ``thin``-th state of the stages that stream, in the
        order of time; ``kept`` is 0 where samples were not selected
    sums, squares : (n, units) int64, the integers from which a fabric's ``mean`` and ``second``
        are scaled; None from the float device
    counters : cycles (None where there is no clock), issued, rank_saturations and
        state_saturations, counted since the beginning of the stream
    selection : what was read
    """

    mean: np.ndarray
    second: np.ndarray | None
    samples: np.ndarray
    sums: np.ndarray | None = None
    squares: np.ndarray | None = None
    counters: dict[str, int | None] = field(default_factory=lambda: dict.fromkeys(COUNTERS))
    selection: Selection = EVERYTHING

    @classmethod
    def join(cls, parts: list["Outputs"]) -> "Outputs":
        """Returns the outputs of consecutive inputs as one, with the counters of the last part."""
        return cls(
            mean=np.concatenate([part.mean for part in parts]),
            second=joined([part.second for part in parts]),
            samples=np.concatenate([part.samples for part in parts]),
            sums=joined([part.sums for part in parts]),
            squares=joined([part.squares for part in parts]),
            counters=parts[-1].counters,
            selection=parts[-1].selection,
        )

    def prediction(self, problem: Problem) -> np.ndarray:
        """Returns the prediction (n, D), whether all units or only the target's were read."""
        if self.selection.module is None:
            return problem.decode(self.mean)
        return problem.decode_target(self.mean)


def joined(arrays: list[np.ndarray | None]) -> np.ndarray | None:
    """Returns the arrays one after the other, or None if one of them is None."""
    present = [array for array in arrays if array is not None]
    return np.concatenate(present) if len(present) == len(arrays) else None


class Device(ABC):
    """Something that runs programs. Use it as a context manager, or call :meth:`close`.

    Attributes
    ----------
    uri : the name by which the user opened it
    config : its fabric; None for the float device
    program : the loaded program; None before :meth:`load`, and after one that failed
    reloads : how often the program was loaded again because the device had lost it
    upsets : how often that was because a memory had changed, by its name
    warm_start : whether it keeps states from which a warm run starts
    """

    uri: str
    config: FabricConfig | None

    def __init__(self) -> None:
        self.program: Program | None = None
        self.reloads = 0
        self.upsets: Counter[str] = Counter()
        self.warm_start = True
        self._closed = False
        # what may use the device now: the last run or stream that began, until the next one or a
        # load
        self._owner: object | None = None
        self._finished = True  # whether the last run came to its end

    def load(self, program: Program) -> None:
        """Loads the program, and compares what the device's memories then hold with it.

        A stream that was not read to its end cannot go on afterwards. Warm runs start from zero.

        Raises
        ------
        ProgramError
            The program does not fit the device, or its parts contradict each other
            (:func:`ornstein.host.compile.consistency.check_program`). Nothing was written, and
            what was loaded before can still be run.
        DeviceError
            The device is closed, or its memories do not hold what was written.
        """
        self._check_open()
        check_program(program)
        if self.config is not None:
            program.check_fits(self.config)
        _log.info("loading %s onto %s", program.name, self.uri)
        self.program, self._owner = None, None
        self._load(program)
        self.program, self._finished = program, True

    @abstractmethod
    def _load(self, program: Program) -> None:
        """Puts a program that fits onto the device, with all states zero."""

    def update(self, program: Program) -> int:
        """Replaces the loaded program by one that has other factors and is the same in all else.

        Only factor words that changed are written, and read back. The states are kept, so that a
        warm run starts from them. A stream that was not read to its end cannot go on afterwards.

        Returns
        -------
        The number of words that changed.

        Raises
        ------
        ProgramError
            The program differs in more than its factors, or they exceed the factor bits. Nothing
            was written.
        DeviceError
            The device is closed, no program is loaded, or its memory does not hold what was
            written; the program must then be loaded again.
        """
        loaded = self._loaded()
        check_same_but_factors(loaded, program)
        changed = np.flatnonzero((program.factor != loaded.factor).any(axis=1))
        self._owner, self.program = None, None
        self._update(program, changed)
        self.program = program
        return len(changed)

    @abstractmethod
    def _update(self, program: Program, changed: np.ndarray) -> None:
        """Writes the factor words (n,) of those numbers, and leaves everything else."""

    @abstractmethod
    def verify(self) -> int:
        """Reads the loaded program back from the device's memories and compares it.

        Returns the number of elements that were compared: 0 for a device without memories. Raises
        DeviceError at the first element that differs.
        """

    @abstractmethod
    def _run_blocks(
        self,
        program: Program,
        blocks: Iterator[EncodedInputs],
        seed: int,
        warm: bool,
        selection: Selection,
    ) -> Iterator[Outputs]:
        """Yields the outputs of each block that holds an input; see :meth:`stream`.

        It may be left at any point; the next call must not be disturbed by what is then under way.
        """

    def stream(
        self,
        blocks: Iterable[ArrayLike],
        *,
        seed: int = 1,
        warm: bool = False,
        selection: Selection = EVERYTHING,
    ) -> Iterator[Outputs]:
        """Yields the outputs of each block (n, input_size) of inputs as soon as they are there.

        The outputs depend on the inputs and the seed alone, and not on how the inputs are divided
        into blocks, as long as all blocks but the last hold a multiple of
        ``program.layout.chains`` inputs.

        Parameters
        ----------
        blocks : inputs. A block without inputs gives no outputs; it says that the next one may be
            long in coming, so that the outputs of all before it are given first
        seed : fixes every random number
        warm : start each input from the state in which its chain was left, by the input
            ``program.layout.chains`` places before it or by the last run, instead of from zero
        selection : what to read back

        Raises
        ------
        InputError
            A block cannot be encoded; none of its inputs has reached the device. Its number counts
            from the beginning of the stream.
        DeviceError
            The device is closed, no program is loaded, the seed is no non-negative integer, or the
            program has no module of the selected name. While the stream is read: another run, a
            load or a close has come between, or a warm start follows a run that did not come to its
            end.
        """
        program = self._loaded()
        selection.units(program)
        return self._owned(_encoded(program, blocks), _checked_seed(seed), warm, selection)

    def _owned(
        self, blocks: Iterator[EncodedInputs], seed: int, warm: bool, selection: Selection
    ) -> Iterator[Outputs]:
        """Yields the outputs of each block as long as nothing else has used the device."""
        program, owner = self._loaded(), object()
        if warm and not self._finished:
            raise DeviceError(
                f"the last run on device {self.uri!r} did not come to its end, so that there are "
                "no states for a warm start; run without it first"
            )
        self._owner, self._finished = owner, False

        def check() -> None:
            self._check_open()
            if self._owner is not owner:
                raise DeviceError(
                    f"device {self.uri!r} has run or loaded something else since, so that this "
                    "stream cannot go on; read one stream to its end before the next"
                )

        def checked() -> Iterator[EncodedInputs]:
            for block in blocks:  # the user's own code, which may use the device
                check()
                yield block

        outputs = self._run_blocks(program, checked(), seed, warm, selection)
        while (part := next(outputs, None)) is not None:
            yield part
            check()
        self._finished = True

    def run(
        self,
        inputs: ArrayLike,
        *,
        seed: int = 1,
        warm: bool = False,
        progress: Callable[[int], None] | None = None,
        selection: Selection = EVERYTHING,
    ) -> Outputs:
        """Returns the outputs of inputs (n, input_size); see :meth:`stream`.

        ``progress`` is called now and then with the number of inputs finished since its last call.
        Raises InputError before anything is written, and DeviceError also if there are no inputs.
        """
        program = self._loaded()
        selection.units(program)
        encoded = program.encode(inputs)
        if not len(encoded):
            raise DeviceError("there are no inputs to run")
        size = self._inputs_at_once(program) if progress else len(encoded)
        blocks = (encoded[first : first + size] for first in range(0, len(encoded), size))
        parts = []
        for part in self._owned(blocks, _checked_seed(seed), warm, selection):
            parts.append(part)
            if progress:
                progress(len(part.mean))
        return Outputs.join(parts)

    def _inputs_at_once(self, program: Program) -> int:
        """Returns how many inputs are run between two reports of progress."""
        chains = program.layout.chains
        return chains * max(1, 16 // chains)

    def close(self) -> None:
        """Releases the device; may be called again. Any other use raises DeviceError from then
        on.
        """
        self._closed = True

    def _check_open(self) -> None:
        """Raises DeviceError if the device was closed."""
        if self._closed:
            raise DeviceError(f"device {self.uri!r} is closed; open it again")

    def _loaded(self) -> Program:
        """Returns the loaded program. Raises DeviceError if there is none, or if the device was
        closed.
        """
        self._check_open()
        if self.program is None:
            raise DeviceError(f"no program is loaded on device {self.uri!r}; load one first")
        return self.program

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def _encoded(program: Program, blocks: Iterable[ArrayLike]) -> Iterator[EncodedInputs]:
    first = 0
    for block in blocks:
        encoded = program.encode(block, first=first)
        first += len(encoded)
        yield encoded


def _checked_seed(seed: int) -> int:
    """Returns the seed. Raises DeviceError unless it is a non-negative integer."""
    if not isinstance(seed, Integral) or seed < 0:
        raise DeviceError(f"seed must be a non-negative integer, not {seed!r}")
    return int(seed)


def scaled_outputs(
    program: Program,
    sums: np.ndarray,
    squares: np.ndarray | None,
    samples: np.ndarray | None,
    selection: Selection,
) -> Outputs:
    """Returns outputs in physical units from integers.

    ``sums`` and ``squares`` are (n, units), ``samples`` is (n, kept, units); None is what was not
    read. The counters are left at None.
    """
    count, lsb = program.problem.samples, program.state_lsb
    if samples is None:
        samples = np.zeros((len(sums), 0, sums.shape[-1]), np.int64)
    return Outputs(
        mean=sums * (lsb / count),
        second=None if squares is None else squares * (lsb**2 / count),
        samples=samples * lsb,
        sums=sums,
        squares=squares,
        selection=selection,
    )


URIS = {
    "rtl[:FABRIC][?waves=FILE]": "the gateware, simulated by Verilator (default); with waves, FST",
    "model[:FABRIC]": "the bit-exact integer model",
    "float": "float64 Langevin dynamics; float:exact gives the closed form",
    "serial:PORT[?baud=N]": "a board at that serial port; without N the rate is negotiated",
    "serial[:auto[?ports=all]]": "the one board that answers at a USB serial port, or at any port",
    "URI?imperfections=FILE": "any of these as the imperfect chip that a TOML file describes",
}


def may_be_shared(uri: str) -> bool:
    """Returns whether several may have this device open at a time. A serial port has one user, and
    a file of waveforms holds those of one simulator.
    """
    return not uri.startswith("serial") and "?waves=" not in uri


def open_device(uri: str) -> Device:
    """Opens the device of that URI (:data:`URIS`). FABRIC is the name of a preset, by default
    ``reference``.

    Raises
    ------
    DeviceError
        There is no such device, or the file of its imperfections is wrong.
    ToolError
        A tool that the simulator is built with is missing, or one that waveforms need.
    OSError
        The waveforms cannot be written.
    LinkError
        The port cannot be opened, or nothing at it answers as a device.
    """
    _log.info("opening device %s", uri)
    begin = time.perf_counter()
    device = _opened(uri)
    _log.info("opened device %s in %.3g s", uri, time.perf_counter() - begin)
    return device


def _opened(uri: str) -> Device:
    ideal, imperfections = _without_imperfections(uri)
    if imperfections is not None:
        from ornstein.host.devices.imperfect import open_imperfect
        from ornstein.host.devices.imperfections import Chip

        return open_imperfect(ideal, Chip.read(imperfections), uri)
    name, _, waves = uri.partition("?waves=")
    scheme, _, rest = name.partition(":")
    if waves and scheme != "rtl":
        raise DeviceError(
            f"device {scheme!r} has no signals; waveforms are those of rtl[:FABRIC]?waves=FILE"
        )
    if scheme in ("rtl", "model") and (rest or "reference") in PRESETS:
        config = preset(rest or "reference")
        if scheme == "model":
            from ornstein.host.devices.model import ModelDevice

            return ModelDevice(config, uri)
        from ornstein.host.devices.rtl import RtlDevice

        return RtlDevice(config, uri, waves=Path(waves) if waves else None)
    if scheme == "float" and rest in ("", "exact"):
        from ornstein.host.devices.float import FloatDevice

        return FloatDevice(uri, exact=bool(rest))
    if uri in ("serial", "serial:auto", "serial:auto?ports=all"):
        from ornstein.host.devices import ports
        from ornstein.host.devices.fabric import FabricDevice

        return FabricDevice(ports.find(every="all" in uri), uri)
    if scheme == "serial" and rest:
        from ornstein.host.devices.fabric import FabricDevice
        from ornstein.host.devices.serial import SerialTransport

        return FabricDevice(SerialTransport.from_uri(uri), uri)
    raise DeviceError(
        f"no device is called {uri!r}; there are {', '.join(URIS)} with FABRIC one of "
        f"{', '.join(PRESETS)}"
    )


def _without_imperfections(uri: str) -> tuple[str, str | None]:
    """Returns the URI without its option ``imperfections``, and that option."""
    for separator in "?", "&":
        ideal, found, path = uri.partition(f"{separator}imperfections=")
        if found:
            return ideal, path
    return uri, None

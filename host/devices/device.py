# SPDX-License-Identifier: Apache-2.0
"""One API for everything that runs programs: the Verilated gateware, the integer model, the float
reference, a board.

with open_device("rtl") as device:
    device.load(program)
    outputs = device.run(inputs, seed=1)
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from numbers import Integral
from typing import Self

import numpy as np

from ornstein.hdl import regmap
from ornstein.hdl.config import PRESETS, FabricConfig, preset
from ornstein.host.compile.program import Program

COUNTERS = tuple(counter.name.lower() for counter in regmap.COUNTERS)


class DeviceError(RuntimeError):
    """A device that does not exist, or is asked for what it cannot do; one line that says what
    there is.
    """


@dataclass
class Outputs:
    """What came out for n inputs.

    Attributes
    ----------
    mean : (n, units) float64, time average of the states over the accumulating stages
    second : (n, units), time average of the squared states, None where the build leaves it out
    samples : (n, kept, units), every ``thin``-th state of the stages that stream, in the order of
        time
    sums, squares : (n, units) int64 as the fabric holds them, None from the float device
    counters : cycles (None where there is no clock), issued, rank_saturations, state_saturations;
        totals so far
    """

    mean: np.ndarray
    second: np.ndarray | None
    samples: np.ndarray
    sums: np.ndarray | None = None
    squares: np.ndarray | None = None
    counters: dict[str, int | None] = field(default_factory=lambda: dict.fromkeys(COUNTERS))

    @classmethod
    def join(cls, parts: list["Outputs"]) -> "Outputs":
        """Outputs of consecutive inputs as one; the counters are those of the last."""

        def stack(name):
            arrays = [getattr(part, name) for part in parts]
            return None if arrays[0] is None else np.concatenate(arrays)

        return cls(
            **{name: stack(name) for name in ("mean", "second", "samples", "sums", "squares")},
            counters=parts[-1].counters,
        )


class Device(ABC):
    """Something that runs programs. Use as a context manager, or call :meth:`close`.

    Attributes
    ----------
    uri : how the user named it
    config : the fabric, None where there is none
    """

    uri: str
    config: FabricConfig | None

    def __init__(self):
        self.program: Program | None = None

    @abstractmethod
    def load(self, program: Program) -> None:
        """Make the program ready to run. Raises ProgramError naming the field, before anything is
        written, if it does not fit."""

    @abstractmethod
    def verify(self) -> int:
        """Read the loaded program back; the number of elements compared. Raises DeviceError at the
        first that differs."""

    @abstractmethod
    def stream(
        self, blocks: Iterable[np.ndarray], *, seed: int = 1, warm: bool = False
    ) -> Iterator[Outputs]:
        """Outputs of each block (n, input_size) of inputs, as they come.

        ``seed`` fixes every random number: the same seed and inputs give the same outputs, whatever
        the blocks, as long as all blocks but the last hold a multiple of ``program.layout.chains``
        inputs. ``warm`` starts each input from the states that the last one left, instead of
        afresh.

        Raises InputError before an input reaches the device, DeviceError if no program is loaded or
        the seed is no non-negative integer.
        """

    def run(
        self,
        inputs: np.ndarray,
        *,
        seed: int = 1,
        warm: bool = False,
        progress: Callable[[int], None] | None = None,
    ) -> Outputs:
        """Outputs of inputs (n, input_size); ``progress`` is told how many inputs have come out
        since its last call.
        """
        program = self._loaded()
        program.quantize(inputs)
        chains = program.layout.chains
        step = chains * max(1, 16 // chains) if progress else len(inputs) or 1
        parts = []
        for part in self.stream(
            (inputs[first : first + step] for first in range(0, len(inputs), step)),
            seed=seed,
            warm=warm,
        ):
            parts.append(part)
            if progress:
                progress(len(part.mean))
        if not parts:
            raise DeviceError("there are no inputs to run")
        return Outputs.join(parts)

    def close(self) -> None:  # noqa: B027 - not abstract: most devices hold nothing
        """Let go of the device; may be called again."""

    def _loaded(self) -> Program:
        if self.program is None:
            raise DeviceError(f"no program is loaded on device {self.uri!r}; load one first")
        return self.program

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception):
        self.close()


def checked_seed(seed: int) -> int:
    """The seed. Raises DeviceError unless it is a non-negative integer."""
    if not isinstance(seed, Integral) or seed < 0:
        raise DeviceError(f"seed must be a non-negative integer, not {seed!r}")
    return int(seed)


def job_seeds(seed: int, job: int, lanes: int) -> np.ndarray:
    """Independent generator seeds (lanes,) uint64 for one job, never zero."""
    state = np.random.SeedSequence([checked_seed(seed), job]).generate_state(lanes, np.uint64)
    return np.where(state == 0, np.uint64(1), state)


def scaled_outputs(
    program: Program,
    sums: np.ndarray,
    squares: np.ndarray | None,
    samples: np.ndarray,
    counters: dict,
) -> Outputs:
    """Outputs in physical units from integers (n, units), (n, units) and (n, kept, units)."""
    count, lsb = program.problem.samples, program.state_lsb
    return Outputs(
        mean=sums * (lsb / count),
        second=None if squares is None else squares * (lsb**2 / count),
        samples=samples * lsb,
        sums=sums,
        squares=squares,
        counters=counters,
    )


URIS = {
    "rtl[:FABRIC]": "the gateware itself, Verilated and run as a program (default)",
    "model[:FABRIC]": "the bit-exact integer model",
    "float": "float64 Langevin dynamics; float:exact is the closed form",
    "serial:PORT[?baud=N]": "a board at a serial port; its rate is negotiated unless said",
    "serial[:auto[?ports=all]]": "the board that answers at a USB serial port, or at any port",
}


def open_device(uri: str) -> Device:
    """The device of that URI (:data:`URIS`); FABRIC is one of the presets, ``reference`` unless
    said otherwise.

    Raises
    ------
    DeviceError
        There is no such device.
    ToolError
        A compiler that building the simulator needs is missing.
    LinkError
        The port cannot be opened, or what is there does not answer as a device.
    """
    scheme, _, rest = uri.partition(":")
    if scheme in ("rtl", "model") and (rest or "reference") in PRESETS:
        config = preset(rest or "reference")
        if scheme == "model":
            from ornstein.host.devices.model import ModelDevice

            return ModelDevice(config, uri)
        from ornstein.host.devices.fabric import FabricDevice
        from ornstein.sim.rtl import RtlTransport

        return FabricDevice(RtlTransport(config), uri, timeout=60.0)
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

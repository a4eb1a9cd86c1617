# SPDX-License-Identifier: Apache-2.0
"""The bit-exact integer twin of the fabric: the same memories, the same descriptors, no clock.

Jobs that start from the same memories and touch only their own inputs are run side by side, in
vectors of the CPU and on all cores that :func:`ornstein.sim.cores.cores` allows; what a later job
would find in the memories is what the last one left. :mod:`ornstein.sim.passes` has the arithmetic.
"""

import threading
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ornstein.hdl import regmap
from ornstein.hdl.config import FabricConfig
from ornstein.hdl.isa import DESCRIPTOR_WORDS, Descriptor, Level, Operation, Pass
from ornstein.hdl.regmap import Control, Space
from ornstein.hdl.schedule import check_words, read_schedule
from ornstein.hdl.spaces import spaces
from ornstein.sim.cores import cores, in_threads
from ornstein.sim.passes import run_level

_PRODUCTS_AT_ONCE = 1 << 27
"""Products of the multiply lanes that are computed before the host looks up: 0.1 s at most."""
_VECTOR, _SIDE_BY_SIDE = 16, 64
"""Least and most places for jobs side by side: those that fill a vector of the CPU, and those whose
memories stay in its caches."""
_TOTALS = 512
"""Least sums of a group that are worked on at once: enough that loops over them are long."""
_PRODUCTS_ALONE = 1 << 16
"""Products of each lane below which threads cost more than they save."""

COUNTERS = tuple(name.name.lower() for name in regmap.COUNTERS if name != Control.CYCLES)
"""Those of the gateware that need no clock."""


@dataclass(frozen=True, eq=False)
class _LevelWork:
    """One level as :func:`ornstein.sim.passes.run_level` takes it.

    ``sample_rows`` are the rows that it writes, ``products`` those of each lane in a step.
    """

    level: np.ndarray
    passes: np.ndarray
    steps: int
    sample_rows: int
    products: int


@dataclass
class JobRows:
    """What a batch of jobs left: one row a job.

    ``sums`` and ``squares`` are (jobs, state_depth, unit_lanes), ``samples`` (jobs, sampled words,
    unit_lanes).
    """

    sums: np.ndarray
    squares: np.ndarray
    samples: np.ndarray


@dataclass(frozen=True, eq=False)
class _Group:
    """The memories of jobs that are run side by side: as in :class:`FabricModel`, with ``places``
    values for every lane, of which the first ``jobs`` count, in integers as narrow as they can be.
    """

    jobs: int
    places: int
    accumulator: np.ndarray
    state: np.ndarray
    drive: np.ndarray
    rank: np.ndarray
    codes: np.ndarray
    generators: np.ndarray
    sums: np.ndarray
    squares: np.ndarray
    samples: np.ndarray
    counters: np.ndarray

    def set(self, name: str, words: slice, values: np.ndarray) -> None:
        """Writes (jobs, words, lanes) to those words of a memory."""
        memory = getattr(self, name).reshape(-1, values.shape[-1], self.places)
        memory[words, :, : self.jobs] = values.transpose(1, 2, 0)

    def rows(self, name: str) -> np.ndarray:
        """Returns a memory as (jobs, words, lanes)."""
        memory = getattr(self, name)
        lanes = memory.shape[1] // self.places
        return memory.reshape(len(memory), lanes, self.places).transpose(2, 0, 1)[: self.jobs]


class FabricModel:
    """The memories of one fabric and what its jobs do to them.

    Attributes
    ----------
    factor : (factor_depth, lanes) int32; lane ``u * rank_lanes + r``
    state, drive : (depth, unit_lanes) int32
    rank : (rank_depth, rank_lanes) int32
    descriptors : (descriptor_depth, 8) of 16-bit words
    activation : (256, 2) int32, value and slope, indexed by the top eight bits of a rank word as an
        unsigned number
    codes : (state_depth, unit_lanes), the previous noise of each unit
    generators : (unit_lanes,) uint64
    sums, squares : (2, state_depth, unit_lanes) int64, a bank a row
    counters : dict of COUNTERS
    """

    def __init__(self, config: FabricConfig):
        self.config = config
        units = config.unit_lanes

        def memory(space: Space, dtype: type = np.int32) -> np.ndarray:
            info = spaces(config)[space]
            return np.zeros((info.depth, info.lanes), dtype)

        self.factor, self.state, self.drive, self.rank, self.codes = map(
            memory, (Space.FACTOR, Space.STATE, Space.DRIVE, Space.RANK, Space.NOISE)
        )
        self.descriptors = np.zeros((config.descriptor_depth, DESCRIPTOR_WORDS), np.int64)
        self.activation = np.zeros((spaces(config)[Space.ACTIVATION].depth, 2), np.int32)
        self.generators = np.ones(units, np.uint64)
        self.sums = memory(Space.SUM, np.int64).reshape(2, -1, units)  # a bank of each job
        self.squares = np.zeros_like(self.sums)  # kept where a build leaves them out, too
        self.bank_offset = 0
        self.counters = dict.fromkeys(COUNTERS, 0)
        self._checked: tuple[bytes, int, int, int] | None = None
        self._schedule: list[_LevelWork] = []
        self._shape = (
            config.rank_lanes,
            units,
            1 << config.accumulator_width - 1,
            config.coupling_bits,
            config.leak_bits,
            config.quartic,
            config.mix_window,
        )
        self._shifts = np.zeros((3, 8), np.int64)
        for row, shifts in enumerate(
            (config.project_shifts, config.expand_shifts, config.bias_shifts)
        ):
            self._shifts[row, : len(shifts)] = shifts

    def _checked_schedule(self, first: int, levels: int) -> list[_LevelWork]:
        """Returns the levels from descriptor ``first`` on, whose addresses are all within the
        memories. They are checked once for each content of the descriptor memory.
        """
        key = self.descriptors.tobytes(), first, levels, self.bank_offset
        if key != self._checked:
            self._schedule = [
                _level_work(level, passes)
                for level, passes in read_schedule(
                    self.config, self.descriptors, first, levels, self.bank_offset
                )
            ]
            self._checked = key
        return self._schedule

    def run(
        self,
        first: int,
        levels: int,
        *,
        bank: int = 0,
        seeds: np.ndarray | None = None,
        inputs: np.ndarray | None = None,
        input_word: int = 0,
    ) -> JobRows:
        """Run jobs of ``levels`` levels from descriptor ``first``.

        Parameters
        ----------
        seeds : (jobs, unit_lanes) uint64, or None to go on with the present generators (one job)
        inputs : (jobs, words, unit_lanes), written to drive word ``input_word`` of each job, or
            None

        Raises
        ------
        ConfigError
            A descriptor names what the fabric does not have (:func:`check_level`), or the inputs
            lie outside the drive memory. Nothing has been changed.
        """
        schedule = self._checked_schedule(first, levels)
        if inputs is not None:
            check_words(
                self.config, "the inputs", "drive", input_word, input_word + inputs.shape[1]
            )
        generators = self.generators[None] if seeds is None else seeds.astype(np.uint64)
        generators = np.maximum(generators, np.uint64(1))
        jobs, units = generators.shape
        sampled = sum(level.sample_rows for level in schedule)
        rows = JobRows(
            sums=np.empty((jobs, *self.sums.shape[1:]), np.int64),
            squares=np.empty((jobs, *self.sums.shape[1:]), np.int64),
            samples=np.empty((jobs, sampled, units), np.int16),
        )

        def relax(part: slice, stop: threading.Event) -> _Group:
            group = self._group(part.stop - part.start, bank, sampled)
            group.set("generators", slice(None), generators[part][:, None])
            if inputs is not None:
                words = slice(input_word, input_word + inputs.shape[1])
                group.set("drive", words, inputs[part])
            self._relax(schedule, group, bank, stop)
            for name in ("sums", "squares", "samples"):
                getattr(rows, name)[part] = group.rows(name)
            return group

        products = sum(level.products * level.steps for level in schedule)
        groups = in_threads(relax, _groups(jobs, products))
        self._keep(groups[-1], bank)
        for group in groups:
            for name, value in zip(COUNTERS, group.counters, strict=True):
                self.counters[name] += int(value)
        return rows

    def _group(self, jobs: int, bank: int, sample_rows: int) -> _Group:
        """Returns memories for that many jobs, each with what this fabric's hold."""
        config = self.config
        places = 1 if jobs == 1 else -(-jobs // _VECTOR) * _VECTOR

        def repeated(array: np.ndarray, dtype: type) -> np.ndarray:
            return np.repeat(array.astype(dtype), places, axis=-1)

        exact = np.int32 if config.accumulator_width <= 32 else np.int64
        return _Group(
            jobs=jobs,
            places=places,
            accumulator=np.zeros(
                max(_TOTALS, max(config.rank_lanes, config.unit_lanes) * places), exact
            ),
            state=repeated(self.state, np.int16),
            drive=repeated(self.drive, np.int16),
            rank=repeated(self.rank, np.int16),
            codes=repeated(self.codes, np.int8),
            generators=repeated(self.generators, np.uint64),
            sums=repeated(self.sums[bank], np.int64),
            squares=repeated(self.squares[bank], np.int64),
            samples=np.zeros((sample_rows, config.unit_lanes * places), np.int16),
            counters=np.zeros(len(COUNTERS), np.int64),
        )

    def _relax(
        self, schedule: list[_LevelWork], group: _Group, bank: int, stop: threading.Event
    ) -> None:
        """Runs the jobs of a group to their end, or until ``stop`` is set."""
        written = 0
        for part, begin, end in _slices(schedule, self.config.lanes * group.places):
            if stop.is_set():
                return
            written += run_level(
                part.level,
                part.passes,
                begin,
                end,
                None if group.places == 1 else group.places,
                group.jobs,
                bank * self.bank_offset,
                self._shape,
                self._shifts,
                self.factor,
                self.activation,
                group.accumulator,
                group.state,
                group.drive,
                group.rank,
                group.codes,
                group.generators,
                group.sums,
                group.squares,
                group.samples[written:],
                group.counters,
            )

    def _keep(self, group: _Group, bank: int) -> None:
        """Takes over what the last job of a group has left."""
        last = slice(group.jobs - 1, None, group.places)
        self.state, self.drive, self.rank, self.codes = (
            array[:, last].astype(np.int32)
            for array in (group.state, group.drive, group.rank, group.codes)
        )
        self.generators = group.generators[last].copy()
        self.sums[bank], self.squares[bank] = group.sums[:, last], group.squares[:, last]


def _groups(jobs: int, products: int) -> Iterator[slice]:
    """Yields the parts of consecutive jobs that are run side by side, each on one core.

    ``products`` are those of each lane in a job. Where there is little to do, no core is asked for
    help.
    """
    shared = cores() if jobs * products > _PRODUCTS_ALONE else 1
    parts = max(-(-jobs // _SIDE_BY_SIDE), min(shared, -(-jobs // _VECTOR)))
    for part in range(parts):
        yield slice(part * jobs // parts, (part + 1) * jobs // parts)


def _slices(schedule: list[_LevelWork], lanes: int) -> Iterator[tuple[_LevelWork, int, int]]:
    """Yields the levels in parts short enough for Ctrl-C to be heard between them."""
    for part in schedule:
        total = part.steps * len(part.passes)
        each = max(1, _PRODUCTS_AT_ONCE * len(part.passes) // (part.products * lanes))
        for begin in range(0, total, each):
            yield part, begin, min(begin + each, total)


def _level_work(level: Level, passes: list[Pass]) -> _LevelWork:
    sampled = sum(
        step.outer for step in passes if step.operation == Operation.EXPAND and not step.to_drive
    )
    return _LevelWork(
        level=_fields(level),
        passes=np.array([_fields(step) for step in passes]),
        steps=level.steps,
        sample_rows=level.steps // level.thin * sampled if level.thin else 0,
        products=sum(step.outer * step.inner for step in passes),
    )


def _fields(descriptor: Descriptor) -> np.ndarray:
    return np.array([getattr(descriptor, name) for name, *_ in descriptor.layout()], np.int64)

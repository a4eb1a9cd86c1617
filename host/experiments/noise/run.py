# SPDX-License-Identifier: Apache-2.0
"""Measures the noise of the fabric: moments, correlations, and tests of its random bits.

The streams are those of the integer model, which equal the gateware's bit for bit. They are seeded
as jobs are.
"""

import contextlib
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np
from scipy.stats import chi2

from ornstein.hdl.config import SEED_WIDTH
from ornstein.hdl.engine.noise import DRAW_BITS, THRESHOLD, VARIANCE
from ornstein.host.devices.jobs import job_seeds
from ornstein.host.experiments.common import Progress
from ornstein.host.experiments.noise import standard_tests
from ornstein.sim.jit import compiled
from ornstein.sim.passes import next_draw
from ornstein.sim.toolchain import ToolError

LAGS = 64
"""Lags of the correlations, in draws."""
LEAST_DRAWS = 1 << 17
"""Draws of a stream that give every test enough bits."""
WINDOWS = 1, 16, 256
"""Numbers of successive draws whose sums have their moments taken."""
STREAMS = 16
"""Generators whose draws are compared with one another: of four lanes, jobs and seeds."""
LEAST_P = 1e-4
"""A p-value below this counts as failed: one of ten thousand of a sound generator."""
LINEAR_RANK, LINEAR_LENGTH = "rank of 128 successive draws", "linear complexity of one bit"
EXPECTED_FAILURES = LINEAR_RANK, LINEAR_LENGTH
"""Tests that every linear generator of this size fails."""
DIEHARDER = 0, 2, 3, 4, 8, 9, 10, 11, 12, 13, 15, 16, 100, 101, 102
"""Numbers of the dieharder tests that are run: Marsaglia's, but for those that dieharder itself
calls suspect and the slow fifth, and those of SP 800-22."""
_PIECE = 1 << 21
"""Bytes that are given to dieharder at once."""
PERIOD = (1 << SEED_WIDTH) - 1
"""Draws after which a generator repeats itself; ``tests/hdl/test_noise.py`` proves it."""


@dataclass(frozen=True)
class Moment:
    """A mean over all draws.

    Attributes
    ----------
    name : of what
    value, expected : measured and exact
    error : standard error of ``value``
    """

    name: str
    value: float
    expected: float
    error: float

    @property
    def deviation(self) -> float:
        """In standard errors."""
        return (self.value - self.expected) / self.error


@dataclass(frozen=True)
class Correlations:
    """Correlations of a kind, in standard errors.

    Attributes
    ----------
    name : of what
    deviations : each in standard errors
    """

    name: str
    deviations: list[float]

    @property
    def largest(self) -> float:
        return float(np.abs(self.deviations).max())

    @property
    def p_value(self) -> float:
        """Probability that independent draws have a sum of squares as large."""
        squares = float((np.array(self.deviations) ** 2).sum())
        return float(chi2.sf(squares, len(self.deviations)))


@dataclass(frozen=True)
class BitTest:
    """A test of random bits, and the same test of a generator that is known to be good.

    Attributes
    ----------
    name : of the test
    suite : SP 800-22, ours or dieharder
    p_value : of the fabric's bits
    control : of PCG64's; None if it was not asked
    """

    name: str
    suite: str
    p_value: float
    control: float | None

    @property
    def passed(self) -> bool:
        return self.p_value >= LEAST_P


@dataclass(frozen=True)
class NoiseReport:
    """What was measured.

    Attributes
    ----------
    seed : of the job whose generators were taken
    draws : of each stream
    moments, correlations, tests : see there
    dieharder : whether its tests are among them; if not, whether it is installed
    dieharder_bytes : of the generator that dieharder was given, none of them twice
    """

    seed: int
    draws: int
    moments: list[Moment]
    correlations: list[Correlations]
    tests: list[BitTest]
    dieharder: Literal["run", "left out", "missing"]
    dieharder_bytes: int = 0

    @property
    def surprises(self) -> list[BitTest]:
        """Tests with another outcome than a linear generator's: failed, or passed against
        expectation."""
        return [test for test in self.tests if test.passed == (test.name in EXPECTED_FAILURES)]

    def document(self) -> dict:
        """For JSON."""
        return asdict(self) | {
            "period": PERIOD,
            "correlation_p_values": {each.name: each.p_value for each in self.correlations},
            "surprises": [test.name for test in self.surprises],
        }


def examine_noise(
    seed: int,
    draws: int,
    dieharder: bool = False,
    say: Progress = lambda what, done, total: None,
) -> NoiseReport:
    """Examines the generators of jobs.

    Parameters
    ----------
    seed : of the first jobs
    draws : of each of the streams; at least :data:`LEAST_DRAWS`
    dieharder : whether the tests of Debian's dieharder are run too
    say : called before each stage with what is done, its number from zero, and their number

    Raises
    ------
    ValueError
        There are fewer draws than LEAST_DRAWS.
    ToolError
        dieharder is asked for and missing, or fails.
    """
    if draws < LEAST_DRAWS:
        raise ValueError(f"{draws} draws are too few for the tests; {LEAST_DRAWS} are needed")
    names = list(standard_tests.TESTS)
    stages = ["streams", "moments and correlations", *names, "dieharder"]

    def begin(stage: str) -> None:
        say("examining the noise", stages.index(stage), len(stages))

    begin("streams")
    states = np.array([stream(start, draws) for start in _starts(seed)])
    codes = three_point(states)
    begin("moments and correlations")
    moments = _moments(codes)
    correlations = _correlations(codes)
    tests = _standard(states, begin) + _linear(states[0])
    state, given = "left out" if shutil.which("dieharder") else "missing", 0
    if dieharder:
        begin("dieharder")
        found, given = run_dieharder(int(_starts(seed)[0]))
        tests += found
        state = "run"
    say("examining the noise", len(stages), len(stages))
    return NoiseReport(seed, draws, moments, correlations, tests, state, given)


def _starts(seed: int) -> np.ndarray:
    """Seeds (STREAMS,) uint64 of four lanes of two jobs of two seeds that follow each other."""
    lanes = STREAMS // 4
    return np.concatenate(
        [job_seeds(seed + more, job, lanes) for more in range(2) for job in range(2)]
    )


@compiled()
def stream(start: np.uint64, draws: int) -> np.ndarray:
    """Returns the states (draws,) uint64 that follow ``start``, one a draw."""
    states = np.empty(draws, np.uint64)
    state = start
    for place in range(draws):
        state = next_draw(state)
        states[place] = state
    return states


def three_point(states: np.ndarray) -> np.ndarray:
    """Returns the variable -1, 0 or 1, int8, of each state."""
    draw = (states & np.uint64((1 << DRAW_BITS) - 1)).astype(np.int64)
    return ((draw < THRESHOLD) * 1 - (draw >= (1 << DRAW_BITS) - THRESHOLD) * 1).astype(np.int8)


def raw_bits(states: np.ndarray) -> np.ndarray:
    """Returns the bits that draws use, uint8, draw by draw and the lowest first."""
    words = states.astype("<u8").view("<u2").reshape(-1, 4)[:, 0]
    return np.unpackbits(np.ascontiguousarray(words).view(np.uint8), bitorder="little")


def _moments(codes: np.ndarray) -> list[Moment]:
    """Moments of the variable, and of its sums over windows, over all streams.

    A sum of n has the fourth moment n V + 3 n (n - 1) V^2, since the variable's own is V.
    """
    moments = []
    for window in WINDOWS:
        sums = codes[:, : codes.shape[1] // window * window].reshape(-1, window).sum(axis=1) * 1.0
        second = window * VARIANCE
        fourth = second + 3 * window * (window - 1) * VARIANCE**2
        for power, expected in ((1, 0.0), (2, second), (3, 0.0), (4, fourth)):
            values = sums**power
            error = float(values.std() / np.sqrt(len(values)))
            name = f"sums of {window}, power {power}"
            moments.append(Moment(name, float(values.mean()), expected, error))
    return moments


def _correlations(codes: np.ndarray) -> list[Correlations]:
    """Correlations of the variable, and of its square, within streams and between them."""
    values = codes / np.sqrt(VARIANCE)
    squares = (codes.astype(float) ** 2 - VARIANCE) / np.sqrt(VARIANCE * (1 - VARIANCE))
    found = []
    for name, numbers in (("the variable", values), ("its square", squares)):
        found.append(Correlations(f"{name}, lags 1 to {LAGS}", _autocorrelations(numbers)))
        products = numbers @ numbers.T / np.sqrt(numbers.shape[1])
        pairs = products[np.triu_indices(len(numbers), 1)]
        found.append(Correlations(f"{name}, between generators", pairs.tolist()))
    return found


def _autocorrelations(numbers: np.ndarray) -> list[float]:
    """Correlations (LAGS,) over all streams, in standard errors."""
    found = []
    for lag in range(1, LAGS + 1):
        products = numbers[:, lag:] * numbers[:, :-lag]
        found.append(float(products.sum() / np.sqrt(products.size)))
    return found


def _standard(states: np.ndarray, begin: Callable[[str], None]) -> list[BitTest]:
    """The tests of SP 800-22, on raw bits of the first stream and, as a control, of PCG64."""
    bits = raw_bits(states[0])
    control = np.unpackbits(np.frombuffer(np.random.default_rng(0).bytes(len(bits) // 8), np.uint8))
    found = []
    for name, test in standard_tests.TESTS.items():
        begin(name)
        found.append(BitTest(name, "SP 800-22", test(bits), test(control)))
    return found


def _linear(states: np.ndarray) -> list[BitTest]:
    """The two tests that every linear generator fails, with PCG64 beside it."""
    control = np.random.default_rng(0).integers(0, 1 << 64, len(states), dtype=np.uint64)
    return [
        BitTest(LINEAR_RANK, "ours", _state_rank(states), _state_rank(control)),
        BitTest(
            LINEAR_LENGTH,
            "SP 800-22",
            *(
                standard_tests.linear_complexity(
                    (each >> np.uint64(DRAW_BITS - 1) & np.uint64(1)).astype(np.uint8)
                )
                for each in (states, control)
            ),
        ),
    ]


def _state_rank(states: np.ndarray) -> float:
    """Returns the p-value of the ranks of 128 x 128 matrices, eight draws of 16 bits a row."""
    return standard_tests.matrix_rank(raw_bits(states), 128)


def run_dieharder(start: int) -> tuple[list[BitTest], int]:
    """Runs :data:`DIEHARDER` on raw bits of one generator and, as a control, of PCG64.

    Each test takes as many bits as it asks for, and the next one begins behind them. Returns the
    tests and the number of the generator's bytes that they were given.

    Raises ToolError if dieharder is missing or fails.
    """
    program = shutil.which("dieharder")
    if program is None:
        raise ToolError("dieharder is missing; install it with: sudo apt install dieharder")
    tests, total = [], 0
    pieces, control_pieces = _pieces(start), _control_pieces()
    for number in DIEHARDER:
        printed, given = _piped(program, number, pieces)
        control_printed, _ = _piped(program, number, control_pieces)
        total += given
        tests += [
            BitTest(name, "dieharder", p_value, other)
            for (name, p_value), (_, other) in zip(
                dieharder_rows(printed), dieharder_rows(control_printed), strict=True
            )
        ]
    return tests, total


def _pieces(start: int) -> Iterator[bytes]:
    """Yields the bits that the draws of a generator use, without an end."""
    state = np.uint64(start)
    while True:
        states = stream(state, _PIECE // 2)
        state = states[-1]
        yield states.astype("<u8").view("<u2")[::4].tobytes()


def _control_pieces() -> Iterator[bytes]:
    """Yields the bits of PCG64, without an end."""
    rng = np.random.default_rng(0)
    while True:
        yield rng.bytes(_PIECE)


def _piped(program: str, test: int, pieces: Iterator[bytes]) -> tuple[str, int]:
    """Returns what dieharder prints about bits that it reads from a pipe, and the number of bytes
    in the pieces that it read to the end. Raises ToolError.
    """
    process = subprocess.Popen(
        [program, "-d", str(test), "-g", "200"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdin is not None
    given = 0
    with contextlib.suppress(BrokenPipeError):  # it has read enough
        for piece in pieces:
            process.stdin.write(piece)
            given += len(piece)
    printed, said = process.communicate()
    if process.returncode:
        last = "".join(said.decode(errors="replace").strip().splitlines()[-1:])
        raise ToolError(f"dieharder's test {test} failed: {last}")
    return printed.decode(), given


def dieharder_rows(output: str) -> list[tuple[str, float]]:
    """Returns (name, p-value) of each row of dieharder's table."""
    rows = re.findall(r"^\s*(\w+)\|\s*(\d+)\|\s*\d+\|\s*\d+\|\s*([0-9.]+)\|", output, re.MULTILINE)
    return [(f"{name} {tuple_}", float(p)) for name, tuple_, p in rows]

# SPDX-License-Identifier: Apache-2.0
"""The report on the noise: its streams, and what it makes of good and bad ones."""

import sys
from dataclasses import replace

import numpy as np
import pytest

from ornstein.hdl.engine import noise
from ornstein.host.experiments.noise import run
from ornstein.host.experiments.noise.report import write_noise_page
from ornstein.sim.toolchain import ToolError


@pytest.fixture(scope="module")
def result():
    return run.examine_noise(seed=1, draws=run.LEAST_DRAWS)


def test_streams_are_those_of_the_gateware():
    states = run.stream(np.uint64(5), 100)
    state, expected = 5, []
    for _ in range(100):
        state = noise.advance(state)
        expected.append(state)
    assert states.tolist() == expected
    assert run.three_point(states).tolist() == [noise.code(state) for state in expected]
    low = [state >> bit & 1 for state in expected for bit in range(noise.DRAW_BITS)]
    assert run.raw_bits(states).tolist() == low


def test_the_noise_has_its_moments_and_no_correlations(result):
    """Fixed seed: 12 moments within four standard errors, four kinds of correlations."""
    assert max(abs(moment.deviation) for moment in result.moments) < 4
    assert min(kind.p_value for kind in result.correlations) > 1e-3


def test_bits_pass_but_where_linear_generators_fail(result):
    """The control passes everything, so that a failure is the generator's."""
    assert result.surprises == []
    failed = {test.name for test in result.tests if not test.passed}
    assert failed == set(run.EXPECTED_FAILURES)
    assert all(test.control > run.LEAST_P for test in result.tests)


def test_bad_noise_is_seen():
    """Draws that repeat every third one, and a variable with a bias."""
    codes = run.three_point(np.array([run.stream(np.uint64(start), 4096) for start in (3, 4)]))
    repeated = np.repeat(codes[:, ::3], 3, axis=1)
    assert run._correlations(repeated)[0].p_value < 1e-10
    biased = np.where(np.arange(4096) % 8 == 0, 1, codes).astype(np.int8)
    assert run._moments(biased)[0].deviation > 5


def test_a_table_of_dieharder():
    output = """
#=============================================================================#
        test_name   |ntup| tsamples |psamples|  p-value |Assessment
#=============================================================================#
   diehard_birthdays|   0|       100|     100|0.64362170|  PASSED
        sts_serial|   3|    100000|     100|0.00000001|  FAILED
"""
    assert run.dieharder_rows(output) == [
        ("diehard_birthdays 0", 0.6436217),
        ("sts_serial 3", 1e-8),
    ]


def test_what_cannot_be_examined(monkeypatch):
    with pytest.raises(ValueError, match="1000 draws are too few"):
        run.examine_noise(1, 1000)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ToolError, match="dieharder is missing; install it with"):
        run.run_dieharder(1)


DIEHARDER = """#!{python}
import sys
assert sys.argv[1] == "-d" and sys.argv[3:] == ["-g", "200"]
if sys.argv[2] == "2":
    sys.exit("no such test")
bits = sys.stdin.buffer.read(1 << 16)
print(f"  sums|   {{sys.argv[2]}}|  100|  100|{{sum(bits) / len(bits) / 255:.6f}}|  PASSED")
"""
"""Takes the place of dieharder: its p-value is the mean of the bytes that it reads."""


@pytest.fixture
def pretended(tmp_path, monkeypatch):
    program = tmp_path / "dieharder"
    program.write_text(DIEHARDER.format(python=sys.executable))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))


def test_dieharder_reads_the_bits_of_draws_and_of_a_control(pretended, monkeypatch):
    """No more of them than a test wants, and each test those behind the one before."""
    monkeypatch.setattr(run, "DIEHARDER", (0, 4))
    monkeypatch.setattr(run, "_PIECE", size := 1 << 16)
    (first, second), given = run.run_dieharder(5)
    assert (first.name, second.name, first.suite) == ("sums 0", "sums 4", "dieharder")
    draws = np.frombuffer(run.stream(np.uint64(5), 1 << 18).astype("<u8").tobytes(), np.uint8)
    bits = draws.reshape(-1, 8)[:, : noise.DRAW_BITS // 8].ravel()
    control = np.frombuffer(np.random.default_rng(0).bytes(len(bits)), np.uint8)

    def means(of):
        return {round(float(piece.mean()) / 255, 6) for piece in of.reshape(-1, size)}

    assert {first.p_value, second.p_value} < means(bits) and first.p_value != second.p_value
    assert first.p_value == pytest.approx(bits[:size].mean() / 255, abs=1e-6)
    assert {first.control, second.control} < means(control) and first.control != second.control
    assert given in range(2 * size, len(bits), size)


def test_dieharder_that_fails_is_said(pretended):
    with pytest.raises(ToolError, match="dieharder's test 2 failed: no such test"):
        run.run_dieharder(5)


@pytest.mark.parametrize(
    "state, sentence",
    [
        ("run", "dieharder read 1,235 MB of the bits of one generator through a pipe"),
        ("missing", "dieharder was not run, because it is not installed."),
        ("left out", "It is installed; --dieharder adds its tests."),
    ],
)
def test_the_page_says_whether_dieharder_was_run(result, tmp_path, state, sentence):
    result = replace(result, dieharder=state, dieharder_bytes=1_234_567_890)
    assert sentence in write_noise_page(result, tmp_path).read_text()


def test_the_page(result, tmp_path):
    text = write_noise_page(result, tmp_path).read_text()
    assert "failed, as it must" in text and "Every test came out as expected." in text
    assert result.document()["period"] == 2**64 - 1

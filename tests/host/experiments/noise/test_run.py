# SPDX-License-Identifier: Apache-2.0
"""The report on the noise: its streams, and what it makes of good and bad ones."""

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
    birthdays, serial = run.dieharder_tests(output)
    assert birthdays == run.BitTest("diehard_birthdays 0", "dieharder", 0.6436217, None)
    assert serial.name == "sts_serial 3" and not serial.passed


def test_what_cannot_be_examined(monkeypatch):
    with pytest.raises(ValueError, match="1000 draws are too few"):
        run.examine_noise(1, 1000)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ToolError, match="dieharder is missing; install it with"):
        run.run_dieharder(1, 1)


def test_the_page(result, tmp_path):
    text = write_noise_page(result, tmp_path).read_text()
    assert "failed, as it must" in text and "Every test came out as expected." in text
    assert result.document()["period"] == 2**64 - 1

# SPDX-License-Identifier: Apache-2.0
"""The tests of SP 800-22 give the p-values of the publication's own examples."""

import numpy as np
import pytest

from ornstein.host.experiments.noise import standard_tests as tests

PI = (
    "11001001000011111101101010100010001000010110100011"
    "00001000110100110001001100011001100010100010111000"
)
"""The first hundred binary digits of pi, the publication's longer example."""
LONGEST = (
    "11001100000101010110110001001100111000000000001001001101010100010001001111010110"
    "100000001101011111001100111001101101100010110010"
)


def bits(text):
    return np.array([int(bit) for bit in text], np.uint8)


@pytest.mark.parametrize(
    "test, given, options, expected",
    [
        (tests.frequency, "1011010101", {}, 0.527089),
        (tests.frequency, PI, {}, 0.109599),
        (tests.block_frequency, "0110011010", {"block": 3}, 0.801252),
        (tests.block_frequency, PI, {"block": 10}, 0.706438),
        (tests.runs, "1001101011", {}, 0.147232),
        (tests.runs, PI, {}, 0.500798),
        (tests.longest_run, LONGEST, {}, 0.180609),
        (tests.approximate_entropy, "0100110101", {"width": 3}, 0.261961),
        (tests.approximate_entropy, PI, {"width": 2}, 0.235301),
        (tests.cumulative_sums, "1011010111", {}, 0.4116588),
        (tests.cumulative_sums, PI, {}, 0.219194),
    ],
)
def test_the_publications_examples(test, given, options, expected):
    assert test(bits(given), **options) == pytest.approx(expected, abs=1e-4)


def test_spectral():
    """The example of section 2.6.8: the heights are 0, 2, 2, 4.47 and 4.47, all below 5.47. The
    publication counts four of five, and so has another p-value."""
    assert tests.spectral(bits("1001010011")) == pytest.approx(0.468160, abs=1e-6)


def test_serial():
    assert tests.serial(bits("0011011101"), 3) == pytest.approx((0.808792, 0.670320), abs=1e-6)


def test_the_shortest_register():
    """Section 2.10.2's example; a register of 64 bits is found whatever it starts with."""
    assert tests.shortest_register(bits("1101011110001")) == 4
    assert tests.shortest_register(np.zeros(20, np.uint8)) == 0


def test_rank():
    """The first matrix of section 2.5.4 has rank 2, the second one 3."""
    assert tests.rank(np.array([[0, 1, 0], [1, 1, 0], [0, 1, 0]])) == 2
    assert tests.rank(np.array([[0, 1, 0], [1, 0, 1], [0, 1, 1]])) == 3

# SPDX-License-Identifier: Apache-2.0
"""Imperfections: ideal converters change nothing, others round, saturate and are off as they
should; files of chips say what they must.
"""

import numpy as np
import pytest

from ornstein.host.devices.device import DeviceError
from ornstein.host.devices.imperfections import (
    Chip,
    Connections,
    Converter,
    ConverterErrors,
    NoiseErrors,
    lost,
    mismatched,
)


def drawn(values, scale, **errors):
    return Converter.drawn(np.random.default_rng(2), values.shape[1], **errors)(values, scale)


def test_an_ideal_converter_changes_nothing_inside_its_range():
    values = np.array([[0.3, -0.7], [1.5, -2.0]])
    converted = drawn(values, np.ones(2))
    assert np.array_equal(converted, [[0.3, -0.7], [1.0, -1.0]])


def test_a_converter_rounds_to_its_levels_and_saturates():
    values = np.linspace(-1.5, 1.5, 301)[:, None]
    converted = drawn(values, np.array([1.0]), bits=4)
    assert np.array_equal(np.unique(converted), np.arange(-8, 8) / 8)
    inside = np.abs(values) < 0.9
    assert np.abs(converted - values)[inside].max() <= 1 / 16 + 1e-12


def test_offset_and_gain_errors_are_static_and_a_unit_s_own():
    values, scale = np.random.default_rng(1).uniform(-0.5, 0.5, (50, 400)), np.ones(400)
    offset = drawn(values, scale, offset=0.01) - values
    gain = drawn(values, scale, gain=0.01) / values - 1
    for error in (offset, gain):
        assert np.allclose(error, error[0])
        assert error[0].std() == pytest.approx(
            0.01, rel=0.15
        )  # 4 standard errors of 400 normal draws


def test_a_range_of_zero_is_a_unit_without_a_converter():
    converted = drawn(np.zeros((3, 1)), np.zeros(1), bits=8, offset=0.1)
    assert np.array_equal(converted, np.zeros((3, 1)))


def test_connections_vary_die_and_stick():
    factor, normal = np.array([[1.0, -2.0], [3.0, 4.0]]), np.array([[0.5, 0.0], [-1.0, 2.0]])
    assert np.array_equal(mismatched(factor, 0.1, normal), factor * (1 + 0.1 * normal))
    uniform, sign = np.array([[0.1, 0.9], [0.8, 0.2]]), np.array([[1, 1], [1, -1]])
    assert np.array_equal(lost(factor, 0.5, uniform), [[0, -2], [3, 0]])
    assert np.array_equal(lost(factor, 0.5, uniform, sign), [[3, -2], [3, -4]])


def test_a_file_names_a_chip(tmp_path):
    file = tmp_path / "chip7.toml"
    file.write_text(
        "seed = 7\n[connections]\nmismatch = 0.1\ndead = 0.01\n[read_converter]\nbits = 12\n"
        "[noise]\ncorner = 1e-3\n"
    )
    assert Chip.read(file) == Chip(
        seed=7,
        connections=Connections(mismatch=0.1, dead=0.01),
        read_converter=ConverterErrors(bits=12),
        noise=NoiseErrors(corner=1e-3),
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("mismatch = 0.1", "unknown field mismatch; there are seed, age, connections"),
        ("[connections]\nwear = 1", "unknown field connections.wear; there are mismatch, dead"),
        ("connections = 1", r"connections must be a table \[connections\], not 1"),
        ("[connections]\ndead = 1.5", "connections.dead must be a number from 0 to 1, not 1.5"),
        ("[connections]\ndead = nan", "connections.dead must be a number from 0 to 1, not nan"),
        ("[connections]\nmismatch = inf", "connections.mismatch must be a number from 0 to inf"),
        ("[read_converter]\nbits = 1.5", "read_converter.bits must be a whole number from 1 to 24"),
        ("read_converter.ranges.a = 0", "read_converter.ranges.a must be a number above 0, not 0"),
        ("seed = true", "seed must be a whole number from 0"),
        ("seed =", "no imperfections can be read from"),
    ],
)
def test_a_wrong_file_is_refused_in_one_line(tmp_path, text, message):
    file = tmp_path / "chip.toml"
    file.write_text(text)
    with pytest.raises(DeviceError, match=message) as caught:
        Chip.read(file)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DeviceError, match=r"no imperfections can be read from .*none.toml"):
        Chip.read(tmp_path / "none.toml")
